#include "cli/pane.h"

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "cli/engine_call.h"
#include "cli/pane_modes.h"
#include "cli/pane_terminal.h"
#include "sandbox/attach.h"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <optional>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::cli {
namespace {

using Time = std::chrono::steady_clock::time_point;

constexpr std::size_t kBuffer = 64 * 1024;  // bytes on their way, each direction
constexpr Millis kFirstRetry{100};          // doubles up to kLastRetry
constexpr Millis kLastRetry{5000};
constexpr Millis kStartPatience{10000};       // for an engine that does not answer at the start
constexpr int kPastLines = 2000;              // of the engine's log: what the pane has missed
constexpr Millis kPastPatience{1000};         // for that log
constexpr Millis kSilence{2000};              // then a person is told that the engine is away
constexpr Millis kExitCodeAfterStream{2000};  // from the end of the stream to the exit code
constexpr Millis kStreamAfterExitCode{1000};  // from the exit code to the last byte
constexpr Millis kBetweenResizes{60};         // so that the program sees both sizes of a redraw
constexpr Millis kResizeRetry{200};  // a container that was created but not started cannot be resized
constexpr Millis kSlowResizeRetry{2000};
constexpr int kQuickResizes = 25;
constexpr Millis kSaveModes{2000};
constexpr Millis kLetTmuxRead{50};  // tmux drops what it has not read when its child ends
constexpr int kExitNoContainer = 3;
constexpr int kExitNoEngine = 5;

Time now() { return std::chrono::steady_clock::now(); }

// Blocks the signals of this process and gives them as a descriptor.
UniqueFd signal_queue() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGWINCH, SIGTERM, SIGHUP, SIGINT, SIGQUIT}) sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  return UniqueFd(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
}

struct Ending {
  int exit_code = 0;
  std::string message;  // for the person who looks at the dead pane; may be empty
};

// ---- the relay: asks about the container, attaches, carries bytes, and begins again when the engine went
// away. Every wait is a descriptor or a moment in next_moment(); nothing blocks.

class Relay {
 public:
  Relay(const PaneOptions& options, PaneTerminal& terminal)
      : options_(options),
        target_{options.engine_socket, options.api_version, options.container},
        terminal_(terminal),
        signals_(signal_queue()) {}
  Ending run();

 private:
  struct Source {
    int fd;
    short events;
    void (Relay::*ready)();
  };

  void connect();
  void restart_later(const Error& error);
  void end(int exit_code, std::string message);
  std::vector<Source> sources();
  void wait_for_something();
  void at_moments();
  std::optional<Time> next_moment() const;

  void on_signal();
  void on_typed();
  void on_terminal_writable();
  void on_wait();
  void on_inspect();
  void on_attach();
  void on_stream();
  void on_stream_writable();
  void on_resized();

  void start_call(std::optional<EngineCall>& call, std::string request);
  void take_exit(const std::string& body);
  void begin_relay();
  void on_log();
  void show_past(std::string past);
  std::string change_by(std::string_view past) const;
  void stream_ended();
  void send_size();
  void show_program(std::string_view bytes);
  void show(std::string_view notice);
  void flush();

  std::filesystem::path modes_file() const;
  void restore_modes();
  void save_modes();

  const PaneOptions& options_;
  sandbox::AttachTarget target_;
  PaneTerminal& terminal_;
  UniqueFd signals_;
  std::optional<EngineCall> wait_;  // answered when the container ends
  std::optional<EngineCall> inspect_;
  std::optional<EngineCall> attach_;
  std::optional<EngineCall> resize_;
  std::optional<EngineCall> log_;  // what the program said before the first attach; the stream waits for it
  std::string first_;              // of the stream, while log_ is asked
  UniqueFd stream_;
  std::string to_terminal_;
  std::string to_container_;
  std::deque<TerminalSize> sizes_;  // to be sent to the container, in order
  int failed_resizes_ = 0;
  PaneModes modes_;
  Millis backoff_ = kFirstRetry;
  Time started_ = now();
  Time lost_at_ = now();
  bool attached_once_ = false;
  bool modes_known_ = false;   // an earlier relay of this container has kept them
  bool log_is_shown_ = false;  // else only its modes and title are taken: the program paints the rest anew
  bool told_ = false;
  std::optional<int> exit_code_;  // of the container; the stream may still hold its last bytes
  std::optional<Time> retry_at_;
  std::optional<Time> resize_at_;
  std::optional<Time> give_up_at_;  // waiting for the exit code, or for the last bytes
  std::optional<Time> save_at_;
  std::optional<Time> log_until_;
  std::optional<Ending> ending_;
};

Ending Relay::run() {
  restore_modes();
  connect();
  while (!ending_) {
    wait_for_something();
    if (!ending_) at_moments();
  }
  flush();
  save_modes();
  return *ending_;
}

