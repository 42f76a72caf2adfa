#include "tmux/control_tmux.h"

#include "base/ids.h"
#include "base/pause.h"
#include "base/process.h"
#include "base/spawn_logged.h"
#include "base/text.h"
#include "base/waiters.h"
#include "tmux/command.h"
#include "tmux/control_link.h"
#include "tmux/death_watch.h"
#include "tmux/desktop.h"
#include "tmux/ownership.h"
#include "tmux/pane_format.h"
#include "tmux/paste_mark.h"
#include "tmux/server_setup.h"

#include <algorithm>
#include <map>
#include <set>
#include <signal.h>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

namespace agentmesh::tmux {
namespace {

namespace asio = boost::asio;
using SteadyTime = std::chrono::steady_clock::time_point;

constexpr int kMaxSide = 1000;  // columns or rows; a larger window burns CPU while idle
// Of a pane that is read with its colours. tmux needs 5 s and more for a million cells in colours of their
// own, and answers nobody meanwhile.
constexpr int kMaxPictureCells = 200'000;
constexpr int kLooksForCause = 20;  // of a death; one each 3 ms
constexpr Millis kAttachPoll{10};
constexpr std::string_view kMayType = "00:";  // a person's client, and not read-only
constexpr Millis kAnnounceTime{10000};        // on the status line

std::unexpected<Error> invalid(std::string what) { return fail(ErrorCode::invalid, "tmux", std::move(what)); }

Result<> check_session(std::string_view name) {
  const auto allowed = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
  };
  if (!name.empty() && name.size() <= 100 && std::ranges::all_of(name, allowed)) return {};
  return invalid("'" + plain_text(name.substr(0, 100)) + "' is not a session name");
}

Result<> check_argv(const std::vector<std::string>& argv) {
  if (!argv.empty() && !argv.front().empty()) return {};
  return invalid("no program to run in the pane");
}

Result<> check(const OpenSpec& spec) {
  if (auto name = check_session(spec.session); !name) return name;
  if (auto argv = check_argv(spec.argv); !argv) return argv;
  const bool fits = spec.size.columns >= 1 && spec.size.columns <= kMaxSide && spec.size.rows >= 1 &&
                    spec.size.rows <= kMaxSide;
  if (!fits)
    return invalid(fmt::format("size {}x{} is out of 1..{}", spec.size.columns, spec.size.rows, kMaxSide));
  return {};
}

// send-keys types what it does not know as text; so only known names pass.
bool is_key(std::string_view key) {
  static const std::set<std::string_view> kNames = {"CR",     "Enter", "Escape", "Tab",  "BTab",  "Space",
                                                    "BSpace", "Up",    "Down",   "Left", "Right", "Home",
                                                    "End",    "PPage", "NPage",  "DC",   "IC"};
  if (key.starts_with("C-") || key.starts_with("M-")) key.remove_prefix(2);
  return kNames.contains(key) || (key.size() == 1 && key[0] > ' ' && key[0] < 0x7f);
}

bool unexplained(const Pane& pane) { return pane.dead && !pane.exit_status && !pane.signal; }

Millis since(std::int64_t second) {
  const auto now = std::chrono::floor<Millis>(std::chrono::system_clock::now());  // tmux's own clock
  return now - WallTime{std::chrono::seconds(second)};
}

std::string exactly(const std::string& session) { return "=" + session; }

// A command that opens a pane, with what runs there; it answers with the pane's id.
std::vector<std::string> running(const OpenSpec& spec, std::vector<std::string> words) {
  words.insert(words.end(), {"-P", "-F", "#{pane_id}"});
  for (const auto& [key, value] : spec.env) words.insert(words.end(), {"-e", key + "=" + value});
  words.insert(words.end(), {"-c", spec.workdir.empty() ? "/" : escape_format(spec.workdir), "--"});
  for (std::string& word : pane_command(spec.argv)) words.push_back(std::move(word));
  return words;
}

std::string without_blank_end(std::string text) {
  text.erase(text.find_last_not_of(" \n") + 1);
  return text;
}

// -J keeps the blanks at the ends of rows.
std::string without_blank_line_ends(std::string_view text) {
  std::string kept;
  kept.reserve(text.size());
  for (const std::string_view line : split(text, '\n'))
    kept.append(line.substr(0, line.find_last_not_of(' ') + 1)) += '\n';
  return kept;
}

}  // namespace

