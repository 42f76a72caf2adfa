#include "watchdog/exit_class.h"

#include <array>
#include <utility>

namespace agentmesh::watchdog {
namespace {

constexpr int kNotExecutable = 126;  // POSIX shells, and the engine's own runtime
constexpr int kNotFound = 127;
constexpr int kSignalBase = 128;
constexpr int kLastSignal = 64;
constexpr int kSigkill = 9;

constexpr auto kSignals = std::to_array<std::pair<int, std::string_view>>({
    {1, "SIGHUP"},
    {2, "SIGINT"},
    {3, "SIGQUIT"},
    {4, "SIGILL"},
    {5, "SIGTRAP"},
    {6, "SIGABRT"},
    {7, "SIGBUS"},
    {8, "SIGFPE"},
    {9, "SIGKILL"},
    {10, "SIGUSR1"},
    {11, "SIGSEGV"},
    {12, "SIGUSR2"},
    {13, "SIGPIPE"},
    {14, "SIGALRM"},
    {15, "SIGTERM"},
    {24, "SIGXCPU"},
    {25, "SIGXFSZ"},
    {31, "SIGSYS"},
});

constexpr auto kReasons = std::to_array<std::pair<ExitReason, std::string_view>>({
    {ExitReason::none, "has not ended"},
    {ExitReason::stopped_by_user, "stopped by user"},
    {ExitReason::restarted_by_user, "restarted by user"},
    {ExitReason::done, "done"},
    {ExitReason::exited, "exited with its work unfinished"},
    {ExitReason::crashed, "crashed"},
    {ExitReason::killed, "killed by a signal"},
    {ExitReason::out_of_memory, "out of memory (main process)"},
    {ExitReason::out_of_memory_child, "out of memory (a child process)"},
    {ExitReason::command_not_found, "command not found"},
    {ExitReason::not_executable, "command not executable"},
    {ExitReason::broken_spec, "cannot be started as configured"},
    {ExitReason::create_failed, "container could not be created"},
    {ExitReason::start_failed, "container could not be started"},
    {ExitReason::usage_limit, "usage limit"},
    {ExitReason::login_needed, "login needed"},
    {ExitReason::stuck_after_nudge, "stuck, and a nudge did not help"},
    {ExitReason::looping_after_nudge, "repeating itself, and a nudge did not help"},
    {ExitReason::limit_dialog, "its usage limit is over and the dialog for it still open"},
    {ExitReason::container_gone, "container removed by somebody else"},
});

constexpr auto kClasses = std::to_array<std::pair<ExitClass, std::string_view>>({
    {ExitClass::asked, "asked"},
    {ExitClass::done, "done"},
    {ExitClass::transient, "transient"},
    {ExitClass::limited, "limited"},
    {ExitClass::login, "login"},
    {ExitClass::broken, "broken"},
});

bool by_signal(const EndOfRun& end) {
  return end.code && *end.code > kSignalBase && *end.code <= kSignalBase + kLastSignal;
}
bool killed_hard(const EndOfRun& end) { return end.code == kSignalBase + kSigkill; }
bool any_oom(const EndOfRun& end) { return end.oom_killed || end.oom_child; }
// Whatever it told before: its 0 is its word that nothing is left to do.
bool is_done_for_good(const EndOfRun& end) {
  return end.code == 0 && end.on_clean_exit == CleanExit::never_restart;
}
bool is_done(const EndOfRun& end) {
  return end.code == 0 && end.on_clean_exit == CleanExit::when_work && !end.work && end.witnessed;
}

// The first row whose condition holds decides.
struct Row {
  bool (*holds)(const EndOfRun&);
  ExitClass kind;
  ExitReason reason;
};

constexpr auto kTable = std::to_array<Row>({
    {[](const EndOfRun& e) { return is_done_for_good(e); }, ExitClass::done, ExitReason::done},
    {[](const EndOfRun& e) { return e.login_shown; }, ExitClass::login, ExitReason::login_needed},
    {[](const EndOfRun& e) { return e.limited; }, ExitClass::limited, ExitReason::usage_limit},
    {[](const EndOfRun& e) { return !e.code; }, ExitClass::transient, ExitReason::container_gone},
    {[](const EndOfRun& e) { return any_oom(e) && killed_hard(e); }, ExitClass::transient,
     ExitReason::out_of_memory},
    {[](const EndOfRun& e) { return any_oom(e) && e.code != 0; }, ExitClass::transient,
     ExitReason::out_of_memory_child},
    {[](const EndOfRun& e) { return e.code == kNotFound && e.early; }, ExitClass::broken,
     ExitReason::command_not_found},
    {[](const EndOfRun& e) { return e.code == kNotExecutable && e.early; }, ExitClass::broken,
     ExitReason::not_executable},
    {[](const EndOfRun& e) { return is_done(e); }, ExitClass::done, ExitReason::done},
    {[](const EndOfRun& e) { return e.code == 0; }, ExitClass::transient, ExitReason::exited},
    {[](const EndOfRun& e) { return by_signal(e); }, ExitClass::transient, ExitReason::killed},
    {[](const EndOfRun&) { return true; }, ExitClass::transient, ExitReason::crashed},
});

std::string text_of(const EndOfRun& end, ExitReason reason) {
  std::string code = end.code ? "exit code " + std::to_string(*end.code) : std::string();
  if (by_signal(end)) code += " (" + signal_name(*end.code - kSignalBase) + ")";
  if (reason == ExitReason::crashed || reason == ExitReason::killed) return code;
  std::string text(describe(reason));
  return code.empty() ? text : text + ", " + code;
}

}  // namespace

ExitVerdict classify(const EndOfRun& end) {
  ExitVerdict verdict{.kind = ExitClass::asked, .reason = end.ending};
  if (end.ending == ExitReason::none) {
    for (const auto& row : kTable) {
      if (!row.holds(end)) continue;
      verdict.kind = row.kind;
      verdict.reason = row.reason;
      break;
    }
  }
  if (by_signal(end)) verdict.signal = *end.code - kSignalBase;
  verdict.oom_main = any_oom(end) && killed_hard(end);
  verdict.text = text_of(end, verdict.reason);
  return verdict;
}

std::string signal_name(int signal) {
  for (const auto& [number, name] : kSignals) {
    if (number == signal) return std::string(name);
  }
  return "signal " + std::to_string(signal);
}

std::string_view describe(ExitReason reason) {
  for (const auto& [value, text] : kReasons) {
    if (value == reason) return text;
  }
  return "unknown";
}

std::string_view to_string(ExitClass value) {
  for (const auto& [kind, text] : kClasses) {
    if (kind == value) return text;
  }
  return "unknown";
}

}  // namespace agentmesh::watchdog
