#pragma once
// Verified delivery of a message to a pane. It types only while the caller allows it, asks again before every
// Enter, and calls a message delivered only when the agent's state changed. An ambiguous paste is never
// repeated. It does not know agents: what forbids typing and what proves acceptance are the caller's.

#include "base/clock.h"
#include "base/task.h"
#include "tmux/tmux.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

namespace agentmesh::tmux {

constexpr Millis kSettle{
    150};  // paste to Enter; Codex loses an Enter within 10 ms, Gemini renders a paste late
constexpr Millis kProof{2000};  // wait for a change of state after one Enter
constexpr int kMaxEnters = 3;

// The message as it may be typed: C0, C1 and DEL removed except newline and tab (CRLF becomes LF), so that no
// escape sequence leaves the paste. Errors: invalid (not UTF-8, or nothing left), exhausted (over
// kMaxPasteBytes).
Result<std::string> clean_message(std::string_view message);

enum class DeliveryStep {
  paste,  // nothing of ours is typed yet: a person's half-typed draft forbids it
  enter,  // our text is in the composer: a dialog that opened meanwhile forbids it
};

struct DeliveryChecks {
  // Why typing is forbidden now; empty when it is allowed. Asked right before each step.
  std::function<boost::asio::awaitable<std::optional<std::string>>(DeliveryStep)> forbids;
  // Called once, right before the first Enter: changes from here on are proof, earlier ones are not.
  std::function<void()> mark;
  // True as soon as the agent's state changed since mark(); false after the limit. Our own keystrokes and the
  // draft on the screen are no change.
  std::function<boost::asio::awaitable<bool>(Millis)> changed;
};

struct DeliveryTiming {
  Millis settle = kSettle;
  Millis proof = kProof;
};

enum class Outcome {
  delivered,      // proven by a change of state
  not_delivered,  // nothing was submitted and nothing of ours is in the composer: may be tried again
  unknown,        // pasted without proof: never repeat it
};

struct Delivery {
  Outcome outcome = Outcome::not_delivered;
  std::string reason;  // why not; empty when delivered
  int enters = 0;      // Enters sent
};

class Deliverer {
 public:
  using Pause = std::function<boost::asio::awaitable<void>(Millis)>;
  // `tmux` must outlive it.
  Deliverer(Tmux& tmux, boost::asio::any_io_executor executor);
  // For tests: `pause` stands in for waiting.
  Deliverer(Tmux& tmux, boost::asio::any_io_executor executor, Pause pause);
  ~Deliverer();

  // Deliveries to one pane run one after another, in the order of the calls. Errors: those of clean_message.
  Task<Delivery> deliver(PaneId pane, std::string message, DeliveryTiming timing, DeliveryChecks checks);
  // Presses keys under the pane's lock (an answer to a dialog), so that they never mix with a delivery.
  // `forbids` is asked right before: why not, or nothing. Errors: conflict (forbidden), those of Tmux::press.
  using Forbids = std::function<boost::asio::awaitable<std::optional<std::string>>()>;
  Task<> press(PaneId pane, std::vector<std::string> keys, Forbids forbids);

 private:
  struct Lane;
  class Turn;
  boost::asio::awaitable<Turn> take_turn(PaneId pane);
  boost::asio::awaitable<Delivery> type(PaneId pane, std::string text, DeliveryTiming timing,
                                        DeliveryChecks checks);
  boost::asio::awaitable<Delivery> submit(PaneId pane, DeliveryTiming timing, const DeliveryChecks& checks);

  Tmux& tmux_;
  boost::asio::any_io_executor executor_;
  Pause pause_;
  std::shared_ptr<std::map<PaneId, Lane>> lanes_;
};

}  // namespace agentmesh::tmux
