#include "base/process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// glibc 2.36 declares pidfd_open without extern "C".
extern "C" {
#include <sys/pidfd.h>
}

#include "base/files.h"
#include "base/spawn_logged.h"
#include "base/text.h"
#include "base/unique_fd.h"

#include <sys/wait.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/readable_pipe.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/writable_pipe.hpp>
#include <boost/asio/write.hpp>
#include <boost/process/v2/environment.hpp>
#include <boost/process/v2/process.hpp>
#include <boost/process/v2/src.hpp>
#include <boost/process/v2/start_dir.hpp>
#include <boost/process/v2/stdio.hpp>

namespace agentmesh {
namespace {

namespace asio = boost::asio;
namespace process_v2 = boost::process::v2;

constexpr Millis kDrainAfterExit{
    500};  // a grandchild may keep the pipe open; the child's own output is there by then
constexpr std::string_view kUsualPath = "/usr/local/bin:/usr/bin:/bin";

// Runs in the child between fork and exec: nothing above 2 survives the exec.
struct CloseInherited {
  template <class Launcher>
  boost::system::error_code on_exec_setup(Launcher&, const process_v2::filesystem::path&,
                                          const char* const*&) const {
    ::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
    return {};
  }
};

struct NewSession {
  template <class Launcher>
  boost::system::error_code on_exec_setup(Launcher&, const process_v2::filesystem::path&,
                                          const char* const*&) const {
    ::setsid();
    return {};
  }
};

struct ProcessGroup {
  Kill kill;
  template <class Launcher>
  boost::system::error_code on_exec_setup(Launcher&, const process_v2::filesystem::path&,
                                          const char* const*&) const {
    if (kill == Kill::group) ::setpgid(0, 0);
    return {};
  }
};

// Runs in the child between fork and exec, after its standard descriptors are the terminal's.
struct TakeTerminal {
  pid_t parent = 0;
  rlim_t open_files = 0;

  template <class Launcher>
  boost::system::error_code on_exec_setup(Launcher&, const process_v2::filesystem::path&,
                                          const char* const*&) const {
    const auto last_error = [] { return boost::system::error_code(errno, boost::system::system_category()); };
    ::setsid();
    if (::ioctl(STDIN_FILENO, TIOCSCTTY, 0) != 0) return last_error();
    // A parent that ended before this line would never be noticed.
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent) return last_error();
    const rlimit files{open_files, open_files};
    const rlimit core{0, 0};
    if (::setrlimit(RLIMIT_NOFILE, &files) != 0 || ::setrlimit(RLIMIT_CORE, &core) != 0) return last_error();
    ::umask(022);
    for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    return {};
  }
};

// A text as a file that only descriptors name; /dev/null for an empty one.
Result<UniqueFd> input_file(std::string_view text) {
  if (text.empty()) return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  UniqueFd file(::memfd_create("input", MFD_CLOEXEC));
  const bool written = file.valid() &&
                       ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       ::lseek(file.get(), 0, SEEK_SET) == 0;
  if (!written) return pass(os_error("process", "cannot hand over its input", errno));
  return file;
}

std::vector<std::string> environment_lines(const std::map<std::string, std::string>& env) {
  std::vector<std::string> lines;
  for (const auto& [key, value] : env) lines.push_back(key + "=" + value);
  return lines;
}

Error no_program(const std::string& name) {
  return Error{ErrorCode::not_found, "process", fmt::format("no program '{}' in PATH", name), "install it"};
}

struct Running {
  Running(asio::any_io_executor executor, Kill whom)
      : in(executor),
        out(executor),
        err(executor),
        child(executor),
        deadline(executor),
        finished(executor),
        victim(whom) {
    finished.expires_at(asio::steady_timer::time_point::max());
  }

  asio::writable_pipe in;
  asio::readable_pipe out;
  asio::readable_pipe err;
  process_v2::process child;
  asio::steady_timer deadline;
  asio::steady_timer finished;
  Kill victim;
  Output output;
  int open_streams = 2;
  bool exited = false;
  bool timed_out = false;
  bool overflowed = false;