class ControlTmux::Impl : public std::enable_shared_from_this<ControlTmux::Impl> {
 public:
  Impl(asio::any_io_executor executor, TmuxOptions options, Handler handler)
      : executor_(executor), options_(std::move(options)), handler_(std::move(handler)), retry_(executor) {
    options_.owner = owner_mark(options_.owner);
  }

  Task<ServerInfo> ensure();
  Task<Pane> open(OpenSpec spec);
  Task<> close(std::string session);
  Task<std::vector<Pane>> list();
  Task<std::string> capture(PaneId pane, int history_lines, Rendering rendering);
  Task<Pane> respawn(PaneId pane, std::vector<std::string> argv);
  Task<std::optional<LastKey>> last_key(PaneId pane);
  Task<> paste(PaneId pane, std::string text, PasteMarks marks);
  Task<> press(PaneId pane, std::vector<std::string> keys);
  Task<> announce(std::string session, std::string text);
  Task<> notify_desktop(std::string title, std::string text);
  Task<> kill_server();
  void shut_down();

 private:
  Task<std::string> ask(Request request);
  Task<std::string> ask(std::vector<std::string> words) { return ask(Request{.words = std::move(words)}); }
  Task<> do_command(std::vector<std::string> words);
  Task<std::string> open_window(const OpenSpec& spec);
  Task<Pane> look_at(const std::string& pane);
  Task<> type(PaneId pane, std::vector<std::string> words, PasteMarks marks);
  Task<ServerInfo> connect();
  Task<ServerInfo> set_up(std::shared_ptr<ControlLink> link);
  Task<> until_attached(std::shared_ptr<ControlLink> link);
  Task<ServerInfo> owned(std::shared_ptr<ControlLink> link, ServerInfo server);
  Task<ServerInfo> server_info(std::shared_ptr<ControlLink> link);
  void connected(std::shared_ptr<ControlLink> link, const ServerInfo& server);
  void failed(const Error& error);
  void on_notice(const Notice& notice);
  void on_lost(std::string reason);
  void look_again();
  void schedule_retry();
  void apply(const Result<std::vector<Pane>>& panes);
  void reap() const;
  void emit(Event event);

  asio::any_io_executor executor_;
  TmuxOptions options_;
  Handler handler_;
  std::shared_ptr<ControlLink> link_;
  bool wanted_ = false;      // once ensured, a lost server is started again
  bool connecting_ = false;  // then others join_ and take outcome_
  bool looking_ = false;     // a list for look_again() is under way
  bool look_twice_ = false;
  Waiters joined_;  // for outcome_
  asio::steady_timer retry_;
  Result<ServerInfo> outcome_;
  pid_t server_pid_ = 0;
  Millis backoff_ = kFirstReconnect;
  SteadyTime not_before_{};
  std::map<PaneId, Pane> known_;
  std::optional<DeathWatch> deaths_;
  int looks_for_cause_ = 0;
};

// ---- the server and the connection to it

Task<ServerInfo> ControlTmux::Impl::ensure() {
  wanted_ = true;
  if (const auto link = link_) {
    auto server = co_await server_info(link);
    if (!server) co_return server;
    co_return co_await owned(link, std::move(*server));
  }
  if (connecting_) {
    co_await joined_.wait();
    co_return outcome_;
  }
  if (std::chrono::steady_clock::now() < not_before_) co_return outcome_;
  connecting_ = true;
  outcome_ = co_await connect();
  connecting_ = false;
  if (!outcome_) failed(outcome_.error());
  joined_.wake();
  co_return outcome_;
}

Task<ServerInfo> ControlTmux::Impl::connect() {
  const std::weak_ptr<Impl> weak = weak_from_this();
  ControlLink::Listener listener{.notice =
                                     [weak](const Notice& notice) {
                                       if (const auto self = weak.lock()) self->on_notice(notice);
                                     },
                                 .ended =
                                     [weak](std::string reason) {
                                       if (const auto self = weak.lock()) self->on_lost(std::move(reason));
                                     }};
  auto process = client_process(options_);
  if (!process) co_return pass(process.error());
  auto link = ControlLink::start(executor_, std::move(*process), std::move(listener));
  if (!link) co_return pass(link.error());
  auto server = co_await set_up(*link);
  if (!server) (*link)->close();
  if (server) connected(*link, *server);
  co_return server;
}

