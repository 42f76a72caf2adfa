#include "sandbox/events_feed.h"

#include "base/json.h"
#include "base/spawn_logged.h"
#include "base/text.h"
#include "sandbox/docker_wire.h"
#include "sandbox/run_spec.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <unordered_set>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::sandbox {

namespace asio = boost::asio;

namespace {

using nlohmann::json;
using Steady = std::chrono::steady_clock;

constexpr int kMaxEventDepth = 16;
constexpr std::int64_t kNanosPerSecond = 1'000'000'000;
constexpr std::int64_t kOverlapNs = kNanosPerSecond;  // events are not quite in the order of their times

struct TypeName {
  EventType type;
  std::string_view name;
};
// The first nine are Docker's words and what we ask for; the others are Podman's.
constexpr std::size_t kAskedFor = 9;
constexpr std::array kTypes{TypeName{EventType::create, "create"},   TypeName{EventType::start, "start"},
                            TypeName{EventType::die, "die"},         TypeName{EventType::oom, "oom"},
                            TypeName{EventType::kill, "kill"},       TypeName{EventType::stop, "stop"},
                            TypeName{EventType::pause, "pause"},     TypeName{EventType::unpause, "unpause"},
                            TypeName{EventType::destroy, "destroy"}, TypeName{EventType::die, "died"},
                            TypeName{EventType::destroy, "remove"}};

std::optional<int> number_from(const std::map<std::string, std::string>& attributes,
                               const std::string& name) {
  const auto found = attributes.find(name);
  return found == attributes.end() ? std::nullopt : whole_number<int>(found->second);
}

std::map<std::string, std::string> attributes_of(const json& actor) {
  std::map<std::string, std::string> out;
  const auto found = actor.find("Attributes");
  if (found == actor.end() || !found->is_object()) return out;
  for (const auto& [name, value] : found->items()) {
    if (value.is_string()) out.emplace(name, value.get<std::string>());
  }
  return out;
}

std::string events_url(const std::string& owner, std::int64_t since_ns) {
  json types = json::array();
  for (const auto& row : std::span(kTypes).first(kAskedFor)) types.push_back(row.name);
  const json filters{
      {"type", {"container"}}, {"label", {std::string(kOwnerLabel) + "=" + owner}}, {"event", types}};
  return fmt::format("http://engine/events?since={}.{:09}&filters={}", since_ns / kNanosPerSecond,
                     since_ns % kNanosPerSecond, wire::encode(dump_json(filters)));
}

std::int64_t wall_now_ns() {
  return std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Ends a conversation. Asio's own handler for that lives in the signal and may be posted: the signal is kept
// until both that and the conversation are over.
class Ender {
 public:
  // The completion handler of one co_spawn, which this can end.
  template <class Handler>
  auto bind(Handler handler) {
    signal_ = std::make_shared<asio::cancellation_signal>();
    return asio::bind_cancellation_slot(signal_->slot(),
                                        [keep = signal_, handler](auto&&... arguments) mutable {
                                          handler(std::forward<decltype(arguments)>(arguments)...);
                                        });
  }
  void end(const asio::any_io_executor& executor) {
    if (!signal_) return;
    signal_->emit(asio::cancellation_type::terminal);
    asio::post(executor, [keep = signal_] {});
  }

 private:
  std::shared_ptr<asio::cancellation_signal> signal_;
};

// The newest events, to know a repeated one.
class Seen {
 public:
  bool add(const ContainerEvent& event) {
    auto key = fmt::format("{}/{}/{}", event.time_ns, static_cast<int>(event.type), event.container_id);
    if (!keys_.insert(key).second) return false;
    order_.push_back(std::move(key));
    if (order_.size() > kRememberedEvents) {
      keys_.erase(order_.front());
      order_.pop_front();
    }
    return true;
  }

 private:
  std::unordered_set<std::string> keys_;
  std::deque<std::string> order_;
};

}  // namespace

std::string_view to_string(EventType type) { return std::ranges::find(kTypes, type, &TypeName::type)->name; }

std::optional<ContainerEvent> parse_event(std::string_view line) {
  const auto value = parse_json(line, "events", {kMaxEventBytes, kMaxEventDepth});
  if (!value || !value->is_object()) return std::nullopt;
  if (json_string(*value, "Type", "").value_or("") != "container") return std::nullopt;
  const auto action = json_string(*value, "Action", "").value_or("");
  const auto* row = std::ranges::find(kTypes, action, &TypeName::name);
  const auto actor = value->find("Actor");
  if (row == kTypes.end() || actor == value->end() || !actor->is_object()) return std::nullopt;
  ContainerEvent event;
  event.type = row->type;
  event.container_id = json_string(*actor, "ID", "").value_or("");
  event.labels = attributes_of(*actor);
  event.time_ns = json_int(*value, "timeNano", 0).value_or(0);
  if (event.container_id.empty()) return std::nullopt;
  if (const auto name = event.labels.find("name"); name != event.labels.end())
    event.container_name = name->second;
  if (event.type == EventType::die) {
    event.exit_code = number_from(event.labels, "exitCode");
    if (!event.exit_code) event.exit_code = number_from(event.labels, "containerExitCode");
  }
  return event;
}

class EventsFeed::Impl : public std::enable_shared_from_this<EventsFeed::Impl> {
 public:
  Impl(asio::any_io_executor executor, net::HttpClient& http, EventsFeedOptions options,
       EventsHandlers handlers)
      : executor_(std::move(executor)),
        http_(http),
        options_(std::move(options)),
        handlers_(std::move(handlers)),
        retry_(executor_),
        quiet_(executor_),
        delay_(options_.retry_first) {}

