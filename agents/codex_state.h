#pragma once
// What Codex's app-server says, as one Sign and news. Pure: told the server's notifications, its requests to
// a person and the threads it has read out, it answers the state of all of them as one: a permission is open,
// a question is open, a turn runs, the last turn ended at a limit or without a login, idle.
// Threads that Codex makes for itself (titles) are ephemeral and not counted; those of sub-agents count as
// work, not as the conversation. It stands any input.

#include "agents/sign_fold.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace agentmesh::agents {

constexpr std::size_t kMaxCodexInput = 64 * 1024;        // bytes of one member of a call that are compared
constexpr std::size_t kMaxCodexPermissions = 64 * 1024;  // about: names, texts and values
constexpr std::size_t kMaxCodexThreads = 64;             // remembered
constexpr std::size_t kMaxCodexRequests = 16;            // open at once
constexpr std::size_t kMaxCodexSeen = 64;                // client ids of messages, newest

// A request of the server's that a person answers.
struct CodexRequest {
  std::string rpc_id;  // as JSON, given back as it came
  std::string method;
  std::string id;  // of the prompt, for people and for answers
  std::string thread;
  std::string detail;
  std::string permissions;  // as JSON: those that are asked for, where a request names some; empty: too many
};

class CodexState {
 public:
  // A message with a method. `now` is for the end of a limit.
  std::vector<Signal> take(const nlohmann::json& message, WallTime now);
  // A thread as `thread/read` gives it. It replaces what is known of its status.
  void read(const nlohmann::json& thread);
  // Exactly these are loaded; of the others nothing is kept.
  void keep_only(const std::vector<std::string>& loaded);
  // The Link is subscribed to it: its turns, items and requests come. Or it cannot be, as long as nothing was
  // said in it.
  std::vector<Signal> joined(const std::string& thread, bool well);
  // The thread's newest turn, as `thread/turns/list` gives it: what a `systemError` was about, and how a turn
  // ended that ended before the line was up.
  void last_turn(const std::string& thread, const nlohmann::json& turn, WallTime now);
  // All threads were read out, the first time since the line is up: the newest end that could not be heard,
  // with its time. None while a turn runs or something is asked, for that turn's end tells, and none where it
  // is not certain: an interrupted turn, one without a time, one that ended at a limit or without a login.
  std::optional<Signal> caught_up();
  void forget();  // the line is gone

  // Silent while no conversation is known.
  Sign sign() const;
  // The conversation: of the threads that a person speaks with the one that began or worked last.
  std::optional<std::string> conversation() const;
  // Some change cannot be understood without reading the threads out.
  bool wants_read() const { return wants_read_; }
  void reading() { wants_read_ = false; }
  // Threads that count, are not joined and were not tried since they last changed.
  std::vector<std::string> unjoined() const;
  bool wants_join() const;  // one that works could not be joined
  void join_again();
  bool is_joined(const std::string& thread) const;
  // The thread ended by an error that is not known yet, or its last turn ended before the line was up.
  bool wants_last_turn(const std::string& thread) const;
  // The open request for permission with that id.
  const CodexRequest* request(std::string_view id) const;
  // A message with this client id was seen in a conversation.
  bool seen(std::string_view client_id) const;

 private:
  enum class Status { idle, active, failed };
  struct Thread {
    bool ephemeral = false;
    bool child = false;
    bool joined = false;
    bool tried = false;      // to join it, in vain
    bool turn_runs = false;  // told by turn/started; only turn/completed ends it
    bool approval = false;
    bool input = false;
    Status status = Status::idle;
    std::uint64_t order = 0;
  };

  void status(const nlohmann::json& params, std::vector<Signal>& out);
  void set_status(const std::string& id, Thread& thread, const nlohmann::json& status);
  void learn(std::vector<Signal>& out);
  void turn_ended(const nlohmann::json& params, WallTime now, std::vector<Signal>& out);
  void failed(const nlohmann::json& error, WallTime now);
  void item(const nlohmann::json& params, std::vector<Signal>& out);
  void limits(const nlohmann::json& snapshot);
  void asked(const nlohmann::json& message);
  void resolved(const nlohmann::json& params);
  Thread* known(const std::string& id);

  std::map<std::string, Thread> threads_;
  std::vector<CodexRequest> requests_;
  std::vector<std::string> seen_;
  std::string learned_;
  std::string last_tool_;
  std::uint64_t order_ = 0;
  bool wants_read_ = false;
  bool caught_up_ = false;              // since the line is up
  std::optional<Signal> missed_;        // the newest end of a turn that could not be heard
  std::optional<Sign> hindrance_;       // limited or login, until a turn runs
  std::optional<WallTime> full_until_;  // the last told windows are used up until then
};

// "You've hit your usage limit. ... try again at 5:06 PM." or "... at Nov 25th, 2026 5:06 PM.", in UTC, as
// the sandbox's clock is; to the minute's end.
std::optional<WallTime> codex_limit_end(std::string_view message, WallTime now);

// The state in Codex's title: a spinner or "Action Required"; idle looks like any title.
std::optional<Sign> codex_title(std::string_view title);

}  // namespace agentmesh::agents