Task<ServerInfo> ControlTmux::Impl::set_up(std::shared_ptr<ControlLink> link) {
  auto server = co_await server_info(link);
  if (!server) {
    co_return fail(ErrorCode::unavailable, "tmux", "cannot reach the tmux server: " + server.error().what,
                   "look at it with: tmux -L " + options_.socket + " ls");
  }
  if (!version_is_enough(server->version)) {
    co_return fail(
        ErrorCode::unavailable, "tmux", "tmux " + server->version + " is too old",
        "install tmux 3.3 or newer and end the old server: tmux -L " + options_.socket + " kill-server");
  }
  if (auto attached = co_await until_attached(link); !attached) co_return pass(attached.error());
  if (server = co_await owned(link, std::move(*server)); !server) co_return server;
  for (std::vector<std::string>& words : server_setup()) {
    const auto done = co_await link->ask(Request{.words = std::move(words)}, options_.deadline);
    if (!done) co_return pass(done.error());
  }
  co_return server;
}

// A client that joins a server which runs already answers before it is attached; until then tmux says that
// there is no current client.
Task<> ControlTmux::Impl::until_attached(std::shared_ptr<ControlLink> link) {
  const auto deadline = std::chrono::steady_clock::now() + options_.deadline;
  while (true) {
    const auto done = co_await link->ask(Request{.words = {"refresh-client"}}, options_.deadline);
    if (done) co_return Result<void>{};
    if (std::chrono::steady_clock::now() >= deadline) co_return pass(done.error());
    co_await pause(kAttachPoll);
  }
}

// The server, once it is this owner's.
Task<ServerInfo> ControlTmux::Impl::owned(std::shared_ptr<ControlLink> link, ServerInfo server) {
  if (server.owner == options_.owner) co_return server;
  if (auto claimed = co_await claim_server(std::move(link), options_, server.owner); !claimed)
    co_return pass(claimed.error());
  server.owner = options_.owner;
  co_return server;
}

Task<ServerInfo> ControlTmux::Impl::server_info(std::shared_ptr<ControlLink> link) {
  const auto answer = co_await link->ask(
      Request{.words = {"display-message", "-p", "#{version}:#{pid}:#{@agentmesh-owner}:#{socket_path}"}},
      options_.deadline);
  if (!answer) co_return pass(answer.error());
  const auto fields = split(*answer, ':');
  if (fields.size() < 4) co_return fail(ErrorCode::internal, "tmux", "unexpected answer of the tmux server");
  const std::size_t path = fields[0].size() + fields[1].size() + fields[2].size() + 3;
  ServerInfo server{.version = std::string(fields[0]),
                    .socket_path = answer->substr(path),
                    .owner = std::string(fields[2])};
  server.pid = whole_number<pid_t>(fields[1]).value_or(0);
  co_return server;
}

void ControlTmux::Impl::connected(std::shared_ptr<ControlLink> link, const ServerInfo& server) {
  if (!wanted_) return link->close();
  const bool fresh = server.pid != server_pid_;
  const bool first = server_pid_ == 0;
  link_ = std::move(link);
  server_pid_ = server.pid;
  deaths_.emplace(executor_, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->look_again();
  });
  backoff_ = kFirstReconnect;
  not_before_ = {};
  if (fresh) known_.clear();
  if (!first) emit(ServerBack{server.pid, fresh});
  look_again();
}

void ControlTmux::Impl::failed(const Error&) {
  not_before_ = std::chrono::steady_clock::now() + backoff_;
  if (server_pid_ != 0) schedule_retry();
  backoff_ = std::min(backoff_ * 2, kLastReconnect);
}

void ControlTmux::Impl::on_lost(std::string reason) {
  if (!link_) return;  // still being set up: connect() reports it
  link_.reset();
  looking_ = look_twice_ = false;
  if (!wanted_) return;
  emit(ServerLost{std::move(reason)});
  schedule_retry();
}

void ControlTmux::Impl::schedule_retry() {
  retry_.expires_after(backoff_);
  retry_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const auto self = weak.lock();
    if (error || !self || !self->wanted_ || self->link_) return;
    spawn_logged(self->executor_, "tmux", [self]() -> asio::awaitable<void> { co_await self->ensure(); });
  });
}

