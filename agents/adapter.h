#pragma once
// What agentmesh knows about one kind of agent program ("runner"), in two halves. An Adapter is a table row
// without state: how the program is launched and resumed, and its numbers. A Link is the live line to one run
// of it: it turns the runner's own channels (HTTP and its events, hooks, title, output) into Signals, and
// carries a message or an answer to a permission prompt back, without a keystroke.
// The supervisor owns one Link per run. A Link never types into a terminal, never restarts anything, and
// never guesses: what it cannot read is `unreadable`, a delivery it could not prove is `unknown`.

#include "agents/screen_rules.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/secret.h"
#include "base/task.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

namespace agentmesh {
class Offload;
}
namespace agentmesh::net {
class HttpClient;
}

namespace agentmesh::agents {

// ---- launching ------------------------------------------------------------------------------------------

constexpr std::uint16_t kSandboxHttpPort = 4096;
constexpr std::string_view kSandboxHome = "/home/agent";
constexpr std::string_view kSandboxRun =
    "/run/agentmesh";  // hook.sock is ours, http.sock the image's relay's

enum class Place { sandbox, host };

// What a person works with.
enum class Surface {
  terminal,  // the runner's terminal program, in a pane
  server,    // its server, on kSandboxHttpPort of every address inside; there is no terminal
};

// The runner's own permission rules.
enum class Permissions {
  open,  // nothing is asked: the container is the boundary. Refused for Place::host
  ask,   // everything that acts is asked for
  own,   // as the person configured the runner
};

enum class Conversation {
  fresh,            // a new one
  continue_last,    // the last one in this home; when there is none, a new one
  continue_session  // the one named by session_id
};

// Where the runner finds its model. All empty: the runner's own configuration decides.
struct Provider {
  std::string base_url;   // "http://agentmesh-gateway:8080/v1"
  std::string token_env;  // the NAME of the variable that holds the (phantom) token; never the token
};

struct LaunchRequest {
  AgentName name;
  Place place = Place::sandbox;
  Permissions permissions = Permissions::open;
  std::string command;  // custom: a shell line, needed; other runners: the program instead of their own name
  std::string model;    // "demo/scripted"; empty: the runner's default
  Provider provider;
  Conversation conversation = Conversation::fresh;
  std::string session_id;  // the runner ends at once (exit 1) when its home does not hold it
  Surface surface = Surface::terminal;
  // Of a server in a sandbox: the file inside that holds its password. An environment would show it.
  std::filesystem::path password_file;
  // The run folder as the agent sees it: kSandboxRun, or the folder itself on the host.
  std::filesystem::path run_dir = std::filesystem::path(kSandboxRun);
  // The port of the agent's own HTTP server on the agent's loopback. In a sandbox: kSandboxHttpPort.
  // On the host the caller picks a free one, and a password (random_hex(16)), because others share the
  // loopback.
  std::uint16_t http_port = 0;
  Secret http_password;
};

enum class Rewrite {
  keep,    // written only where absent: the program changes it itself
  always,  // ours: written anew at each start
};

struct HomeFile {
  std::filesystem::path path;  // relative to the agent's HOME, never leaves it
  std::string content;
  unsigned mode = 0600;
  Rewrite rewrite = Rewrite::keep;
};

struct LaunchPlan {
  std::vector<std::string> argv;
  std::map<std::string, std::string> env;
  std::vector<HomeFile> files;  // always empty for Place::host
  // Folders of the home that begin empty: what is in them belongs to a run that has ended. Empty for
  // Place::host.
  std::vector<std::filesystem::path> emptied;
  bool serves_http = false;  // the Link speaks HTTP: give it http.sock (sandbox) or the port (host)
};

// Numbers and abilities that do not depend on the launch.
struct RunnerFacts {
  std::string_view runner;         // "opencode"
  std::uint64_t memory_bytes = 0;  // the container's limit unless a person set one
  Millis ready_limit{};            // from start to `ready`; past it it is up, and unknown
  bool own_delivery = false;       // Link::deliver works; else the pane is typed into (tmux/delivery)
  bool own_answer = false;         // Link::answer works
  bool serves = false;             // Surface::server works
  bool tells_permission = false;   // an open permission prompt is seen for certain; else typing needs care
  Millis enter_wait{};             // between a paste into the pane and Enter
  // What answers an open permission prompt in the pane where `own_answer` is not: tmux's names of keys, in
  // order. Pressed only while the screen shows the prompt. Empty: only a person can.
  std::span<const std::string_view> allow_keys = {};
  std::span<const std::string_view> deny_keys = {};
  // Where its pane is typed into: read_screen tells whether the composer is there and what is half typed in
  // it, so nothing is typed while it does not show an empty one.
  bool shows_composer = false;
  // It asks for bracketed pastes, but paints its composer before: what is pasted until then is keys to it, so
  // nothing is.
  bool brackets_pastes = false;
  // The dialog for a usage limit stays when the limit is over, and takes every key: only a new start goes on.
  bool limit_dialog_stays = false;
  // A message that begins with one of these characters, blanks aside, would be a command to the program (a
  // shell line, a setting) instead of words for its model: it is never typed.
  std::string_view command_marks = "/!";
  // Pressed between the paste and Enter, by tmux's name: moves the cursor off the message's end, where half a
  // word opens a popup that takes Enter for itself, and a backslash makes it a new line. Empty: none.
  std::string_view key_after_paste = {};
  // Variables that its own channel depends on, besides AGENTMESH_*: nobody may give them another value.
  std::span<const std::string_view> own_variables = {};
};

// ---- signals --------------------------------------------------------------------------------------------

enum class SignalKind {
  ready,              // the program is up and answers
  activity,           // it did something; says nothing about the state
  busy,               // a turn runs
  idle,               // no turn runs, and nothing is asked
  permission_asked,   // a person must allow or deny: detail says what for, id names it. In place of the last
  permission_closed,  // the prompt is gone, and no other is open
  question_asked,     // the agent asks the person something
  question_closed,
  turn_ended,       // a turn ended by itself; follows with idle. With `at` when nobody was there to hear it
  turn_failed,      // a turn ended by an error of its provider (5xx, network, no room): detail says which
  rate_limited,     // `until` when the provider said so
  auth_required,    // login or key needed
  session_learned,  // id is the conversation's id, to be kept for resume
  tool_called,      // detail is a hash of tool and input: the loop check counts equal ones in a row
  unreadable,       // the source that gave the state is gone or talks nonsense: the state is unknown now
};

struct Signal {
  SignalKind kind = SignalKind::activity;
  std::string source;  // "http", "event", "status", "hook", "title", "screen", "output"
  std::string detail;  // one line for `explain`, at most kMaxSignalDetail bytes of UTF-8
  std::string id;      // of the permission, question or session
  std::optional<WallTime> until;
  // turn_ended, turn_failed: it was over when the Link connected, at this time by the agent's clock. It may
  // have been told before, and says something only of what was told to the agent before that time.
  std::optional<WallTime> at = {};

