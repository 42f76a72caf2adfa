#pragma once
// The one place that starts child processes. A child sees only descriptors 0, 1 and 2, starts in its own
// session when asked, and gets exactly the environment it is given. Its end is reported by pidfd, not by a
// signal.

#include "base/clock.h"
#include "base/task.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

namespace agentmesh {

// Whom the deadline, and an output that is too large, end.
enum class Kill {
  child,  // it alone; it stays in our process group, where a terminal's Ctrl-C reaches it
  group,  // it and what it started: it gets a process group of its own
};

struct Command {
  std::vector<std::string> argv;                          // argv[0] is looked up in PATH
  std::optional<std::map<std::string, std::string>> env;  // nothing: ours
  std::filesystem::path workdir;                          // empty: ours
  std::string input;                                      // written to its standard input
  Millis deadline{30'000};                                // then it is killed and the answer is a timeout
  std::size_t max_output = 1024 * 1024;                   // bytes of each stream; more is an error
  Kill kill = Kill::child;
};

struct Output {
  int exit_code = 0;  // 128 + signal when a signal ended it
  std::string out;
  std::string err;
};

// Runs to its end. Errors: not_found (no such program), timeout, exhausted, internal.
Task<Output> run(boost::asio::any_io_executor executor, Command command);

struct Detached {
  std::vector<std::string> argv;
  std::map<std::string, std::string> env;
  std::filesystem::path output;  // standard output and error are appended here
  std::string input = {};        // standard input, handed over in memory; empty: /dev/null
};

// Starts a process in a session of its own that outlives us; answers its pid.
Result<int> start_detached(const Detached& command);

// Waits for the end of a process that start_detached() started, so that no dead child is left.
boost::asio::awaitable<void> reap(boost::asio::any_io_executor executor, int pid);

// Sends a signal to the process of that pid, if `is_it` still says so once the pid cannot become another's.
// False: it is gone, is another by now, or is not ours to signal.
bool signal_process(int pid, int signal, const std::function<bool()>& is_it);

struct InTerminal {
  std::vector<std::string> argv;  // argv[0] is looked up in the PATH of `env`
  std::map<std::string, std::string> env;
  std::filesystem::path workdir;  // absolute
  int terminal = -1;              // the program's side of a pseudo-terminal
  std::uint64_t open_files = 0;   // its limit of descriptors; never above ours
};

// Starts a program that leads a new session with that terminal, in its foreground: every signal at its
// default, no core dump, umask 022. It is killed when the calling thread ends; the caller reaps it. Answers
// its pid. Errors: not_found (no such program or folder), denied (not executable), internal.
Result<int> start_in_terminal(const InTerminal& command);

// The path of a program in PATH, if it is there and executable.
std::optional<std::filesystem::path> find_program(const std::string& name);
std::optional<std::filesystem::path> find_program_in(std::string_view path, const std::string& name);

std::map<std::string, std::string> current_environment();
// Those of our variables that are named and set. PATH is always there.
std::map<std::string, std::string> small_environment(std::span<const std::string_view> names);

std::filesystem::path own_program();  // this program's file; empty: it cannot be read
std::string host_name();

}  // namespace agentmesh
