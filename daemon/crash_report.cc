#include "daemon/crash_report.h"

#include "base/files.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/text.h"
#include "watchdog/exit_class.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::daemon {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;
namespace wd = agentmesh::watchdog;

constexpr std::size_t kShortId = 12;  // characters of a container's or image's id that people use

template <class T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}

json time_or_null(const std::optional<WallTime>& time) {
  return time ? json(to_rfc3339(*time)) : json(nullptr);
}

json text_or_null(const std::string& text) { return text.empty() ? json(nullptr) : json(text); }

json usage_json(const std::optional<Usage>& usage) {
  if (!usage) return nullptr;
  return json{{"peak_memory_bytes", usage->peak_memory_bytes},
              {"cpu_ms", std::chrono::duration_cast<Millis>(usage->cpu_time).count()},
              {"seen_at", to_rfc3339(usage->seen_at)}};
}

json events_json(const std::vector<EventRow>& rows) {
  json events = json::array();
  for (const EventRow& event : rows)
    events.push_back({{"at", to_rfc3339(event.at)}, {"name", event.name}, {"reason", redact(event.reason)}});
  return events;
}

// The newest text that fits, from the beginning of a line.
json lines_json(const std::string& terminal) {
  std::string_view text = terminal;
  if (text.size() > kMaxCrashTerminal) {
    text.remove_prefix(text.size() - kMaxCrashTerminal);
    const std::size_t line = text.find('\n');
    text.remove_prefix(line == std::string_view::npos ? 0 : line + 1);
  }
  json lines = json::array();
  const std::string clean = redact(plain_text(text));
  for (const std::string_view line : split(clean, '\n')) lines.push_back(std::string(line));
  return lines;
}

// ---- the text

// Reads what may be absent.
const json& member(const json& object, const char* key) {
  static const json nothing;
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found == object.end() ? nothing : *found;
}
std::string text_at(const json& object, const char* key) {
  const json& value = member(object, key);
  return value.is_string() ? value.get<std::string>() : "";
}
std::optional<std::int64_t> whole_at(const json& object, const char* key) {
  const json& value = member(object, key);
  return value.is_number_integer() ? std::optional(value.get<std::int64_t>()) : std::nullopt;
}
bool yes_at(const json& object, const char* key) {
  const json& value = member(object, key);
  return value.is_boolean() && value.get<bool>();
}

std::string size_text(std::int64_t bytes) {
  return format_size(static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 0)));
}

std::string span_between(const std::string& from, const std::string& to) {
  const auto begin = from_rfc3339(from);
  const auto end = from_rfc3339(to);
  return begin && end && *end >= *begin ? format_duration(*end - *begin) : "";
}

std::string stage_line(const json& report) {
  const std::string span = span_between(text_at(report, "started_at"), text_at(report, "at"));
  return text_at(report, "stage") + (span.empty() ? "" : ", " + span + " after its start");
}

std::string end_line(const json& report) {
  const auto code = whole_at(report, "exit_code");
  const std::string name = text_at(report, "signal_name");
  std::string line = code ? fmt::format("exit code {}", *code) : "no exit code";
  if (!name.empty()) line += fmt::format(", signal {} ({})", whole_at(report, "signal").value_or(0), name);
  const json& memory = member(report, "out_of_memory");
  if (yes_at(memory, "main")) line += ", out of memory: the main process";
  if (yes_at(memory, "child") && !yes_at(memory, "main")) line += ", out of memory: a child";
  return line;
}

std::string restart_line(const json& report) {
  const json& restart = member(report, "restart");
  const auto number = whole_at(restart, "number").value_or(0);
  if (number == 0) return "none follows";
  const std::string at = text_at(report, "next_restart_at");
  return fmt::format("{} of {}{}", number, whole_at(restart, "limit").value_or(0),
                     at.empty() ? "" : " at " + at);
}

std::string container_line(const json& report) {
  const json& container = member(report, "container");
  if (!container.is_object()) return "none: on the host";
  const std::string image_id = text_at(container, "image_id");
  const std::size_t colon = image_id.find(':');
  const std::string short_image =
      image_id.substr(colon == std::string::npos ? 0 : colon + 1).substr(0, kShortId);
  return fmt::format("{} from {}{}", text_at(container, "id").substr(0, kShortId),
                     text_at(container, "image"), short_image.empty() ? "" : " (" + short_image + ")");
}

