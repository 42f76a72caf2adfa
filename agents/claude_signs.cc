#include "agents/claude_signs.h"

#include "agents/fields.h"
#include "base/json.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <re2/re2.h>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {

using nlohmann::json;

namespace {

constexpr int kMaxStatusDepth = 8;
constexpr std::string_view kQuestionTool = "AskUserQuestion";
constexpr std::chrono::hours kJustPast{1};  // what is read later than it was written
constexpr std::chrono::days kHalfAYear{182};
constexpr std::chrono::hours kSameLimit{
    12};  // the same words later than this after its end are another limit

// What the title begins with while it works; the two below in versions until 2.1.2xx. "✳ " stands there
// before it takes any key, while it asks and when it is idle: it says nothing.
constexpr std::array<std::string_view, 4> kBusyTitles = {"◐ ", "◑ ", "⠂ ", "⠐ "};

// What it waits for that a person allows or denies; anything else is a question or a menu.
constexpr std::array<std::string_view, 3> kPermissionWaits = {"permission prompt", "sandbox request",
                                                              "worker request"};

constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

std::optional<Sign> sign_of_status(const json& file) {
  const std::string status = text_at(file, "status");
  if (status == "idle") return Sign{Sense::idle};
  if (status == "busy") return Sign{Sense::busy};
  if (status != "waiting") return std::nullopt;
  const std::string what = one_line(text_at(file, "waitingFor"));
  const bool permission = std::ranges::find(kPermissionWaits, what) != kPermissionWaits.end();
  return Sign{permission ? Sense::permission : Sense::question, what};
}

// Of these tools one member of the input tells what is asked; of any other, and of a command that is to run
// without Claude's own sandbox, the whole input is shown.
constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kToolInput = {{
    {"Bash", "command"},
    {"Read", "file_path"},
    {"Write", "file_path"},
    {"Edit", "file_path"},
    {"MultiEdit", "file_path"},
    {"NotebookEdit", "notebook_path"},
    {"WebFetch", "url"},
    {"WebSearch", "query"},
    {"Glob", "pattern"},
    {"Grep", "pattern"},
    {"ExitPlanMode", "plan"},
}};

// "Bash: rm -rf build": what a person needs to know to answer. An input that the hook could not send is a
// text that says how long it is.
std::string tool_line(const json& hook) {
  const json& input = object_at(hook, "tool_input");
  const std::string tool = text_at(hook, "tool_name");
  const auto known = std::ranges::find(kToolInput, tool, [](const auto& row) { return row.first; });
  const bool usual = known != kToolInput.end() && !input.contains("dangerouslyDisableSandbox");
  std::string what = usual ? text_at(input, known->second) : "";
  if (what.empty()) what = input.empty() ? text_at(hook, "tool_input") : dump_json(input);
  return asked_line(what.empty() ? tool : tool + ": " + what);
}

std::string question_line(const json& hook) {
  const json& input = object_at(hook, "tool_input");
  const auto questions = input.find("questions");
  if (questions == input.end() || !questions->is_array() || questions->empty()) return "";
  return one_line(text_at(questions->front(), "question"));
}

// The moment at which a clock `offset` ahead of UTC shows hour:minute: the next one, or the one just past.
WallTime next_time_of_day(int hour, int minute, WallTime now, std::chrono::seconds offset) {
  const auto local = now + offset;
  const auto day = std::chrono::floor<std::chrono::days>(local);
  auto then = day + std::chrono::hours(hour) + std::chrono::minutes(minute);
  if (then <= local - kJustPast) then += std::chrono::days(1);
  if (then > local + std::chrono::days(1) - kJustPast) then -= std::chrono::days(1);
  return std::chrono::time_point_cast<WallTime::duration>(then - offset);
}

std::chrono::seconds local_offset(WallTime now) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(
      std::chrono::time_point_cast<std::chrono::system_clock::duration>(now));
  std::tm parts{};
  return ::localtime_r(&seconds, &parts) == nullptr ? std::chrono::seconds(0)
                                                    : std::chrono::seconds(parts.tm_gmtoff);
}

std::optional<WallTime> on_date(int month, int day, int hour, int minute, WallTime now,
                                std::chrono::seconds offset) {
  const auto today = std::chrono::floor<std::chrono::days>(now + offset);
  const std::chrono::year this_year = std::chrono::year_month_day(today).year();
  for (const int later : {-1, 0, 1}) {
    const std::chrono::year_month_day date(this_year + std::chrono::years(later),
                                           std::chrono::month(static_cast<unsigned>(month)),
                                           std::chrono::day(static_cast<unsigned>(day)));
    if (!date.ok()) continue;
    const auto then = std::chrono::time_point_cast<WallTime::duration>(
        std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) - offset);
    if (then > now - kHalfAYear) return then;
  }
  return std::nullopt;
}

std::optional<WallTime> in_a_while(std::string_view text, WallTime now) {
  static const re2::RE2 pattern(R"(retrying in (?:(\d{1,4})h ?)?(?:(\d{1,4})m ?)?(?:(\d{1,5})s)?)");
  std::string hours;
  std::string minutes;
  std::string seconds;
  if (!re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), pattern, &hours, &minutes,
                              &seconds))
    return std::nullopt;
  if (hours.empty() && minutes.empty() && seconds.empty()) return std::nullopt;
  return now + std::chrono::hours(number_of(hours)) + std::chrono::minutes(number_of(minutes)) +
         std::chrono::seconds(number_of(seconds));
}

}  // namespace

