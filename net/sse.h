#pragma once
// Server-sent events out of bytes, as they come: half lines, any line end, any chunking. Pure; keeps at most
// its limits, and after an error it keeps nothing.

#include "base/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::net {

struct SseEvent {
  std::string name;  // of "event:"; empty when the server gave none
  std::string data;  // the "data:" lines, joined by newlines
  std::string id;    // the last one seen, which lasts over events
};

class SseParser {
 public:
  // `max_event_bytes`: of one event with everything that belongs to it; of one line too.
  explicit SseParser(std::size_t max_event_bytes) : limit_(max_event_bytes) {}

  // The events that these bytes complete. Errors: exhausted (an event over the limit): the stream must be
  // dropped, since what follows cannot be told apart.
  Result<std::vector<SseEvent>> feed(std::string_view bytes);

 private:
  void line(std::string_view text, std::vector<SseEvent>& events);
  void field(std::string_view name, std::string_view value);

  std::size_t limit_;
  std::string partial_;
  SseEvent event_;
  bool has_data_ = false;
  bool after_cr_ = false;
  bool at_start_ = true;
};

}  // namespace agentmesh::net