void ControlTmux::Impl::shut_down() {
  wanted_ = false;
  handler_ = {};
  retry_.cancel();
  if (const auto link = std::exchange(link_, {})) link->close();
}

// ---- what tmux tells by itself

void ControlTmux::Impl::on_notice(const Notice& notice) {
  if (notice.name == "subscription-changed") {
    const std::size_t colon = notice.rest.find(" : ");
    if (notice.rest.starts_with(kSubscription) && colon != std::string::npos) {
      const auto panes = parse_all_panes(std::string_view(notice.rest).substr(colon + 3));
      panes ? apply(panes) : look_again();
    }
  } else if (notice.name == "sessions-changed" || notice.name == "unlinked-window-close") {
    look_again();
  }
}

// One list at a time; what changes meanwhile makes one more.
void ControlTmux::Impl::look_again() {
  look_twice_ = looking_;
  if (looking_ || !link_) return;
  looking_ = true;
  spawn_logged(executor_, "tmux", [self = shared_from_this(), link = link_]() -> asio::awaitable<void> {
    co_await link->ask(Request{.words = {"list-panes", "-a", "-F", pane_format()},
                               .at_once =
                                   [self](const Reply& reply) {
                                     if (reply.ok) self->apply(parse_pane_lines(reply.text));
                                   }},
                       self->options_.deadline);
    if (self->link_ != link) co_return;
    self->looking_ = false;
    if (self->look_twice_) self->look_again();
  });
}

void ControlTmux::Impl::apply(const Result<std::vector<Pane>>& panes) {
  if (!panes || !deaths_) return;
  std::map<PaneId, Pane> now;
  const bool wait_for_cause =
      std::ranges::any_of(*panes, unexplained) && ++looks_for_cause_ <= kLooksForCause;
  if (!wait_for_cause) looks_for_cause_ = 0;
  if (wait_for_cause) reap();
  for (Pane pane : *panes) {
    if (wait_for_cause && unexplained(pane)) pane.dead = false;  // so it is watched, and looked at again
    const auto before = known_.find(pane.id);
    if (before == known_.end() || before->second != pane) emit(PaneChanged{pane});
    now.emplace(pane.id, pane);
  }
  for (const auto& [id, pane] : known_) {
    if (!now.contains(id)) emit(PaneGone{pane.session, id});
  }
  known_ = std::move(now);
  deaths_->keep(known_);
}

// A pane's end can race with a helper that tmux runs then (utempter), and its SIGCHLD be lost: the pane is
// dead without a cause, its process a zombie, until the next child ends. This signal makes tmux look; it does
// no more.
void ControlTmux::Impl::reap() const {
  if (link_ && server_pid_ > 0) ::kill(server_pid_, SIGCHLD);
}

void ControlTmux::Impl::emit(Event event) {
  asio::post(executor_, [weak = weak_from_this(), event = std::move(event)] {
    const auto self = weak.lock();
    if (self && self->handler_) self->handler_(event);
  });
}

// ---- commands

Task<std::string> ControlTmux::Impl::ask(Request request) {
  if (!link_) {
    if (auto server = co_await ensure(); !server) co_return pass(server.error());
  }
  const auto link = link_;
  if (!link) co_return fail(ErrorCode::unavailable, "tmux", "the tmux server is gone", "try again");
  co_return co_await link->ask(std::move(request), options_.deadline);
}

Task<> ControlTmux::Impl::do_command(std::vector<std::string> words) {
  const auto done = co_await ask(std::move(words));
  if (!done) co_return pass(done.error());
  co_return Result<>{};
}

Task<Pane> ControlTmux::Impl::open(OpenSpec spec) {
  if (auto valid = check(spec); !valid) co_return pass(valid.error());
  std::vector<std::string> words = {"new-session",
                                    "-s",
                                    spec.session,
                                    "-x",
                                    std::to_string(spec.size.columns),
                                    "-y",
                                    std::to_string(spec.size.rows),
                                    "-d"};
  auto id = co_await ask(running(spec, std::move(words)));
  if (!id && id.error().code == ErrorCode::conflict) id = co_await open_window(spec);
  if (!id) co_return pass(id.error());
  if (auto marked = co_await do_command(mark_pane(*id, spec.session)); !marked)
    co_return pass(marked.error());
  look_again();  // tmux tells no mark, and who ends it at once must be seen
  co_return co_await look_at(*id);
}