  void start() {
    since_ns_ = wall_now_ns();
    connect();
  }

  void stop() {
    stopped_ = true;
    connected_ = false;
    retry_.cancel();
    quiet_.cancel();
    stream_.end(executor_);
    ping_.end(executor_);
  }

  bool connected() const { return connected_; }

 private:
  void connect();
  void stream_begins(int status);
  void take(std::string_view data);
  void take_line(std::string_view line);
  void stream_ended(Result<net::HttpResponse> result);
  void retry_later();
  void watch_quiet();
  void quiet_passed();
  void ping();
  void pinged(const Result<net::HttpResponse>& result);
  // `run` on this object, unless it is gone or stopped.
  template <class Run>
  auto alive(Run run) {
    return [weak = weak_from_this(), run](auto&&... arguments) {
      const auto self = weak.lock();
      if (self && !self->stopped_) run(*self, std::forward<decltype(arguments)>(arguments)...);
    };
  }

  asio::any_io_executor executor_;
  net::HttpClient& http_;
  EventsFeedOptions options_;
  EventsHandlers handlers_;
  asio::steady_timer retry_;
  asio::steady_timer quiet_;
  Ender stream_;
  Ender ping_;
  wire::LineSplitter lines_{kMaxEventBytes, [this](std::string_view line) { take_line(line); }};
  Seen seen_;
  Steady::time_point heard_;
  Steady::time_point connected_at_;
  Millis delay_;
  std::int64_t since_ns_ = 0;
  std::optional<Error> hung_;  // why we broke the stream ourselves
  bool connected_ = false;
  bool told_lost_ = false;
  bool pinging_ = false;
  bool stopped_ = false;
};

void EventsFeed::Impl::connect() {
  net::HttpRequest request;
  request.url = events_url(options_.owner, since_ns_);
  request.unix_socket = options_.socket;
  request.total_timeout = Millis{0};
  request.on_head = alive([](Impl& self, int status) { self.stream_begins(status); });
  request.on_data = [weak = weak_from_this()](std::string_view data) {
    const auto self = weak.lock();
    if (self && !self->stopped_) self->take(data);
    return self && !self->stopped_ ? net::Flow::more : net::Flow::stop;
  };
  lines_ = wire::LineSplitter(kMaxEventBytes, [this](std::string_view line) { take_line(line); });
  hung_.reset();
  heard_ = Steady::now();
  watch_quiet();
  auto ended =
      alive([](Impl& self, Result<net::HttpResponse> result) { self.stream_ended(std::move(result)); });
  asio::co_spawn(executor_, http_.send(std::move(request)), stream_.bind(Logged("events", std::move(ended))));
}

void EventsFeed::Impl::stream_begins(int status) {
  heard_ = Steady::now();
  if (status != 200) return;
  connected_ = true;
  told_lost_ = false;
  connected_at_ = heard_;
  if (handlers_.connected) handlers_.connected();
}

void EventsFeed::Impl::take(std::string_view data) {
  heard_ = Steady::now();
  lines_.push(data);
}

void EventsFeed::Impl::take_line(std::string_view line) {
  if (stopped_) return;
  const auto event = parse_event(line);
  if (!event) return;
  since_ns_ = std::max(since_ns_, event->time_ns - kOverlapNs);
  if (seen_.add(*event) && handlers_.event) handlers_.event(*event);
}

void EventsFeed::Impl::stream_ended(Result<net::HttpResponse> result) {
  quiet_.cancel();
  if (connected_ && Steady::now() - connected_at_ >= options_.retry_most) delay_ = options_.retry_first;
  connected_ = false;
  if (!told_lost_) {
    told_lost_ = true;
    Error error{ErrorCode::unavailable, "events", "the engine ended the stream of events", ""};
    if (!result) error = result.error();
    if (result && result->status != 200) error = wire::error_from(result->status, result->body);
    if (hung_) error = *hung_;
    error.stage = "events";
    if (handlers_.lost) handlers_.lost(error);
  }
  if (!stopped_) retry_later();
}

void EventsFeed::Impl::retry_later() {
  retry_.expires_after(delay_);
  delay_ = std::min(2 * delay_, options_.retry_most);
  retry_.async_wait(alive([](Impl& self, boost::system::error_code ec) {
    if (!ec) self.connect();
  }));
}

void EventsFeed::Impl::watch_quiet() {
  quiet_.expires_at(heard_ + options_.quiet_limit);
  quiet_.async_wait(alive([](Impl& self, boost::system::error_code ec) {
    if (!ec) self.quiet_passed();
  }));
}

void EventsFeed::Impl::quiet_passed() {
  if (Steady::now() < heard_ + options_.quiet_limit) return watch_quiet();
  ping();
}

void EventsFeed::Impl::ping() {
  if (pinging_) return;
  pinging_ = true;
  net::HttpRequest request;
  request.url = "http://engine/_ping";
  request.unix_socket = options_.socket;
  request.connect_timeout = request.total_timeout = options_.ping_deadline;
  auto ended = alive([](Impl& self, const Result<net::HttpResponse>& result) { self.pinged(result); });
  asio::co_spawn(executor_, http_.send(std::move(request)), ping_.bind(Logged("events", std::move(ended))));
}

void EventsFeed::Impl::pinged(const Result<net::HttpResponse>& result) {
  pinging_ = false;
  if (result) {
    heard_ = Steady::now();
    return watch_quiet();
  }
  hung_ = result.error();
  stream_.end(executor_);
}

EventsFeed::EventsFeed(asio::any_io_executor executor, net::HttpClient& http, EventsFeedOptions options,
                       EventsHandlers handlers)
    : impl_(std::make_shared<Impl>(std::move(executor), http, std::move(options), std::move(handlers))) {}

EventsFeed::~EventsFeed() { impl_->stop(); }

void EventsFeed::start() { impl_->start(); }
void EventsFeed::stop() { impl_->stop(); }
bool EventsFeed::is_connected() const { return impl_->connected(); }

}  // namespace agentmesh::sandbox
