#include "agents/throttle.h"

#include <algorithm>
#include <utility>

namespace agentmesh::agents {

namespace {

bool is_state(SignalKind kind) {
  return kind == SignalKind::busy || kind == SignalKind::idle || kind == SignalKind::rate_limited ||
         kind == SignalKind::auth_required || kind == SignalKind::unreadable;
}

// A prompt that opens does not replace the close of the one before: it is another prompt.
bool replaces(SignalKind newer, SignalKind older) {
  if (newer == older || (is_state(newer) && is_state(older))) return true;
  if (newer == SignalKind::permission_closed) return older == SignalKind::permission_asked;
  if (newer == SignalKind::question_closed) return older == SignalKind::question_asked;
  return false;
}

}  // namespace

void SignalQueue::push(Signal signal) {
  std::erase_if(waiting_, [&](const Signal& older) { return replaces(signal.kind, older.kind); });
  waiting_.push_back(std::move(signal));
}

std::optional<Signal> SignalQueue::pop(WallTime now) {
  if (waiting_.empty() || wait(now) > Millis{0}) return std::nullopt;
  next_ = std::max(next_, now) + kSignalEvery;
  Signal first = std::move(waiting_.front());
  waiting_.erase(waiting_.begin());
  return first;
}

Millis SignalQueue::wait(WallTime now) const {
  return std::max(next_ - (kSignalBurst - 1) * kSignalEvery - now, Millis{0});
}

SignalThrottle::SignalThrottle(const boost::asio::any_io_executor& executor, const Clock& clock,
                               SignalSink sink)
    : clock_(clock), sink_(std::move(sink)), timer_(executor) {}

void SignalThrottle::tell(Signal signal) {
  queue_.push(std::move(signal));
  drain();
}

void SignalThrottle::drain() {
  while (auto signal = queue_.pop(clock_.now())) sink_(std::move(*signal));
  if (queue_.empty() || std::exchange(armed_, true)) return;
  timer_.expires_after(std::max(queue_.wait(clock_.now()), Millis{1}));
  timer_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code) {
    if (alive.expired()) return;
    armed_ = false;
    drain();
  });
}

}  // namespace agentmesh::agents
