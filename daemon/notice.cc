#include "daemon/notice.h"

#include "base/ids.h"
#include "base/json.h"
#include "base/process.h"
#include "base/secret.h"
#include "base/text.h"
#include "config/config.h"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

namespace agentmesh::daemon {
namespace {

struct KindRow {
  std::string_view kind;
  std::string_view event;
  std::string_view phrase;
};

constexpr std::array kKinds{
    KindRow{"permission", "notify_permission", "asks for permission"},
    KindRow{"question", "notify_question", "asks a question"},
    KindRow{"login", "notify_login", "needs a login"},
    KindRow{"usage_limit", "notify_usage_limit", "met a usage limit"},
    KindRow{"stuck", "notify_stuck", "is stuck"},
    KindRow{"nudge_blocked", "notify_nudge_blocked", "was not nudged"},
    KindRow{"effect_failed", "notify_effect_failed", "cannot be started or ended"},
    KindRow{"failed", "failed", "has failed"},
    KindRow{"assignment_failed", "assignment_failed", "could not do an assignment"},
    KindRow{"mass_death", "mass_death", "many agents died together"},
    KindRow{"engine_lost", "engine_lost", "the engine is lost"},
    KindRow{"disk_full", "disk_full", "the disk is full"},
};
static_assert(kKinds.size() == config::kNotices.size());

KindRow row_of(const std::string& kind) {
  const auto* found = std::ranges::find(kKinds, kind, &KindRow::kind);
  return found == kKinds.end() ? KindRow{kind, "notify", "needs you"} : *found;
}

}  // namespace

Notice make_notice(std::string kind, std::string agent, std::string_view text, WallTime at) {
  // Redacted before it is cut: half a key is not known for one.
  const std::string clean = redact(plain_text(text));
  return Notice{.id = new_id("ntc"),
                .at = at,
                .kind = std::move(kind),
                .agent = std::move(agent),
                .text = cut_utf8(clean, kMaxNoticeText),
                .host = host_name()};
}

std::string_view phrase_of(const std::string& kind) { return row_of(kind).phrase; }

std::string summary_of(const Notice& notice) {
  std::string text = notice.agent.empty() ? "" : notice.agent + " ";
  text += phrase_of(notice.kind);
  return notice.text.empty() ? text : text + ": " + notice.text;
}

std::string event_name_of(const std::string& kind) { return std::string(row_of(kind).event); }

std::string notice_json(const Notice& notice) {
  return dump_json({{"id", notice.id},
                    {"at", to_rfc3339(notice.at)},
                    {"kind", notice.kind},
                    {"agent", notice.agent.empty() ? nlohmann::json(nullptr) : nlohmann::json(notice.agent)},
                    {"text", notice.text},
                    {"summary", summary_of(notice)},
                    {"host", notice.host}});
}

std::map<std::string, std::string> notice_environment(const Notice& notice) {
  return {{"AGENTMESH_EVENT", notice.kind},  {"AGENTMESH_EVENT_ID", notice.id},
          {"AGENTMESH_AGENT", notice.agent}, {"AGENTMESH_EVENT_AT", to_rfc3339(notice.at)},
          {"AGENTMESH_TEXT", notice.text},   {"AGENTMESH_SUMMARY", summary_of(notice)},
          {"AGENTMESH_HOST", notice.host}};
}

}  // namespace agentmesh::daemon