// The wait is registered first: an end after that moment cannot be missed. Then the container is looked at.
void Relay::connect() {
  retry_at_.reset();
  start_call(wait_, sandbox::plain_request(target_, "POST", "/wait?condition=next-exit"));
}

void Relay::start_call(std::optional<EngineCall>& call, std::string request) {
  call.reset();
  auto started = EngineCall::start(options_.engine_socket, std::move(request));
  if (!started) return restart_later(started.error());
  call.emplace(std::move(*started));
}

void Relay::restart_later(const Error& error) {
  wait_.reset();
  inspect_.reset();
  attach_.reset();
  resize_.reset();
  log_.reset();
  log_until_.reset();
  stream_.reset();
  give_up_at_.reset();
  if (!attached_once_ && now() - started_ > kStartPatience) return end(kExitNoEngine, describe(error));
  if (!told_ && now() - lost_at_ > kSilence) {
    show(attached_once_ ? "the Docker engine does not answer; the agent may still run; trying again"
                        : describe(error) + "; trying again");
    told_ = true;
  }
  retry_at_ = now() + backoff_;
  backoff_ = std::min(backoff_ * 2, kLastRetry);
}

void Relay::end(int exit_code, std::string message) {
  if (!ending_) ending_ = Ending{exit_code, std::move(message)};
}

// ---- waiting

std::vector<Relay::Source> Relay::sources() {
  std::vector<Source> all = {{signals_.get(), POLLIN, &Relay::on_signal}};
  if (to_container_.size() < kBuffer) all.push_back({STDIN_FILENO, POLLIN, &Relay::on_typed});
  if (!to_terminal_.empty()) all.push_back({STDOUT_FILENO, POLLOUT, &Relay::on_terminal_writable});
  if (wait_) all.push_back({wait_->fd(), wait_->wants(), &Relay::on_wait});
  if (inspect_) all.push_back({inspect_->fd(), inspect_->wants(), &Relay::on_inspect});
  if (attach_) all.push_back({attach_->fd(), attach_->wants(), &Relay::on_attach});
  if (resize_) all.push_back({resize_->fd(), resize_->wants(), &Relay::on_resized});
  if (log_) all.push_back({log_->fd(), log_->wants(), &Relay::on_log});
  if (stream_.valid() && !log_ && to_terminal_.size() < kBuffer)
    all.push_back({stream_.get(), POLLIN, &Relay::on_stream});
  if (stream_.valid() && !to_container_.empty()) {
    all.push_back({stream_.get(), POLLOUT, &Relay::on_stream_writable});
  }
  return all;
}

void Relay::wait_for_something() {
  const std::vector<Source> all = sources();
  std::vector<pollfd> polled;
  for (const Source& source : all) polled.push_back({source.fd, source.events, 0});
  int timeout = -1;
  if (const auto moment = next_moment()) {
    const auto left = std::chrono::ceil<Millis>(*moment - now()).count();
    timeout = static_cast<int>(std::max<std::int64_t>(left, 0));
  }
  if (::poll(polled.data(), polled.size(), timeout) <= 0) return;
  for (std::size_t i = 0; i < all.size() && !ending_; ++i) {
    if (polled[i].revents == 0) continue;
    // An earlier handler may have closed what this one is about.
    const auto current = sources();
    const bool still = std::ranges::any_of(current, [&](const Source& source) {
      return source.fd == all[i].fd && source.ready == all[i].ready;
    });
    if (still) (this->*all[i].ready)();
  }
}

std::optional<Time> Relay::next_moment() const {
  std::optional<Time> next;
  const std::optional<Time> resize = stream_.valid() && !resize_ ? resize_at_ : std::nullopt;
  for (const std::optional<Time>& moment : {retry_at_, resize, give_up_at_, save_at_, log_until_}) {
    if (moment && (!next || *moment < *next)) next = moment;
  }
  return next;
}

void Relay::at_moments() {
  const auto due = [](const std::optional<Time>& moment) { return moment && *moment <= now(); };
  if (due(save_at_)) save_modes();
  if (due(log_until_)) show_past("");
  if (due(give_up_at_)) {
    if (exit_code_) return end(*exit_code_, "");
    restart_later({ErrorCode::unavailable, "engine", "the stream ended but not the container", ""});
  }
  if (due(retry_at_)) connect();
  if (due(resize_at_) && stream_.valid() && !resize_) send_size();
}

// ---- the person's side

void Relay::on_signal() {
  signalfd_siginfo info{};
  if (::read(signals_.get(), &info, sizeof info) != sizeof info) return;
  const int signal = static_cast<int>(info.ssi_signo);
  if (signal != SIGWINCH) return end(128 + signal, "");
  sizes_ = {terminal_.size()};
  resize_at_ = now();
}