  bool operator==(const Signal&) const = default;
};

constexpr std::size_t kMaxSignalDetail = 400;

using SignalSink = std::function<void(Signal)>;

std::string_view to_string(SignalKind kind);

// ---- the live line --------------------------------------------------------------------------------------

enum class DeliveryResult {
  delivered,    // seen inside the agent's conversation
  blocked,      // not sent: a permission or question is open, or the agent is not up yet; try again later
  failed,       // refused for good; it is certain that the agent did not get it
  unknown,      // sent, and no proof either way: must not be sent again
  unsupported,  // this runner has no channel of its own: use the pane
};

struct Delivery {
  DeliveryResult result = DeliveryResult::unsupported;
  std::string why;  // one line, empty when delivered
};

std::string_view to_string(DeliveryResult result);

enum class Attempt {
  first,     // never handed to the runner before
  repeated,  // may have been, by a daemon that died: the conversation is searched for it first
};

struct Message {
  std::string id;    // the caller's, stable over retries: the same id is delivered at most once
  std::string text;  // UTF-8, not empty, at most kMaxMessageBytes
  Millis limit{};    // how long deliver() may take, verification included
  Attempt attempt = Attempt::first;
};

constexpr std::size_t kMaxSessionId = 512;  // bytes
constexpr std::size_t kMaxMessageBytes = 64 * 1024;

enum class PermissionAnswer { allow_once, deny };

struct LinkContext {
  Place place = Place::sandbox;
  boost::asio::any_io_executor executor;
  net::HttpClient& http;  // outlives the Link
  const Clock& clock;     // outlives the Link
  Offload& offload;       // outlives the Link
  // The folder that is mounted at kSandboxRun: the Link binds hook.sock in it and calls http.sock in it.
  std::filesystem::path run_dir;
  std::filesystem::path
      home;  // the agent's HOME, as this process sees it: the agent writes there what it likes
  // Host runs only: the port of the LaunchRequest. 0: use http.sock.
  std::uint16_t http_port = 0;
  Secret http_password;  // of the runner's server; empty: it asks for none
  Surface surface = Surface::terminal;
  Permissions permissions = Permissions::own;  // of the LaunchRequest

