#pragma once
// The engine's events of our containers, as they happen: one /events stream that reconnects by itself from
// the time of its last event, so that a break loses and doubles nothing the engine still remembers. The
// engine may drop events all the same (buffer of 256): `connected` tells the daemon to relist, and it relists
// now and then. Owned by the daemon. It never polls containers; a silent engine is asked one /_ping per
// `quiet_limit`.

#include "base/clock.h"
#include "base/result.h"
#include "net/http_client.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace agentmesh::sandbox {

constexpr std::size_t kMaxEventBytes = 256 * 1024;  // one line; a longer one is skipped
constexpr std::size_t kRememberedEvents = 1024;     // to know a repeated one by

enum class EventType { create, start, die, oom, kill, stop, pause, unpause, destroy };
std::string_view to_string(EventType type);

struct ContainerEvent {
  EventType type = EventType::create;
  std::string container_id;
  std::string container_name;
  std::map<std::string, std::string> labels;  // also the engine's own attributes: image, name, exitCode
  std::optional<int> exit_code;               // of die
  std::int64_t time_ns = 0;                   // the engine's wall clock
};

struct EventsFeedOptions {
  std::string socket;
  std::string owner;            // the value of the label agentmesh.owner
  Millis quiet_limit{15'000};   // silence after which the engine is asked whether it lives
  Millis ping_deadline{5'000};  // and how long it has for the answer
  Millis retry_first{100};      // doubles up to retry_most
  Millis retry_most{5'000};
};

struct EventsHandlers {
  std::function<void(const ContainerEvent&)> event;
  std::function<void()> connected;         // relist now
  std::function<void(const Error&)> lost;  // once per break, not once per try
};

// One line of the stream. Absent: an event we do not follow, or not an event at all.
std::optional<ContainerEvent> parse_event(std::string_view line);

class EventsFeed {
 public:
  // Handlers run on the executor's thread; none runs after stop() or the destructor. A handler may call
  // stop() but not destroy the feed.
  EventsFeed(boost::asio::any_io_executor executor, net::HttpClient& http, EventsFeedOptions options,
             EventsHandlers handlers);
  ~EventsFeed();
  EventsFeed(const EventsFeed&) = delete;
  EventsFeed& operator=(const EventsFeed&) = delete;

  void start();  // once
  void stop();
  bool is_connected() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace agentmesh::sandbox
