#include "daemon/crash_report.h"

#include "base/files.h"
#include "base/secret.h"
#include "base/text.h"
#include "watchdog/exit_class.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::daemon {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

template <class T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}

json time_or_null(const std::optional<WallTime>& time) {
  return time ? json(to_rfc3339(*time)) : json(nullptr);
}

std::string signal_text(const std::optional<int>& signal) {
  return signal ? fmt::format("{} ({})", *signal, watchdog::signal_name(*signal)) : "none";
}

std::string out_of_memory(const watchdog::LastExit& exit) {
  if (exit.oom_main) return "yes, the main process";
  return exit.oom_child ? "yes, a child" : "no";
}

std::string restart_text(const watchdog::WriteCrashReport& asked) {
  if (asked.restart_number == 0) return "none follows";
  const std::string at = asked.next_restart_at ? " at " + to_rfc3339(*asked.next_restart_at) : "";
  return fmt::format("{} of {}{}", asked.restart_number, asked.restart_limit, at);
}

std::string indented(const std::string& text) {
  std::string out;
  for (std::string_view line : split(text, '\n')) out += fmt::format("  {}\n", line);
  return out;
}

}  // namespace

json to_json(const CrashReport& report) {
  const watchdog::LastExit& exit = report.asked.exit;
  json events = json::array();
  for (const EventRow& event : report.events) {
    events.push_back({{"at", to_rfc3339(event.at)}, {"name", event.name}, {"reason", event.reason}});
  }
  json lines = json::array();
  const std::string terminal = redact(report.terminal);
  for (std::string_view line : split(terminal, '\n')) lines.push_back(std::string(line));
  return json{
      {"at", to_rfc3339(report.at)},
      {"agent", report.agent},
      {"agent_id", report.agent_id},
      {"run", report.asked.run.value},
      {"reason", watchdog::to_string(exit.reason)},
      {"reason_text", redact(exit.text)},
      {"stage", "run"},
      {"exit_code", or_null(exit.code)},
      {"signal", or_null(exit.signal)},
      {"signal_name", exit.signal ? json(watchdog::signal_name(*exit.signal)) : json(nullptr)},
      {"out_of_memory", {{"main", exit.oom_main}, {"child", exit.oom_child}}},
      {"restart", {{"number", report.asked.restart_number}, {"limit", report.asked.restart_limit}}},
      {"next_restart_at", time_or_null(report.asked.next_restart_at)},
      {"container", {{"id", report.container_id}, {"image", report.spec.image}}},
      {"limits",
       {{"cpus", report.spec.cpus}, {"memory_bytes", report.spec.memory_bytes}, {"pids", report.spec.pids}}},
      {"runner", report.spec.runner},
      {"model", report.spec.model},
      {"workdir", report.spec.workdir},
      {"assignment", report.assignment.empty() ? json(nullptr) : json(redact(report.assignment))},
      {"events", std::move(events)},
      {"terminal", std::move(lines)},
  };
}

std::string to_text(const CrashReport& report) {
  const watchdog::LastExit& exit = report.asked.exit;
  std::string text =
      fmt::format("==== {} crashed: {} ({})\n", report.agent, watchdog::describe(exit.reason), exit.text);
  const auto line = [&](std::string_view key, const std::string& value) {
    text += fmt::format("{:<14}{}\n", key, value);
  };
  line("time", to_rfc3339(report.at));
  line("agent", fmt::format("{} {} run {}", report.agent, report.agent_id, report.asked.run.value));
  line("reason", std::string(watchdog::to_string(exit.reason)));
  line("exit code", exit.code ? std::to_string(*exit.code) : "none");
  line("signal", signal_text(exit.signal));
  line("out of memory", out_of_memory(exit));
  line("restart", restart_text(report.asked));
  line("container", fmt::format("{} from {}", report.container_id.substr(0, 12), report.spec.image));
  line("limits", fmt::format("{} cpus, {}, {} pids", report.spec.cpus, format_size(report.spec.memory_bytes),
                             report.spec.pids));
  line("runner", report.spec.runner + (report.spec.model.empty() ? "" : " with " + report.spec.model));
  line("workdir", report.spec.workdir);
  line("assignment", report.assignment.empty() ? "none" : report.assignment);
  text += "events:\n";
  for (const EventRow& event : report.events)
    text += fmt::format("  {} {} {}\n", to_rfc3339(event.at), event.name, event.reason);
  text += "terminal:\n" + indented(report.terminal) + "\n";
  return redact(text);
}

Result<void> append_crash_log(const fs::path& path, const std::string& block, const config::Crash& limits) {
  std::error_code ec;
  const auto size = fs::file_size(path, ec);
  if (!ec && size + block.size() > limits.max_bytes) {
    for (std::int64_t i = limits.files - 1; i >= 1; --i) {
      const fs::path from = i == 1 ? path : fs::path(fmt::format("{}.{}", path.string(), i - 1));
      fs::rename(from, fmt::format("{}.{}", path.string(), i), ec);
    }
    if (limits.files == 1) fs::remove(path, ec);
  }
  return append_file(path, block, 0600);
}

}  // namespace agentmesh::daemon
