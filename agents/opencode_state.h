#pragma once
// What opencode says, as Signals. Pure: told the events of `/event` and the answers of the snapshot requests,
// it answers what changed. It folds all sessions into one state, in this order: a permission is open, a
// question is open, the provider holds us back, a session is busy, idle. So a sub-agent's work is work, and
// opencode's "idle" while something is asked is not idle.
// Of several open prompts one is told, the first that was asked, and told until it closes; then the next one
// is told in its place, and `closed` comes only with the last: who listens needs to know no ids. It stands
// any input: garbage, wrong types, unknown events, the same twice, the wrong order.

#include "agents/adapter.h"

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace agentmesh::agents {

constexpr std::size_t kMaxOpencodeSessions = 256;    // remembered; the oldest are forgotten first
constexpr std::size_t kMaxOpencodeAsked = 64;        // permissions or questions open at once
constexpr std::size_t kMaxOpencodeRemembered = 256;  // ids of closed prompts and seen tool calls

struct OpencodeSnapshot {
  std::string status;       // GET /session/status
  std::string permissions;  // GET /permission
  std::string questions;    // GET /question
  bool moved = false;       // events changed the state while they, or the last end, were asked for
  // How the last turn ended, asked for after these; told when nothing else was told yet.
  std::optional<Signal> last_end = {};
};

// Bytes on the wire: a tool's whole output is in its event. What is over kMaxJsonBytes is not parsed, which
// would be a pause of all: the state is asked for instead.
constexpr std::size_t kMaxOpencodeEvent = 4 * 1024 * 1024;
constexpr std::size_t kMaxOpencodeValues = 100'000;  // of one event, or of a list of its sessions

class OpencodeState {
 public:
  // One event's JSON, of opencode 1 or 2. What is not an event of a known form changes nothing but
  // wants_snapshot().
  std::vector<Signal> event(std::string_view json);

  // The whole state, as asked for. It replaces what events said; one that moved is older than they are, and
  // only adds prompts, and the sessions' states if nothing else told them. Errors: invalid (not the
  // documented form): the state is then unknown, as after lost().
  Result<std::vector<Signal>> snapshot(const OpencodeSnapshot& answers);

  // A permission was answered by us: as its event, which may come later, or never.
  std::vector<Signal> replied(const std::string& permission);

  // The source is gone. Nothing is known until the next snapshot.
  std::vector<Signal> lost(std::string why);

  // Counts events that changed the state: a snapshot during which it moved is taken again.
  std::uint64_t generation() const { return generation_; }
  // An event could not be understood, or opencode reloaded itself: ask for the state again.
  bool wants_snapshot() const { return wants_snapshot_; }

  // The conversation a person sees: the top session that was last made, opened or spoken to.
  const std::optional<std::string>& session() const { return session_; }
  // What the caller knows better; an empty id forgets it.
  void set_session(std::string id);

 private:
  enum class Summary { unknown, permission, question, limited, busy, held, idle };
  using Signals = std::vector<Signal>;
  using Asked = std::map<std::string, std::string>;  // id -> what for
  // Of one session that is not idle.
  struct Work {
    bool limited = false;  // the provider refuses for now
    std::string why;
    std::optional<WallTime> until;

    bool operator==(const Work&) const = default;
  };
  struct Prompt {
    SignalKind asked = SignalKind::permission_asked;  // or question_asked
    std::string id;
    std::string detail;

    bool operator==(const Prompt&) const = default;
  };

  void dispatch(const std::string& type, const nlohmann::json& properties, Signals& out);
  void on_status(const nlohmann::json& properties);
  void on_error(const nlohmann::json& properties);
  void on_session(const nlohmann::json& properties, Signals& out);
  void on_message(const nlohmann::json& properties, Signals& out);
  void on_part(const nlohmann::json& properties, Signals& out);
  void on_asked(Asked& open, const nlohmann::json& properties);
  void on_closed(Asked& open, const nlohmann::json& properties);
  void close(Asked& open, const std::string& id);
  void replace_work(const nlohmann::json& status);
  void add_work(const nlohmann::json& status);
  void set_work(const std::string& session, std::optional<Work> work);
  void replace(Asked& open, Asked now);
  void add(Asked& open, Asked older) const;
  void learn(const std::string& session, Signals& out);
  // `last_end`: how the last turn ended, for when nothing else was told yet.
  void settle(std::string_view source, Signals& out, const std::optional<Signal>& last_end = {});
  void settle_prompt(const std::string& source, Signals& out);
  std::optional<Prompt> prompt() const;
  Summary summary() const;
  const Work* limited_work() const;

  std::map<std::string, Work> work_;
  std::set<std::string> children_;  // sessions of sub-agents
  Asked permissions_;
  Asked questions_;
  std::deque<std::string> closed_;      // ids of prompts that were answered
  std::deque<std::string> tool_calls_;  // ids of calls that were told
  std::optional<std::string> session_;
  std::optional<Signal> held_;  // an error that ended a turn and lasts until the next one
  std::optional<Prompt> told_prompt_;
  bool retell_prompt_ = false;
  Summary told_ = Summary::unknown;
  Work told_work_;
  std::string last_error_;
  bool known_ = false;
  bool aborted_ = false;
  bool wants_snapshot_ = false;
  std::uint64_t generation_ = 0;
};

}  // namespace agentmesh::agents
