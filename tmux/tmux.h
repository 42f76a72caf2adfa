#pragma once
// The seam to tmux: agents' panes on a private tmux server. One Tmux object serves all panes; what happens to
// them is pushed to a handler, nothing is polled. It never decides: it opens, shows, types and reports.
// Targets are bare pane ids (%12) and exact session names, because tmux resolves anything else by prefix.

#include "base/clock.h"
#include "base/task.h"

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <variant>
#include <vector>

namespace agentmesh::tmux {

constexpr std::size_t kMaxPasteBytes = 64 * 1024;  // of one message, after cleaning
constexpr int kMaxCaptureLines = 5000;             // of history; equals the panes' history-limit

// A pane's id as tmux gives it. It is unique for the life of a server, and never reused by it.
struct PaneId {
  std::uint32_t value = 0;
  auto operator<=>(const PaneId&) const = default;
  std::string str() const;  // "%12"
};
// "%12". Errors: invalid.
Result<PaneId> parse_pane_id(std::string_view text);

struct Size {
  int columns = 0;
  int rows = 0;
  auto operator<=>(const Size&) const = default;
};

struct Pane {
  std::string session;
  PaneId id;
  pid_t pid = 0;                   // of the pane's first process
  bool dead = false;               // the program ended; the pane is kept with its text
  std::optional<int> exit_status;  // when it ended by an exit
  std::optional<int> signal;       // when a signal ended it; neither: tmux does not know (rare)
  bool in_mode = false;            // a person scrolls it (copy mode) or has a menu open
  int attached = 0;                // terminals that show it now
  Size size;
  std::int64_t painted_s =
      0;  // when its picture changed last, in s since 1970: by what it wrote, also as an echo
  bool brackets_pastes = false;  // its program has asked for bracketed pastes, says the relay
  std::string title;             // UTF-8, at most 256 characters
  bool operator==(const Pane&) const = default;
};

struct LastKey {
  std::int64_t at_s = 0;  // since 1970, as tmux counts: another key within the same second does not change it
  Millis ago{};
  bool only_attached = false;  // within that second the person attached; a key need not have followed
};

// What is pushed. A title and a new picture come within 1.5 s, a death within 0.1 s, a lost server at once.
struct PaneChanged {
  Pane pane;
};
struct PaneGone {
  std::string session;
  PaneId id;
};
struct ServerLost {
  std::string reason;
};
struct ServerBack {
  pid_t server_pid = 0;
  bool fresh = false;  // a new server without our panes: open them again
};
using Event = std::variant<PaneChanged, PaneGone, ServerLost, ServerBack>;
using Handler = std::function<void(const Event&)>;

struct ServerInfo {
  std::string version;  // "3.3a"
  pid_t pid = 0;
  std::string socket_path;
  std::string owner;  // whose it is: TmuxOptions::owner, as owner_mark() writes it
};

struct OpenSpec {
  std::string session;                                   // agentmesh-NAME
  std::vector<std::string> argv;                         // run as it is, without a shell
  std::vector<std::pair<std::string, std::string>> env;  // added to the server's small environment
  std::string workdir;                                   // absolute; empty: the root folder
  Size size;                                             // until a terminal attaches
};

enum class Rendering {
  text,    // what a person reads, no escape codes; a line that the terminal wrapped is one again
  colour,  // with SGR codes
};

// The marks around a paste, without which it is keys to a program.
enum class PasteMarks {
  if_asked_for,  // a program that has not asked for them is typed into without
  required,      // it must have asked for them
};

// Errors common to all calls: unavailable (tmux missing, too old, or its server is down: asking again later
// starts it), timeout (no answer within the deadline: whether it happened is not known), internal (tmux's own
// message is in `what`).
class Tmux {
 public:
  virtual ~Tmux() = default;

  // Starts the server when it does not run and connects to it. Success: the server answers, and is no other
  // home's.
  virtual Task<ServerInfo> ensure() = 0;
  // In a session of its own, or in a new window when a person's panes have kept the session; theirs are left
  // alone. Errors: conflict when the session has our pane; invalid for a bad name, an empty argv or a size
  // out of 1..1000.
  virtual Task<Pane> open(OpenSpec spec) = 0;
  // Success: the session has no pane of ours now; it ends with its last pane. The pane's program gets SIGHUP.
  virtual Task<> close(std::string session) = 0;
  // Our panes, one of each session. Those that a person opened beside them are never shown.
  virtual Task<std::vector<Pane>> list() = 0;
  // The visible rows and up to `history_lines` above them, rendered; trailing blank rows are left out.
  // Errors: not_found, exhausted (too large to be read with its colours).
  virtual Task<std::string> capture(PaneId pane, int history_lines, Rendering rendering) = 0;
  // Runs argv in the pane in place of what runs there; its text is cleared. Errors: not_found.
  virtual Task<Pane> respawn(PaneId pane, std::vector<std::string> argv) = 0;
  // When a person pressed a key last in a terminal that is attached to the pane's session and may type;
  // nothing when there is none. The mouse counts as a key. Errors: not_found.
  virtual Task<std::optional<LastKey>> last_key(PaneId pane) = 0;
  // Types the text as one paste, byte for byte. Any mode of the pane (copy mode, a tree, a menu of
  // its own) is left in the same step, so that none takes it. Errors: not_found, conflict (the program ended,
  // its input is switched off, or it has not asked for the marks that are required), invalid (not UTF-8),
  // exhausted (over kMaxPasteBytes). `timeout`: it may have been pasted.
  virtual Task<> paste(PaneId pane, std::string text, PasteMarks marks) = 0;
  // Presses keys by tmux's names ("Enter", "Escape", "Down", "C-c", "1"), in order. "CR" is a literal
  // carriage return. A mode is left as by paste(). Errors: not_found, conflict, invalid (no such key).
  virtual Task<> press(PaneId pane, std::vector<std::string> keys) = 0;
  // A line shown to whoever is attached to the session (empty: to any), with a bell. Success also when nobody
  // is.
  virtual Task<> announce(std::string session, std::string text) = 0;
  // A desktop notification by every attached terminal that shows such. Success also when there is none.
  virtual Task<> notify_desktop(std::string title, std::string text) = 0;
  // Ends the server with all its panes. Success: it no longer runs, or is another home's and was left alone.
  virtual Task<> kill_server() = 0;
};

}  // namespace agentmesh::tmux
