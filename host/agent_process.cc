#include "host/agent_process.h"

#include "base/files.h"
#include "base/pause.h"
#include "base/process.h"
#include "base/spawn_logged.h"
#include "host/process_tree.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace agentmesh::host {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

constexpr winsize kFirstSize{.ws_row = 48, .ws_col = 160};  // until a terminal attaches: the pane's own
constexpr Millis kBetweenKills{5};
constexpr Millis kKillLimit{10'000};
constexpr Millis kLastOutput{1'000};  // from the end of all processes to the last byte of their terminal

std::unexpected<Error> no_terminal() { return pass(os_error("host", "cannot make a terminal", errno)); }

}  // namespace

RunUse used_by_children() {
  rusage used{};
  ::getrusage(RUSAGE_CHILDREN, &used);
  const auto time = [](const timeval& value) {
    return std::chrono::seconds(value.tv_sec) + std::chrono::microseconds(value.tv_usec);
  };
  return {.peak_memory_bytes = static_cast<std::uint64_t>(used.ru_maxrss) * 1024,
          .cpu = std::chrono::duration_cast<Millis>(time(used.ru_utime) + time(used.ru_stime))};
}

AgentProcess::AgentProcess(asio::io_context& io, std::function<void(std::string_view)> output)
    : io_(io), output_(std::move(output)), terminal_(io), children_(io, SIGCHLD) {}

Result<void> AgentProcess::open_terminal() {
  UniqueFd ours(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  std::array<char, 64> name{};
  if (!ours.valid() || ::grantpt(ours.get()) != 0 || ::unlockpt(ours.get()) != 0 ||
      ::ptsname_r(ours.get(), name.data(), name.size()) != 0) {
    return no_terminal();
  }
  program_side_ = UniqueFd(::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!program_side_.valid() || ::ioctl(ours.get(), TIOCSWINSZ, &kFirstSize) != 0) return no_terminal();
  terminal_.assign(ours.release());
  return {};
}

Result<void> AgentProcess::start(const HolderLaunch& launch) {
  if (auto opened = open_terminal(); !opened) return opened;
  const auto pid = start_in_terminal({.argv = launch.argv,
                                      .env = launch.env,
                                      .workdir = launch.workdir,
                                      .terminal = program_side_.get(),
                                      .open_files = launch.open_files});
  if (!pid) return pass(pid.error());
  pid_ = *pid;
  spawn_logged(io_, "hold", read_loop());
  spawn_logged(io_, "hold", reap_loop());
  return {};
}

asio::awaitable<void> AgentProcess::read_loop() {
  std::array<char, 16 * 1024> chunk{};
  boost::system::error_code ec;
  while (!ec) {
    const std::size_t got = co_await terminal_.async_read_some(asio::buffer(chunk),
                                                               asio::redirect_error(asio::use_awaitable, ec));
    output_({chunk.data(), got});
  }
  read_all_ = true;
  change_.wake();
}

asio::awaitable<void> AgentProcess::reap_loop() {
  boost::system::error_code ec;
  while (!ec) {
    reap();
    co_await children_.async_wait(asio::redirect_error(asio::use_awaitable, ec));
  }
}

void AgentProcess::reap() {
  int status = 0;
  for (pid_t child = ::waitpid(-1, &status, WNOHANG); child > 0; child = ::waitpid(-1, &status, WNOHANG)) {
    if (child != pid_) continue;
    exit_code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    change_.wake();
  }
}

asio::awaitable<int> AgentProcess::ended() {
  while (!exit_code_) co_await change_.wait();
  co_await kill_all();
  program_side_.reset();
  const auto deadline = Clock::now() + kLastOutput;
  while (!read_all_ && Clock::now() < deadline) co_await change_.wait_until(deadline);
  boost::system::error_code ignored;
  terminal_.close(ignored);
  co_return *exit_code_;
}

asio::awaitable<void> AgentProcess::stop(Millis grace) {
  if (pid_ == 0) co_return;
  for (const ProcessSeen& process : descendants_of(::getpid(), "/proc")) {
    if (process.session != pid_) continue;
    signal_seen(process, SIGTERM, "/proc");
    signal_seen(process, SIGCONT, "/proc");
  }
  const auto deadline = Clock::now() + grace;
  while (!exit_code_ && Clock::now() < deadline) co_await change_.wait_until(deadline);
  if (!exit_code_) co_await kill_all();
}

asio::awaitable<void> AgentProcess::kill_all() {
  const auto deadline = Clock::now() + kKillLimit;
  while (Clock::now() < deadline) {
    reap();
    const auto left = descendants_of(::getpid(), "/proc");
    if (left.empty()) co_return;
    for (const ProcessSeen& process : left) signal_seen(process, SIGKILL, "/proc");
    co_await pause(kBetweenKills);
  }
}

asio::awaitable<void> AgentProcess::type(std::string bytes) {
  if (!terminal_.is_open()) co_return;
  boost::system::error_code gone;
  co_await asio::async_write(terminal_, asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, gone));
}

bool AgentProcess::resize(std::uint16_t columns, std::uint16_t rows) {
  const winsize size{.ws_row = rows, .ws_col = columns};
  return terminal_.is_open() && ::ioctl(terminal_.native_handle(), TIOCSWINSZ, &size) == 0;
}

}  // namespace agentmesh::host