  void check() {
    if (exited && open_streams == 0) finished.cancel();
  }
  void kill() {
    if (victim == Kill::group) ::kill(-child.id(), SIGKILL);
    boost::system::error_code ec;
    child.terminate(ec);
  }
};

using Shared = std::shared_ptr<Running>;

asio::awaitable<void> feed(Shared state, std::string input) {
  boost::system::error_code ec;
  co_await asio::async_write(state->in, asio::buffer(input), asio::redirect_error(asio::use_awaitable, ec));
  state->in.close(ec);
}

asio::awaitable<void> drain(Shared state, asio::readable_pipe& pipe, std::string& into, std::size_t limit) {
  std::array<char, 8192> chunk{};
  boost::system::error_code ec;
  while (!ec) {
    const std::size_t got =
        co_await pipe.async_read_some(asio::buffer(chunk), asio::redirect_error(asio::use_awaitable, ec));
    into.append(chunk.data(), got);
    if (into.size() > limit) {
      state->overflowed = true;
      state->kill();
      break;
    }
  }
  --state->open_streams;
  state->check();
}

void on_exit(const Shared& state, int native_status) {
  state->exited = true;
  state->output.exit_code =
      WIFSIGNALED(native_status) ? 128 + WTERMSIG(native_status) : WEXITSTATUS(native_status);
  state->deadline.expires_after(kDrainAfterExit);
  state->deadline.async_wait([state](boost::system::error_code ec) {
    if (!ec) state->finished.cancel();
  });
  state->check();
}

void watch(const Shared& state, Millis limit) {
  state->deadline.expires_after(limit);
  state->deadline.async_wait([state](boost::system::error_code ec) {
    if (ec || state->exited) return;
    state->timed_out = true;
    state->kill();
  });
  state->child.async_wait(
      [state](boost::system::error_code, int) { on_exit(state, state->child.native_exit_code()); });
}

Result<void> launch(const Shared& state, const Command& command, const std::filesystem::path& program) {
  const std::vector<std::string> args(command.argv.begin() + 1, command.argv.end());
  const auto env = environment_lines(command.env ? *command.env : current_environment());
  const std::string workdir = command.workdir.empty() ? "." : command.workdir.string();
  try {
    state->child = process_v2::process(
        state->child.get_executor(), program.string(), args,
        process_v2::process_stdio{state->in, state->out, state->err}, process_v2::process_environment(env),
        process_v2::process_start_dir(workdir), ProcessGroup{command.kill}, CloseInherited{});
    return {};
  } catch (const boost::system::system_error& problem) {
    return pass(os_error("process", "cannot start " + program.string(), problem.code().value()));
  }
}

}  // namespace

Task<Output> run(asio::any_io_executor executor, Command command) {
  const auto program = find_program(command.argv.at(0));
  if (!program) co_return pass(no_program(command.argv[0]));
  auto state = std::make_shared<Running>(executor, command.kill);
  if (auto started = launch(state, command, *program); !started) co_return pass(started.error());
  spawn_logged(executor, "process", feed(state, std::move(command.input)));
  spawn_logged(executor, "process", drain(state, state->out, state->output.out, command.max_output));
  spawn_logged(executor, "process", drain(state, state->err, state->output.err, command.max_output));
  watch(state, command.deadline);
  boost::system::error_code ec;
  co_await state->finished.async_wait(asio::redirect_error(asio::use_awaitable, ec));
  state->deadline.cancel();
  state->out.close(ec);
  state->err.close(ec);
  if (state->timed_out) {
    co_return fail(
        ErrorCode::timeout, "process",
        fmt::format("{} did not end within {}", command.argv[0], format_duration(command.deadline)));
  }
  if (state->overflowed) {
    co_return fail(ErrorCode::exhausted, "process",
                   fmt::format("{} printed more than {} bytes", command.argv[0], command.max_output));
  }
  co_return state->output;
}