// The session was kept by panes of a person, who stays in the window they have before them.
Task<std::string> ControlTmux::Impl::open_window(const OpenSpec& spec) {
  const auto panes = co_await list();
  if (!panes) co_return pass(panes.error());
  if (std::ranges::find(*panes, spec.session, &Pane::session) != panes->end())
    co_return fail(ErrorCode::conflict, "tmux", "duplicate session: " + spec.session);
  const std::string target = exactly(spec.session) + ":";
  const auto people = co_await ask({"display-message", "-p", "-t", target, "#{session_attached}"});
  if (!people) co_return pass(people.error());
  std::vector<std::string> words = {"new-window", "-t", target};
  if (*people != "0") words.emplace_back("-d");
  co_return co_await ask(running(spec, std::move(words)));
}

Task<Pane> ControlTmux::Impl::look_at(const std::string& pane) {
  const auto answer = co_await ask({"display-message", "-p", "-t", pane, pane_format()});
  if (!answer) co_return pass(answer.error());
  co_return parse_pane(*answer);
}

Task<> ControlTmux::Impl::close(std::string session) {
  if (auto valid = check_session(session); !valid) co_return valid;
  const auto panes = co_await ask({"list-panes", "-a", "-f", has_mark_of(session), "-F", "#{pane_id}"});
  if (!panes) co_return pass(panes.error());
  for (const std::string_view pane : split(*panes, '\n')) {
    if (pane.empty()) continue;
    const auto done = co_await do_command({"kill-pane", "-t", std::string(pane)});
    if (!done && done.error().code != ErrorCode::not_found) co_return done;
  }
  co_return Result<>{};
}

Task<std::vector<Pane>> ControlTmux::Impl::list() {
  const std::vector<std::string> words = {"list-panes", "-a", "-F", pane_format()};
  auto answer = co_await ask(words);
  if (!answer) co_return pass(answer.error());
  auto panes = parse_pane_lines(*answer);
  if (!panes || std::ranges::none_of(*panes, unexplained)) co_return panes;
  reap();
  answer = co_await ask(words);
  if (!answer) co_return pass(answer.error());
  co_return parse_pane_lines(*answer);
}

Task<std::string> ControlTmux::Impl::capture(PaneId pane, int history_lines, Rendering rendering) {
  const auto known = known_.find(pane);
  const Size size = known == known_.end() ? Size{} : known->second.size;
  if (rendering == Rendering::colour && size.columns * size.rows > kMaxPictureCells)
    co_return fail(ErrorCode::exhausted, "tmux", "the pane is too large to be read with its colours");
  const int above = std::clamp(history_lines, 0, kMaxCaptureLines);
  std::vector<std::string> words = {"capture-pane", "-p", "-t", pane.str(), "-S", std::to_string(-above)};
  words.emplace_back(rendering == Rendering::colour ? "-e" : "-J");
  auto answer = co_await ask(Request{.words = std::move(words), .holds = ReplyHolds::painted_text});
  if (!answer) co_return pass(answer.error());
  const std::string rows = to_utf8(*answer);
  co_return without_blank_end(rendering == Rendering::colour ? rows : without_blank_line_ends(rows));
}

Task<Pane> ControlTmux::Impl::respawn(PaneId pane, std::vector<std::string> argv) {
  if (auto valid = check_argv(argv); !valid) co_return pass(valid.error());
  // tmux keeps the title of the program before, which may say that it is idle.
  if (auto cleared = co_await do_command({"select-pane", "-t", pane.str(), "-T", ""}); !cleared)
    co_return pass(cleared.error());
  std::vector<std::string> words = {"respawn-pane", "-k", "-t", pane.str(), "--"};
  for (std::string& word : pane_command(std::move(argv))) words.push_back(std::move(word));
  if (auto done = co_await do_command(std::move(words)); !done) co_return pass(done.error());
  co_await do_command({"clear-history", "-t", pane.str()});
  co_return co_await look_at(pane.str());
}