std::optional<WallTime> claude_limit_end(std::string_view text, WallTime now) {
  text = text.substr(0, 4 * kMaxSignalDetail);
  if (auto soon = in_a_while(text, now)) return soon;
  static const re2::RE2 pattern(
      R"(resets? (?:at )?(?:([A-Z][a-z]{2}) (\d{1,2}),? (?:at )?)?(\d{1,2})(?::(\d\d))? ?(am|pm)(?: \(([^)]*)\))?)");
  std::string month;
  std::string day;
  std::string hour;
  std::string minute;
  std::string half;
  std::string zone;
  if (!re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), pattern, &month, &day, &hour,
                              &minute, &half, &zone)) {
    return std::nullopt;
  }
  const int twelve = number_of(hour) % 12 + (half == "pm" ? 12 : 0);
  const int minutes = number_of(minute);
  if (number_of(hour) > 12 || minutes > 59) return std::nullopt;
  const auto offset = zone.empty() || zone == "UTC" ? std::chrono::seconds(0) : local_offset(now);
  if (month.empty()) return next_time_of_day(twelve, minutes, now, offset);
  const auto found = std::ranges::find(kMonths, month);
  if (found == kMonths.end()) return std::nullopt;
  return on_date(static_cast<int>(found - kMonths.begin()) + 1, number_of(day), twelve, minutes, now, offset);
}

std::optional<Sign> ClaudeSigns::title(std::string_view title) {
  const auto begins = [&](std::string_view mark) { return title.starts_with(mark); };
  return std::ranges::any_of(kBusyTitles, begins) ? std::optional(Sign{Sense::busy}) : std::nullopt;
}

std::optional<Sign> ClaudeSigns::screen(const ScreenReading& reading) {
  auto sign = sign_of(reading);
  if (!sign) return sign;
  if (sign->sense != Sense::limited) {
    limit_.shown = false;
    return sign;
  }
  const WallTime now = clock_.now();
  const bool recent = limit_.until && now < *limit_.until + kSameLimit;
  const bool same = limit_.text == reading.detail && (limit_.shown || recent);
  if (!same) limit_ = {reading.detail, claude_limit_end(reading.detail, now)};
  limit_.shown = true;
  sign->until = limit_.until;
  return sign;
}

std::optional<Sign> ClaudeSigns::status(const std::vector<std::string>& texts) {
  std::vector<json> found;
  for (const std::string& text : texts) {
    auto file = parse_json(text, "status", JsonLimits{.bytes = text.size(), .depth = kMaxStatusDepth});
    if (!file) return status_;  // half written: the rest follows
    if (!file->is_object() || text_at(*file, "sessionId").empty()) continue;
    const bool alone = place_ == Place::sandbox && text_at(*file, "kind") == "interactive";
    if (session_.empty() ? alone : text_at(*file, "sessionId") == session_) found.push_back(std::move(*file));
  }
  if (found.size() == 1) version_ = version_of(text_at(found.front(), "version"));
  status_ = found.size() == 1 ? sign_of_status(found.front()) : std::nullopt;
  return status_;
}

HookSaid ClaudeSigns::asked(const json& hook) const {
  const std::string tool = text_at(hook, "tool_name");
  if (tool == kQuestionTool) return {.sign = Sign{Sense::question, question_line(hook)}};
  return {.sign = Sign{Sense::permission, tool_line(hook)}};
}

HookSaid ClaudeSigns::failed(const json& hook) const {
  const std::string error = text_at(hook, "error");
  const std::string words = one_line(text_at(hook, "last_assistant_message"));
  if (error == "rate_limit" || error == "billing_error") {
    return {.sign = Sign{Sense::limited, words, "", claude_limit_end(words, clock_.now())}};
  }
  if (error == "authentication_failed" || error == "oauth_org_not_allowed") {
    return {.sign = Sign{Sense::login, words}};
  }
  return {.sign = Sign{Sense::idle},
          .news = {{SignalKind::turn_failed, "hook", words.empty() ? error : words}}};
}

HookSaid ClaudeSigns::hook(const json& hook) {
  if (!hook.is_object()) return {};
  const std::string event = text_at(hook, "hook_event_name");
  const std::string session = id_at(hook, "session_id");
  HookSaid said;
  if (event == "PermissionRequest") said = asked(hook);
  if (event == "StopFailure") said = failed(hook);
  if (event == "UserPromptSubmit" || event == "PreToolUse" || event == "PostToolUse" ||
      event == "PostToolUseFailure") {
    said.sign = Sign{Sense::busy};
    said.call_over = event.starts_with("PostToolUse");
  }
  if (event == "PreToolUse") {
    const std::string id = id_at(hook, "tool_use_id");
    if (!id.empty()) said.news.push_back({SignalKind::tool_called, "hook", "", id});
  }
  if (event == "Stop") {
    const json tasks = hook.value("background_tasks", json::array());
    if (tasks.empty()) {
      said.sign = Sign{Sense::idle};
      said.news.push_back({SignalKind::turn_ended, "hook"});
    }
  }
  if (session.empty()) return said;
  session_ = session;
  said.news.insert(said.news.begin(), {SignalKind::session_learned, "hook", "", session});
  return said;
}

std::string ClaudeSigns::answer(PermissionAnswer answer, std::string_view reason) const {
  json decision{{"behavior", answer == PermissionAnswer::deny ? "deny" : "allow"}};
  if (answer == PermissionAnswer::deny) {
    decision["message"] = reason.empty() ? std::string("denied by a person") : one_line(reason);
  }
  return dump_json(
      {{"hookSpecificOutput", {{"hookEventName", "PermissionRequest"}, {"decision", decision}}}});
}

}  // namespace agentmesh::agents