std::string limits_line(const json& report) {
  const json& limits = member(report, "limits");
  if (!limits.is_object()) return "none";
  const json& cpus = member(limits, "cpus");
  return fmt::format("{} cpus, {} of memory, {} pids", cpus.is_number() ? cpus.get<double>() : 0.0,
                     size_text(whole_at(limits, "memory_bytes").value_or(0)),
                     whole_at(limits, "pids").value_or(0));
}

std::string usage_line(const json& report) {
  const json& usage = member(report, "usage");
  const bool held = !member(report, "container").is_object();
  if (!usage.is_object()) return held ? "not known: its holder was killed" : "not seen: it ended too soon";
  const std::string before = span_between(text_at(usage, "seen_at"), text_at(report, "at"));
  return fmt::format("{} of memory at most, {} of CPU time{}",
                     size_text(whole_at(usage, "peak_memory_bytes").value_or(0)),
                     format_duration(Millis{whole_at(usage, "cpu_ms").value_or(0)}),
                     before.empty() ? "" : ", seen " + before + " before the end");
}

std::string runner_line(const json& report) {
  const std::string model = text_at(report, "model");
  return text_at(report, "runner") + (model.empty() ? "" : " with " + model);
}

using Line = std::string (*)(const json&);
struct Row {
  std::string_view key;
  Line line;
};
constexpr Row kRows[] = {
    {"time", [](const json& r) { return text_at(r, "at"); }},
    {"agent",
     [](const json& r) {
       return fmt::format("{} {}, run {}", text_at(r, "agent"), text_at(r, "agent_id"),
                          whole_at(r, "run").value_or(0));
     }},
    {"reason", [](const json& r) { return text_at(r, "reason"); }},
    {"stage", stage_line},
    {"end", end_line},
    {"restart", restart_line},
    {"used", usage_line},
    {"limits", limits_line},
    {"container", container_line},
    {"runner", runner_line},
    {"workdir", [](const json& r) { return text_at(r, "workdir"); }},
};

std::string assignments_text(const json& report) {
  std::string text;
  for (const json& item : member(report, "assignments"))
    text += fmt::format("{:<11}{} {}\n", "assignment", text_at(item, "id"), text_at(item, "title"));
  return text.empty() ? fmt::format("{:<11}none\n", "assignment") : text;
}

// ---- the file

// What is left of a block that is too large: its beginning, and of its end, which is the newest, twice as
// much.
std::string without_middle(const std::string& block, std::size_t limit) {
  if (block.size() <= limit) return block;
  const std::string gap = fmt::format("\n  ... {} bytes are left out ...\n", block.size() - limit);
  const std::size_t room = limit > gap.size() ? limit - gap.size() : 0;
  return cut_utf8(block, room / 3) + gap +
         to_utf8(std::string_view(block).substr(block.size() - room * 2 / 3));
}

fs::path numbered(const fs::path& path, std::int64_t number) {
  return number == 0 ? path : fs::path(fmt::format("{}.{}", path.string(), number));
}

// FILE becomes FILE.1 and so on; what more files than are kept now were kept before goes.
Result<void> rotate(const fs::path& path, std::int64_t files) {
  std::error_code ec;
  for (std::int64_t i = files - 1; fs::remove(numbered(path, i), ec); ++i) continue;
  for (std::int64_t i = files - 1; i >= 1 && !ec; --i) {
    if (fs::exists(numbered(path, i - 1), ec)) fs::rename(numbered(path, i - 1), numbered(path, i), ec);
  }
  if (!ec) return {};
  return pass(os_error("crash", "cannot rotate " + path.string(), ec.value()));
}

bool on_host(const AgentSpec& spec) { return spec.place == agents::Place::host; }

json container_json(const CrashReport& report) {
  if (on_host(report.spec)) return nullptr;
  return {{"id", report.container_id},
          {"name", container_name(*AgentName::parse(report.agent), report.asked.run)},
          {"image", report.spec.image},
          {"image_id", text_or_null(report.image_id)}};
}