void Relay::on_typed() {
  if (terminal_.read(to_container_, kBuffer - to_container_.size()) == TerminalState::gone)
    end(128 + SIGHUP, "");
}

void Relay::on_terminal_writable() {
  if (terminal_.write(to_terminal_) == TerminalState::gone) end(128 + SIGHUP, "");
}

// ---- the engine's side

void Relay::on_wait() {
  const bool registered = wait_->has_head();
  if (auto done = wait_->advance(); !done) {
    // After the stream ended this is the engine's end; before, the stream tells.
    wait_.reset();
    if (!stream_.valid()) restart_later(done.error());
    return;
  }
  if (!wait_->has_head()) return;
  if (wait_->status() == 404) return end(kExitNoContainer, "no container " + options_.container);
  if (wait_->status() != 200) {
    return restart_later({ErrorCode::unavailable, "engine",
                          fmt::format("wait was answered with status {}", wait_->status()), ""});
  }
  if (wait_->ended()) return take_exit(wait_->body());
  if (!registered) start_call(inspect_, sandbox::plain_request(target_, "GET", "/json"));
}

// {"StatusCode":137,"Error":null}
void Relay::take_exit(const std::string& body) {
  wait_.reset();
  const auto answer = parse_json(body, "engine");
  const bool usable =
      answer && answer->is_object() && (!answer->contains("Error") || (*answer)["Error"].is_null());
  const std::int64_t code = usable ? json_int(*answer, "StatusCode", -1).value_or(-1) : -1;
  if (code < 0) {
    if (!stream_.valid()) restart_later({ErrorCode::unavailable, "engine", "it ended the wait", ""});
    return;
  }
  exit_code_ = static_cast<int>(code);
  if (!stream_.valid()) return end(*exit_code_, "");
  give_up_at_ = now() + kStreamAfterExitCode;
}

void Relay::on_inspect() {
  if (auto done = inspect_->advance(); !done) return restart_later(done.error());
  if (!inspect_->ended()) return;
  const int status = inspect_->status();
  const auto container = parse_json(inspect_->body(), "engine");
  inspect_.reset();
  if (status == 404) return end(kExitNoContainer, "no container " + options_.container);
  if (status != 200 || !container || !container->is_object() || !container->contains("State")) {
    return restart_later(
        {ErrorCode::unavailable, "engine", fmt::format("inspect was answered with status {}", status), ""});
  }
  const auto& state = (*container)["State"];
  const std::string phase = json_string(state, "Status", "").value_or("");
  if (phase == "exited" || phase == "dead" || phase == "removing") {
    return end(static_cast<int>(json_int(state, "ExitCode", 1).value_or(1)), "");
  }
  start_call(attach_, sandbox::attach_request(target_));
}

void Relay::on_attach() {
  if (auto done = attach_->advance(); !done) return restart_later(done.error());
  if (!attach_->has_head()) return;
  const int status = attach_->status();
  if (status == 404) return end(kExitNoContainer, "no container " + options_.container);
  if (status != 101 && status != 200) {
    return restart_later(
        {ErrorCode::conflict, "engine", fmt::format("attach was answered with status {}", status), ""});
  }
  begin_relay();
}

void Relay::begin_relay() {
  first_ = attach_->take_rest();
  stream_ = attach_->take_socket();
  attach_.reset();
  log_is_shown_ = !attached_once_ && !modes_known_;
  attached_once_ = true;
  told_ = false;
  backoff_ = kFirstRetry;
  auto asked = EngineCall::start(
      options_.engine_socket,
      sandbox::plain_request(target_, "GET", fmt::format("/logs?stdout=1&stderr=1&tail={}", kPastLines)));
  if (asked) log_.emplace(std::move(*asked));
  log_until_ = now() + kPastPatience;
  // A program paints anew when its size changes: there and back.
  const TerminalSize size = terminal_.size();
  sizes_ = {{size.rows > 1 ? size.rows - 1 : 2, size.columns}, size};
  resize_at_ = now();
}

void Relay::on_log() {
  const auto done = log_->advance();
  if (done && !log_->ended()) return;
  const bool usable = done && log_->status() == 200;
  show_past(usable ? log_->body() : "");
}

// The log holds what came before the attach and the first of what came after it, which is said once.
void Relay::show_past(std::string past) {
  log_.reset();
  log_until_.reset();
  char chunk[16 * 1024];
  const ssize_t got = past.empty() ? 0 : ::recv(stream_.get(), chunk, sizeof chunk, 0);
  if (got > 0) first_.append(chunk, static_cast<std::size_t>(got));
  if (log_is_shown_) {
    past += first_.substr(overlap(past, first_));
  } else {
    past = change_by(past) + first_;
  }
  first_.clear();
  show_program(past);
}

// A title or a mode that was set while nobody was attached is not painted anew with the rest.
std::string Relay::change_by(std::string_view past) const {
  PaneModes now = modes_;
  now.feed(past);
  return now.replay_onto(modes_);
}