Task<std::optional<LastKey>> ControlTmux::Impl::last_key(PaneId pane) {
  const auto clients = co_await ask({"list-clients", "-t", pane.str(), "-F",
                                     "#{client_control_mode}#{client_readonly}"
                                     ":#{==:#{client_activity},#{client_created}}:#{client_activity}"});
  if (!clients) co_return pass(clients.error());
  std::optional<LastKey> last;
  for (std::string_view client : split(*clients, '\n')) {
    if (!client.starts_with(kMayType)) continue;
    client.remove_prefix(kMayType.size());
    LastKey key{.only_attached = client.starts_with('1')};
    client.remove_prefix(std::min<std::size_t>(client.size(), 2));
    key.at_s = whole_number<std::int64_t>(client).value_or(0);
    if (!last || key.at_s > last->at_s) last = key;
  }
  if (last) last->ago = since(last->at_s);
  co_return last;
}

Task<> ControlTmux::Impl::paste(PaneId pane, std::string text, PasteMarks marks) {
  if (text.size() > kMaxPasteBytes)
    co_return fail(ErrorCode::exhausted, "tmux", "the message is over 64 KiB");
  if (text.empty() || !is_utf8(text)) co_return invalid("the message is not UTF-8 text");
  const std::string buffer = "agentmesh-" + random_hex(8);
  auto loaded = co_await do_command({"set-buffer", "-b", buffer, "--", std::move(text)});
  // Nothing is typed yet, so a lost answer is no doubt.
  if (!loaded && loaded.error().code == ErrorCode::timeout) loaded.error().code = ErrorCode::unavailable;
  if (!loaded) co_return loaded;
  auto pasted =
      co_await type(pane, {"paste-buffer", "-p", "-r", "-d", "-b", buffer, "-t", pane.str()}, marks);
  if (!pasted && link_) co_await do_command({"delete-buffer", "-b", buffer});
  co_return pasted;
}

Task<> ControlTmux::Impl::press(PaneId pane, std::vector<std::string> keys) {
  for (const std::string& key : keys) {
    if (!is_key(key)) co_return invalid("'" + plain_text(key) + "' is not a key");
  }
  for (const std::string& key : keys) {
    std::vector<std::string> words = {"send-keys", "-t", pane.str(), "--", key};
    if (key == "CR") words = {"send-keys", "-t", pane.str(), "-H", "0d"};
    if (auto done = co_await type(pane, std::move(words), PasteMarks::if_asked_for); !done) co_return done;
  }
  co_return Result<>{};
}

// Looks, leaves a mode and types in one step of tmux, between which nobody presses a key and nothing ends.
// (tmux 3.3a crashes, with all panes, on a paste into a dead one.) Either way there are three replies.
Task<> ControlTmux::Impl::type(PaneId pane, std::vector<std::string> words, PasteMarks marks) {
  const std::string id = pane.str();
  const std::string is_pane = "#{==:#{pane_id}," + id + "}";
  const std::string takes_it = marks == PasteMarks::required ? std::string(kBracketsPastes) : "1";
  const std::string may_type = "#{?" + is_pane + ",#{?pane_dead,0,#{?pane_input_off,0," + takes_it + "}},0}";
  const std::string leave_and_type =
      command_line({"copy-mode", "-q", "-t", id}) + " ; " + command_line(words);
  const std::string say_why =
      command_line({"display-message", "-p", ""}) + " ; " +
      command_line({"display-message", "-p", "-t", id,
                    "#{?pane_dead,dead,#{?pane_input_off,off,#{?" + is_pane + ",plain,gone}}}"});
  const auto done = co_await ask(
      Request{.words = {"if-shell", "-F", "-t", id, may_type, leave_and_type, say_why}, .replies = 3});
  if (!done) co_return pass(done.error());
  if (*done == "gone") co_return fail(ErrorCode::not_found, "tmux", "can't find pane: " + id);
  if (*done == "dead") co_return fail(ErrorCode::conflict, "tmux", "the program in pane " + id + " ended");
  if (*done == "off")
    co_return fail(ErrorCode::conflict, "tmux", "the input of pane " + id + " is switched off");
  if (*done == "plain")
    co_return fail(ErrorCode::conflict, "tmux",
                   "the program in pane " + id + " has not asked for bracketed pastes");
  co_return Result<>{};
}