  // How this run was launched, and the conversation as last learned (session_learned); empty: not known yet.
  Conversation conversation = Conversation::fresh;
  std::string session_id;
};

// The destructor ends every conversation; the sink is not called after it. All calls on the one thread.
// The sink may be called from inside start(), title(), painted(), screen(); it must not destroy the Link.
class Link {
 public:
  virtual ~Link() = default;

  // Begins to listen. Also right after a daemon restart: the state is asked for, nothing is assumed.
  // Errors: hook.sock cannot be bound (the rest still works).
  virtual Result<> start() = 0;

  // What the supervisor sees of the pane: its title, and that its picture changed by the program's own doing
  // (at most once a second). painted() answers whether the picture should be read; its reading follows.
  virtual void title(std::string_view pane_title) = 0;
  virtual bool painted() = 0;
  virtual void screen(const ScreenReading& reading) = 0;

  // Carries a message through the runner's own channel, or says `unsupported` at once. Never twice for one
  // id, never while something is asked. The outcome is in the value; a failed Result means a defect.
  virtual Task<Delivery> deliver(Message message) = 0;

  // Answers the permission prompt that was told with this id, and no other; an empty id is one that was told
  // without. Errors: not_found (it is not open, or gone), conflict (it is being answered), invalid (no such
  // ability: keys are the way), unavailable, timeout.
  virtual Task<> answer(std::string prompt, PermissionAnswer answer, std::string reason) = 0;

  // The conversation's id, once known: what LaunchRequest.session_id takes after a restart.
  virtual std::optional<std::string> session_id() const = 0;

  // The program's version as it tells it itself, like "2.1.331"; empty: not known (yet).
  virtual std::string version() const { return {}; }
};

class Adapter {
 public:
  virtual ~Adapter() = default;
  virtual const RunnerFacts& facts() const = 0;
  // Pure. Errors: invalid (stage "runner"), with the cure in the hint.
  virtual Result<LaunchPlan> plan(const LaunchRequest& request) const = 0;
  // Whether plan() continues a conversation of this id: what an agent calls itself may be anything, and an id
  // that is not taken is never saved.
  virtual bool takes_session(std::string_view id) const = 0;
  virtual std::unique_ptr<Link> link(LinkContext context, SignalSink sink) const = 0;
  // What a capture of its pane shows, with SGR codes. Pure. `version` is the Link's. Without rules for the
  // runner always `unknown`.
  ScreenReading read_screen(std::string_view coloured, std::string_view version) const;
  // The first words of a message that the program, where it is typed into, would certainly take for something
  // else than words and change: such a message is never typed. None: it would not. Pure.
  virtual std::optional<std::string> misread(std::string_view message) const;
};

// "opencode", "claude", "custom" (which knows its state only when the program tells it: docs/runners.md).
// Errors: invalid, naming the runners this version knows. The adapter lives for ever.
Result<const Adapter*> find_adapter(std::string_view runner);

}  // namespace agentmesh::agents