void Relay::on_stream() {
  char chunk[16 * 1024];
  const std::size_t room = std::min(sizeof chunk, kBuffer - to_terminal_.size());
  const ssize_t got = ::recv(stream_.get(), chunk, room, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return stream_ended();
  const std::string_view bytes(chunk, static_cast<std::size_t>(got));
  show_program(bytes);
  if (exit_code_) give_up_at_ = now() + kStreamAfterExitCode;
}

void Relay::stream_ended() {
  stream_.reset();
  resize_.reset();
  if (exit_code_) return end(*exit_code_, "");
  lost_at_ = now();
  if (!wait_) return restart_later({ErrorCode::unavailable, "engine", "it ended the stream", ""});
  give_up_at_ = now() + kExitCodeAfterStream;
}

void Relay::on_stream_writable() {
  const ssize_t put = ::send(stream_.get(), to_container_.data(), to_container_.size(), MSG_NOSIGNAL);
  if (put > 0) to_container_.erase(0, static_cast<std::size_t>(put));
  // An error is the stream's end, which its reader sees; until then there is nothing to send to.
  if (put < 0 && errno != EAGAIN && errno != EINTR) stream_ended();
}

// ---- the size

void Relay::send_size() {
  resize_at_.reset();
  if (sizes_.empty()) return;
  const TerminalSize size = sizes_.front();
  auto call = EngineCall::start(
      options_.engine_socket,
      sandbox::plain_request(target_, "POST", fmt::format("/resize?h={}&w={}", size.rows, size.columns)));
  if (call) resize_.emplace(std::move(*call));
  if (!call) resize_at_ = now() + kSlowResizeRetry;
}

void Relay::on_resized() {
  const auto done = resize_->advance();
  if (done && !resize_->ended()) return;
  const bool accepted = done && resize_->status() >= 200 && resize_->status() < 300;
  resize_.reset();
  if (accepted) {
    failed_resizes_ = 0;
    if (!sizes_.empty()) sizes_.pop_front();
    if (!sizes_.empty()) resize_at_ = now() + kBetweenResizes;
  } else {
    resize_at_ = now() + (++failed_resizes_ <= kQuickResizes ? kResizeRetry : kSlowResizeRetry);
  }
}

// ---- the picture

void Relay::show_program(std::string_view bytes) {
  to_terminal_ += modes_.marked(bytes, ::getpid());
  if (modes_.changed() && !save_at_) save_at_ = now() + kSaveModes;
}

void Relay::show(std::string_view notice) { to_terminal_ += fmt::format("\r\n[agentmesh: {}]\r\n", notice); }

// The last bytes go out before the terminal is given back; a terminal that takes none for a second gets none.
void Relay::flush() {
  while (!to_terminal_.empty()) {
    pollfd out{STDOUT_FILENO, POLLOUT, 0};
    if (::poll(&out, 1, static_cast<int>(kStreamAfterExitCode.count())) <= 0) return;
    if (terminal_.write(to_terminal_) == TerminalState::gone) return;
  }
  ::poll(nullptr, 0, static_cast<int>(kLetTmuxRead.count()));
}

std::filesystem::path Relay::modes_file() const {
  return std::filesystem::path(options_.state_dir) / ("pane-" + options_.container + ".modes");
}

void Relay::restore_modes() {
  if (options_.state_dir.empty()) return;
  const auto kept = read_file(modes_file(), kMaxModesText);
  if (!kept) return;
  modes_known_ = true;
  PaneModes before;
  before.feed(*kept);
  to_terminal_ += modes_.marked(before.replay(), ::getpid());
}

// Kept while the container lives, also beyond this process. It is a comfort: a failure to keep it is none.
void Relay::save_modes() {
  save_at_.reset();
  if (options_.state_dir.empty()) return;
  std::error_code ignored;
  if (exit_code_) {
    std::filesystem::remove(modes_file(), ignored);
    return;
  }
  if (!attached_once_) return;
  const std::filesystem::path fresh = modes_file().string() + ".new";
  std::ofstream(fresh, std::ios::trunc) << modes_.replay();
  std::filesystem::rename(fresh, modes_file(), ignored);
}

}  // namespace

int run_pane(const PaneOptions& options) {
  Ending ending{2, ""};
  if (!sandbox::is_container_reference(options.container)) {
    ending.message = "'" + plain_text(options.container) + "' is not a container";
  } else {
    PaneTerminal terminal;
    const auto raw = terminal.make_raw();
    ending = raw ? Relay(options, terminal).run() : Ending{2, describe(raw.error())};
  }
  if (!ending.message.empty()) fmt::print(stderr, "agentmesh pane: {}\n", ending.message);
  return ending.exit_code;
}

}  // namespace agentmesh::cli
