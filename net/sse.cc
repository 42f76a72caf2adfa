#include "net/sse.h"

#include <utility>

#include <fmt/format.h>

namespace agentmesh::net {

namespace {
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
}

Result<std::vector<SseEvent>> SseParser::feed(std::string_view bytes) {
  std::vector<SseEvent> events;
  for (const char c : bytes) {
    const bool second_half_of_crlf = after_cr_ && c == '\n';
    after_cr_ = c == '\r';
    if (second_half_of_crlf) continue;
    if (c != '\n' && c != '\r') {
      partial_.push_back(c);
      if (partial_.size() + event_.data.size() <= limit_) continue;
      partial_.clear();
      event_ = {};
      return fail(ErrorCode::exhausted, "events", fmt::format("an event is larger than {} bytes", limit_));
    }
    const std::string text = std::exchange(partial_, {});
    line(text, events);
  }
  return events;
}

void SseParser::line(std::string_view text, std::vector<SseEvent>& events) {
  if (std::exchange(at_start_, false) && text.starts_with(kByteOrderMark)) text.remove_prefix(3);
  if (text.empty()) {
    if (std::exchange(has_data_, false)) events.push_back(event_);
    event_.name.clear();
    event_.data.clear();
    return;
  }
  const std::size_t colon = text.find(':');
  if (colon == 0) return;
  std::string_view value = colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  field(text.substr(0, colon), value);
}

void SseParser::field(std::string_view name, std::string_view value) {
  if (name == "event") event_.name = value;
  if (name == "id" && value.find('\0') == std::string_view::npos) event_.id = value;
  if (name != "data") return;
  if (std::exchange(has_data_, true)) event_.data.push_back('\n');
  event_.data += value;
}

}  // namespace agentmesh::net
