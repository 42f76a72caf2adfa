#include "daemon/notice_gate.h"

#include "base/text.h"
#include "daemon/notice.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace agentmesh::daemon {
namespace {

constexpr std::array<std::string_view, 6> kChatter{"permission",  "question", "login",
                                                   "usage_limit", "stuck",    "nudge_blocked"};

}  // namespace

bool is_chatter(const std::string& kind) { return std::ranges::find(kChatter, kind) != kChatter.end(); }

bool NoticeGate::admit(const std::string& kind, const std::string& agent, const std::string& text,
                       WallTime now) {
  if (!is_chatter(kind)) return true;
  Window& window = windows_[{agent, kind}];
  if (window.withheld == 0 && window.ends <= now) window = {.ends = now + policy_.window};
  if (window.told < policy_.most) {
    ++window.told;
    return true;
  }
  ++window.withheld;
  window.text = cut_utf8(text, kMaxNoticeText);
  return false;
}

std::vector<Withheld> NoticeGate::due(WallTime now) {
  std::vector<Withheld> over;
  for (auto it = windows_.begin(); it != windows_.end();) {
    auto& [key, window] = *it;
    if (window.ends > now) {
      ++it;
    } else if (window.withheld == 0) {
      it = windows_.erase(it);
    } else {
      over.push_back({key.second, key.first, window.withheld, std::move(window.text)});
      (it++)->second = {.ends = now + policy_.window, .told = policy_.most};
    }
  }
  return over;
}

std::optional<WallTime> NoticeGate::next_wake() const {
  std::optional<WallTime> wake;
  for (const auto& [key, window] : windows_) {
    if (window.withheld > 0 && (!wake || window.ends < *wake)) wake = window.ends;
  }
  return wake;
}

}  // namespace agentmesh::daemon