Task<> ControlTmux::Impl::announce(std::string session, std::string text) {
  std::vector<std::string> words{"list-clients", "-F", "#{client_name}"};
  if (!session.empty()) {
    if (auto valid = check_session(session); !valid) co_return valid;
    words.insert(words.end(), {"-t", exactly(session)});
  }
  const auto clients = co_await ask(std::move(words));
  if (!clients) co_return pass(clients.error());
  for (const std::string_view client : split(*clients, '\n')) {
    if (!client.starts_with("/dev/")) continue;  // a control client
    write_to_terminal(std::string(client), "\a");
    co_await do_command({"display-message", "-c", std::string(client), "-d",
                         std::to_string(kAnnounceTime.count()), "--", escape_timed_format(plain_text(text))});
  }
  co_return Result<>{};
}

Task<> ControlTmux::Impl::notify_desktop(std::string title, std::string text) {
  const auto clients = co_await ask(
      {"list-clients", "-F", "#{client_name} #{client_utf8} #{client_termname} #{client_termtype}"});
  if (!clients) co_return pass(clients.error());
  for (const std::string_view line : split(*clients, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() < 4 || !words[0].starts_with("/dev/")) continue;  // a control client
    const Terminal terminal{words[1] == "1", std::string(words[2]), std::string(words[3])};
    const std::string sequence = desktop_sequence(terminal, title, text);
    if (!sequence.empty()) write_to_terminal(std::string(words[0]), sequence);
  }
  co_return Result<>{};
}

Task<> ControlTmux::Impl::kill_server() {
  wanted_ = false;
  retry_.cancel();
  if (const auto link = std::exchange(link_, {})) link->close();
  known_.clear();
  server_pid_ = 0;
  auto ended = co_await run(executor_, kill_command(options_));
  if (!ended) co_return pass(ended.error());
  const bool absent = ended->err.find("no server") != std::string::npos ||
                      ended->err.find("error connecting") != std::string::npos;
  if (ended->exit_code == 0 || absent) co_return Result<>{};
  co_return fail(ErrorCode::internal, "tmux", plain_text(trim(ended->err)));
}

// ---- the object a caller holds: it keeps the implementation alive for the length of a call

ControlTmux::ControlTmux(asio::any_io_executor executor, TmuxOptions options, Handler handler)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(options), std::move(handler))) {}
ControlTmux::~ControlTmux() { impl_->shut_down(); }

Task<ServerInfo> ControlTmux::ensure() {
  const auto impl = impl_;
  co_return co_await impl->ensure();
}
Task<Pane> ControlTmux::open(OpenSpec spec) {
  const auto impl = impl_;
  co_return co_await impl->open(std::move(spec));
}
Task<> ControlTmux::close(std::string session) {
  const auto impl = impl_;
  co_return co_await impl->close(std::move(session));
}
Task<std::vector<Pane>> ControlTmux::list() {
  const auto impl = impl_;
  co_return co_await impl->list();
}
Task<std::string> ControlTmux::capture(PaneId pane, int history_lines, Rendering rendering) {
  const auto impl = impl_;
  co_return co_await impl->capture(pane, history_lines, rendering);
}
Task<Pane> ControlTmux::respawn(PaneId pane, std::vector<std::string> argv) {
  const auto impl = impl_;
  co_return co_await impl->respawn(pane, std::move(argv));
}
Task<std::optional<LastKey>> ControlTmux::last_key(PaneId pane) {
  const auto impl = impl_;
  co_return co_await impl->last_key(pane);
}
Task<> ControlTmux::paste(PaneId pane, std::string text, PasteMarks marks) {
  const auto impl = impl_;
  co_return co_await impl->paste(pane, std::move(text), marks);
}
Task<> ControlTmux::press(PaneId pane, std::vector<std::string> keys) {
  const auto impl = impl_;
  co_return co_await impl->press(pane, std::move(keys));
}
Task<> ControlTmux::announce(std::string session, std::string text) {
  const auto impl = impl_;
  co_return co_await impl->announce(std::move(session), std::move(text));
}
Task<> ControlTmux::notify_desktop(std::string title, std::string text) {
  const auto impl = impl_;
  co_return co_await impl->notify_desktop(std::move(title), std::move(text));
}
Task<> ControlTmux::kill_server() {
  const auto impl = impl_;
  co_return co_await impl->kill_server();
}

}  // namespace agentmesh::tmux