Result<int> start_detached(const Detached& command) {
  const auto program = find_program(command.argv.at(0));
  if (!program) return pass(no_program(command.argv[0]));
  const UniqueFd log(::open(command.output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log.valid()) return pass(os_error("process", "cannot open " + command.output.string(), errno));
  const auto input = input_file(command.input);
  if (!input) return pass(input.error());
  const std::vector<std::string> args(command.argv.begin() + 1, command.argv.end());
  const auto env = environment_lines(command.env);
  asio::io_context context;
  try {
    process_v2::process child(context, program->string(), args,
                              process_v2::process_stdio{input->get(), log.get(), log.get()},
                              process_v2::process_environment(env), CloseInherited{}, NewSession{});
    const int pid = child.id();
    child.detach();
    return pid;
  } catch (const boost::system::system_error& problem) {
    return pass(os_error("process", "cannot start " + program->string(), problem.code().value()));
  }
}

asio::awaitable<void> reap(asio::any_io_executor executor, int pid) {
  const int fd = ::pidfd_open(pid, 0);
  if (fd >= 0) {
    asio::posix::stream_descriptor end(executor, fd);
    boost::system::error_code ignored;
    co_await end.async_wait(asio::posix::stream_descriptor::wait_read,
                            asio::redirect_error(asio::use_awaitable, ignored));
  }
  ::waitpid(pid, nullptr, WNOHANG);
}

bool signal_process(int pid, int signal, const std::function<bool()>& is_it) {
  const UniqueFd process(::pidfd_open(pid, 0));
  return process.valid() && is_it() && ::pidfd_send_signal(process.get(), signal, nullptr, 0) == 0;
}

Result<int> start_in_terminal(const InTerminal& command) {
  const auto path = command.env.find("PATH");
  const auto program =
      find_program_in(path == command.env.end() ? kUsualPath : path->second, command.argv.at(0));
  if (!program) return pass(no_program(command.argv[0]));
  rlimit most{};
  ::getrlimit(RLIMIT_NOFILE, &most);
  const std::vector<std::string> args(command.argv.begin() + 1, command.argv.end());
  const auto env = environment_lines(command.env);
  asio::io_context context;
  try {
    process_v2::process child(
        context, program->string(), args,
        process_v2::process_stdio{command.terminal, command.terminal, command.terminal},
        process_v2::process_environment(env), process_v2::process_start_dir(command.workdir.string()),
        TakeTerminal{::getpid(), std::min<rlim_t>(most.rlim_max, command.open_files)}, CloseInherited{});
    const int pid = child.id();
    child.detach();
    return pid;
  } catch (const boost::system::system_error& problem) {
    return pass(os_error("process", "cannot start " + program->string(), problem.code().value()));
  }
}

std::optional<std::filesystem::path> find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  return find_program_in(path == nullptr ? kUsualPath : path, name);
}

std::optional<std::filesystem::path> find_program_in(std::string_view path, const std::string& name) {
  const auto executable = [](const std::filesystem::path& file) {
    std::error_code ec;
    return std::filesystem::is_regular_file(file, ec) && ::access(file.c_str(), X_OK) == 0;
  };
  if (name.find('/') != std::string::npos) {
    return executable(name) ? std::optional<std::filesystem::path>(name) : std::nullopt;
  }
  for (std::string_view folder : split(path, ':')) {
    const auto candidate = std::filesystem::path(folder) / name;
    if (!folder.empty() && executable(candidate)) return candidate;
  }
  return std::nullopt;
}

std::map<std::string, std::string> current_environment() {
  std::map<std::string, std::string> env;
  for (char** line = environ; *line != nullptr; ++line) {
    const std::string_view text(*line);
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos && equals > 0)
      env.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return env;
}

std::map<std::string, std::string> small_environment(std::span<const std::string_view> names) {
  std::map<std::string, std::string> env{{"PATH", "/usr/local/bin:/usr/bin:/bin"}};
  for (const auto& [key, value] : current_environment()) {
    if (std::find(names.begin(), names.end(), key) != names.end() || key == "PATH") env[key] = value;
  }
  return env;
}

std::filesystem::path own_program() {
  std::error_code ec;
  return std::filesystem::read_symlink("/proc/self/exe", ec);
}

std::string host_name() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

}  // namespace agentmesh
