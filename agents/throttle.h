#pragma once
// Between a Link and its sink: at most kSignalBurst signals at once and one each kSignalEvery after that,
// because each change of state can cost the daemon a durable commit, and how often it changes is up to a
// program we do not trust. What is over waits; of what waits the newest of a kind stands for the older ones,
// and the newest state for the older states, so memory is bounded and the last word is always told. A prompt
// that is open is never left out.

#include "agents/adapter.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

namespace agentmesh::agents {

constexpr int kSignalBurst = 20;
constexpr Millis kSignalEvery{50};

// Pure: what waits, and when it may go.
class SignalQueue {
 public:
  void push(Signal signal);
  // The next one that may be told now, in the order they came.
  std::optional<Signal> pop(WallTime now);
  // All of them, whatever the time.
  std::vector<Signal> take_all() { return std::exchange(waiting_, {}); }
  bool empty() const { return waiting_.empty(); }
  Millis wait(WallTime now) const;  // until pop() may give the next one; 0: at once

 private:
  std::vector<Signal> waiting_;  // a few: one of a kind
  WallTime next_{};              // when the next one were due, if they came evenly
};

// Tells what may be told at once from inside tell(), the rest from the executor, nothing after it is
// destroyed, which the sink must not do.
class SignalThrottle {
 public:
  SignalThrottle(const boost::asio::any_io_executor& executor, const Clock& clock, SignalSink sink);
  SignalThrottle(const SignalThrottle&) = delete;
  SignalThrottle& operator=(const SignalThrottle&) = delete;
  void tell(Signal signal);

 private:
  void drain();

  const Clock& clock_;
  SignalSink sink_;
  SignalQueue queue_;
  boost::asio::steady_timer timer_;
  bool armed_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // for handlers that come after our end
};

}  // namespace agentmesh::agents
