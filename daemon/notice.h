#pragma once
// One thing a person should hear of, and the forms it is told in. Its text is redacted and plain before it
// gets here (make_notice): nothing below cleans again.

#include "base/clock.h"

#include <map>
#include <string>
#include <string_view>

namespace agentmesh::daemon {

constexpr std::size_t kMaxNoticeText = 1'000;  // bytes

struct Notice {
  std::string id;  // stable over retries: who gets it twice can drop the second
  WallTime at{};
  std::string kind;   // one of config::kNotices
  std::string agent;  // empty: of this host
  std::string text;
  std::string host;
};

// A new id; the text redacted, without control characters, at most kMaxNoticeText.
Notice make_notice(std::string kind, std::string agent, std::string_view text, WallTime at);

// What happened, for a sentence that begins with the agent's name: "asks for permission".
std::string_view phrase_of(const std::string& kind);
// "demo asks for permission: bash: npm test"
std::string summary_of(const Notice& notice);
// The name of its event: "failed", "notify_permission", ...
std::string event_name_of(const std::string& kind);
// One JSON object on one line, without a newline.
std::string notice_json(const Notice& notice);
// AGENTMESH_EVENT, AGENTMESH_EVENT_ID, AGENTMESH_EVENT_AT, AGENTMESH_AGENT, AGENTMESH_TEXT,
// AGENTMESH_SUMMARY, AGENTMESH_HOST.
std::map<std::string, std::string> notice_environment(const Notice& notice);

}  // namespace agentmesh::daemon