json limits_json(const AgentSpec& spec) {
  if (on_host(spec)) return nullptr;
  return {{"cpus", spec.cpus}, {"memory_bytes", spec.memory_bytes}, {"pids", spec.pids}};
}

}  // namespace

std::string_view to_string(RunStage stage) {
  switch (stage) {
    case RunStage::create:
      return "create";
    case RunStage::start:
      return "start";
    case RunStage::launch:
      return "launch";
    case RunStage::run:
      return "run";
  }
  return "run";
}

RunStage stage_of(wd::ExitReason reason, RunStage reached) {
  if (reason == wd::ExitReason::create_failed) return RunStage::create;
  if (reason == wd::ExitReason::start_failed) return RunStage::start;
  // Refused for good: by the start, when there is a container.
  if (reason == wd::ExitReason::broken_spec) return reached == RunStage::create ? reached : RunStage::start;
  return reached == RunStage::run ? reached : RunStage::launch;
}

std::vector<OpenAssignment> assignments_of(const std::vector<ItemRow>& items) {
  std::vector<OpenAssignment> open;
  for (const ItemRow& item : items) {
    const auto document = parse_json(item.document, "journal");
    open.push_back({item.id, document ? text_at(*document, "title") : ""});
  }
  return open;
}

json to_json(const CrashReport& report) {
  const wd::LastExit& exit = report.asked.exit;
  json assignments = json::array();
  for (const OpenAssignment& item : report.assignments)
    assignments.push_back({{"id", item.id}, {"title", redact(plain_text(item.title))}});
  return json{
      {"at", to_rfc3339(report.at)},
      {"agent", report.agent},
      {"agent_id", report.agent_id},
      {"run", report.asked.run.value},
      {"reason", wd::to_string(exit.reason)},
      {"reason_text", redact(exit.text)},
      {"stage", to_string(report.stage)},
      {"started_at", time_or_null(report.started_at)},
      {"exit_code", or_null(exit.code)},
      {"signal", or_null(exit.signal)},
      {"signal_name", exit.signal ? json(wd::signal_name(*exit.signal)) : json(nullptr)},
      {"out_of_memory", {{"main", exit.oom_main}, {"child", exit.oom_child}}},
      {"restart", {{"number", report.asked.restart_number}, {"limit", report.asked.restart_limit}}},
      {"next_restart_at", time_or_null(report.asked.next_restart_at)},
      {"container", container_json(report)},
      {"limits", limits_json(report.spec)},
      {"usage", usage_json(report.usage)},
      {"runner", report.spec.runner},
      {"model", report.spec.model},
      {"workdir", report.spec.workdir},
      {"assignments", std::move(assignments)},
      {"events", events_json(report.events)},
      {"terminal", lines_json(report.terminal)},
  };
}

std::string crash_text(const json& report) {
  const auto reason = wd::from_string<wd::ExitReason>(text_at(report, "reason"));
  std::string text =
      fmt::format("==== {} crashed: {} ({})\n", text_at(report, "agent"),
                  reason ? wd::describe(*reason) : "an unknown reason", text_at(report, "reason_text"));
  for (const Row& row : kRows) text += fmt::format("{:<11}{}\n", row.key, row.line(report));
  text += assignments_text(report) + "events:\n";
  for (const json& event : member(report, "events"))
    text +=
        fmt::format("  {} {} {}\n", text_at(event, "at"), text_at(event, "name"), text_at(event, "reason"));
  text += "terminal:\n";
  for (const json& line : member(report, "terminal"))
    text += line.is_string() ? "  " + line.get<std::string>() + "\n" : "";
  return redact(plain_text(text)) + "\n";
}

Result<void> append_crash_log(const fs::path& path, const std::string& block, const config::Crash& limits) {
  const std::string text = without_middle(block, limits.max_bytes);
  std::error_code ec;
  const auto size = fs::file_size(path, ec);
  Result<void> rotated;
  if (!ec && size + text.size() > limits.max_bytes) rotated = rotate(path, limits.files);
  auto appended = append_file(path, text, 0600);
  return appended ? rotated : appended;
}

}  // namespace agentmesh::daemon
