#include "agents/gemini_signs.h"

#include "agents/fields.h"
#include "base/json.h"
#include "base/text.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <re2/re2.h>
#include <utility>

#include <nlohmann/json.hpp>

namespace agentmesh::agents {

using nlohmann::json;

namespace {

// Two blanks after the mark; a thought may stand in place of "Working…".
constexpr std::array<std::pair<std::string_view, Sense>, 4> kTitles = {{
    {"✦  ", Sense::busy},
    {"⏲  Working", Sense::busy},
    {"◇  Ready", Sense::quiet},
    {"✋  Action Required", Sense::unclear},
}};

constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kPromptKinds = {{
    {"exec", "Shell"},
    {"edit", "Edit"},
    {"info", "Fetch"},
    {"mcp", "MCP"},
}};

std::string prompt_line(const json& hook) {
  const json& details = object_at(hook, "details");
  std::string what;
  for (const std::string_view key :
       {"command", "filePath", "fileName", "prompt", "toolDisplayName", "toolName"}) {
    if (what.empty()) what = text_at(details, key);
  }
  const std::string type = text_at(details, "type");
  const auto kind =
      std::ranges::find(kPromptKinds, type, &std::pair<std::string_view, std::string_view>::first);
  if (what.empty() || kind == kPromptKinds.end())
    return asked_line(text_at(hook, hook.contains("message") ? "message" : "details"));
  if (type == "mcp") what = dump_json(details);
  return asked_line(std::string(kind->second) + ": " + what);
}

// What a tool asks a person: to allow it, or something else.
std::optional<Sign> asked(const json& hook) {
  if (text_at(hook, "notification_type") != "ToolPermission") return std::nullopt;
  const std::string type = text_at(object_at(hook, "details"), "type");
  const bool question = type == "ask_user" || type == "exit_plan_mode";
  return question ? Sign{Sense::question, one_line(text_at(object_at(hook, "details"), "title"))}
                  : Sign{Sense::permission, prompt_line(hook)};
}

// A box's text without its frame, on one line.
std::string unframed(std::string_view text) {
  std::string plain;
  for (const std::string_view word : split(text, ' ')) {
    const std::string_view bare = trim(word);
    if (bare.empty() || bare == "│") continue;
    plain += (plain.empty() ? "" : " ") + std::string(bare);
  }
  return one_line(plain);
}

std::optional<std::chrono::seconds> offset_of(std::string_view zone, WallTime now) {
  if (zone == "UTC" || zone == "GMT") return std::chrono::seconds(0);
  const std::time_t seconds = std::chrono::system_clock::to_time_t(
      std::chrono::time_point_cast<std::chrono::system_clock::duration>(now));
  std::tm parts{};
  if (::localtime_r(&seconds, &parts) == nullptr || zone != parts.tm_zone) return std::nullopt;
  return std::chrono::seconds(parts.tm_gmtoff);
}

}  // namespace

std::optional<WallTime> gemini_limit_end(std::string_view text, WallTime now) {
  text = text.substr(0, 4 * kMaxSignalDetail);
  static const re2::RE2 pattern(R"(resets at (\d{1,2}):(\d\d) ([AP])M ([A-Z]{1,5}))");
  int hour = 0;
  int minute = 0;
  std::string half;
  std::string zone;
  if (!re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), pattern, &hour, &minute, &half,
                              &zone))
    return std::nullopt;
  const auto offset = offset_of(zone, now);
  if (hour < 1 || hour > 12 || minute > 59 || !offset) return std::nullopt;
  const int of_day = hour % 12 + (half == "P" ? 12 : 0);
  const auto day = std::chrono::floor<std::chrono::days>(now + *offset);
  auto end = day + std::chrono::hours(of_day) + std::chrono::minutes(minute + 1) - *offset;
  if (end <= now) end += std::chrono::days(1);
  return std::chrono::time_point_cast<WallTime::duration>(end);
}

std::optional<Sign> GeminiSigns::title(std::string_view title) {
  for (const auto& [mark, sense] : kTitles) {
    if (title.starts_with(mark)) return Sign{sense};
  }
  return std::nullopt;
}

HookSaid GeminiSigns::hook(const json& hook) {
  if (!hook.is_object()) return {};
  const std::string event = text_at(hook, "hook_event_name");
  HookSaid said;
  if (const std::string session = id_at(hook, "session_id"); !session.empty())
    said.news.push_back({SignalKind::session_learned, "hook", "", session});
  if (event == "Notification") said.sign = asked(hook);
  if (event == "BeforeAgent" || event == "BeforeTool" || event == "AfterTool") said.sign = Sign{Sense::busy};
  if (event == "BeforeTool") said.news.push_back({SignalKind::tool_called, "hook"});
  if (event == "AfterAgent") {
    said.sign = Sign{Sense::idle};
    said.news.push_back({SignalKind::turn_ended, "hook"});
  }
  return said;
}

std::optional<Sign> GeminiSigns::screen(const ScreenReading& reading) {
  auto sign = sign_of(reading);
  if (!sign) return sign;
  sign->detail = unframed(sign->detail);
  if (sign->sense != Sense::limited || sign->detail != limit_.detail) limit_ = *sign;
  if (sign->sense == Sense::limited && !limit_.until)
    limit_.until = gemini_limit_end(sign->detail, clock_.now());
  return limit_;
}

}  // namespace agentmesh::agents
