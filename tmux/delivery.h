#pragma once
// Verified delivery of a message to a pane. It types only while the caller allows it and no person is at it,
// asks again before every Enter, and calls a message delivered only when the agent's state changed: what the
// screen shows is never proof. An ambiguous paste is never repeated, and what it may have left in the
// composer never becomes part of the next message. It does not know agents: what forbids typing and what
// proves acceptance are the caller's.

#include "base/clock.h"
#include "base/task.h"
#include "base/turns.h"
#include "tmux/tmux.h"

#include <functional>
#include <map>
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
// While the composer is seen empty after an Enter the program has the message, and may be long about it
// (Gemini looks for a file behind each "@" first): so often the proof is waited for.
constexpr int kMaxLooks = 90;
constexpr Millis kHandsOff{3000};  // since a person's last key: sooner, somebody is typing

// The message as it may be typed: C0, C1 and DEL removed except newline and tab (CRLF becomes LF), so that no
// escape sequence leaves the paste. Errors: invalid (not UTF-8, or nothing left), exhausted (over
// kMaxPasteBytes).
Result<std::string> clean_message(std::string_view message);

enum class DeliveryStep {
  paste,  // nothing of ours is typed yet
  enter,  // our text is in the composer: a dialog that opened meanwhile forbids it
};

// Why nothing is typed now.
struct Refusal {
  std::string why;
  bool waits = false;  // it may pass by itself: worth another try soon
};

// Who gets it. The composer is the agent's and outlives the pane that shows it, so what may be left in it is
// remembered by the agent's name.
struct Recipient {
  std::string name;
  PaneId pane;
};

struct DeliveryChecks {
  // Why typing is forbidden now; nothing when it is allowed. Asked right before each step.
  std::function<boost::asio::awaitable<std::optional<Refusal>>(DeliveryStep)> forbids;
  // What is in the composer, by the screen; empty text: it is there and empty. Nothing: the screen does not
  // tell.
  std::function<boost::asio::awaitable<std::optional<std::string>>()> draft;
  // A number that changes with each change of the agent's state. Our own keystrokes and the draft on the
  // screen are no change.
  std::function<std::uint64_t()> state;
  // True as soon as state() is not `before`; false after the limit.
  std::function<boost::asio::awaitable<bool>(std::uint64_t before, Millis limit)> changed;
};

struct DeliveryManner {
  Millis settle = kSettle;
  std::string key_after_paste = {};  // pressed between two pauses; empty: none
  Millis proof = kProof;
  PasteMarks marks = PasteMarks::if_asked_for;
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
  bool waits = false;  // not delivered for something that may pass by itself
};

class Deliverer {
 public:
  using Pause = std::function<boost::asio::awaitable<void>(Millis)>;
  // `tmux` must outlive it.
  Deliverer(Tmux& tmux, boost::asio::any_io_executor executor);
  // For tests: `pause` stands in for waiting.
  Deliverer(Tmux& tmux, boost::asio::any_io_executor executor, Pause pause);

  // Deliveries to one pane run one after another, in the order of the calls. Errors: those of clean_message.
  Task<Delivery> deliver(Recipient to, std::string message, DeliveryManner manner, DeliveryChecks checks);
  // A person who is typing, or what is half typed: what keeps a message out of the pane now; nothing when it
  // may be sent.
  boost::asio::awaitable<std::optional<Refusal>> hindrance(Recipient to, DeliveryChecks checks);
  // Presses keys under the pane's lock (an answer to a dialog), so that they never mix with a delivery.
  // `forbids` is asked right before: why not, or nothing. Errors: conflict (forbidden), those of Tmux::press.
  using Forbids = std::function<boost::asio::awaitable<std::optional<std::string>>()>;
  Task<> press(PaneId pane, std::vector<std::string> keys, Forbids forbids);

 private:
  boost::asio::awaitable<std::optional<Refusal>> left_over(const std::string& name,
                                                           const DeliveryChecks& checks);
  boost::asio::awaitable<Delivery> type(Recipient to, std::string text, DeliveryManner manner,
                                        const DeliveryChecks& checks);
  boost::asio::awaitable<Delivery> submit(PaneId pane, std::optional<LastKey> key, DeliveryManner manner,
                                          const DeliveryChecks& checks);
  boost::asio::awaitable<std::optional<Refusal>> typed_since(PaneId pane, std::optional<LastKey> before);

  Tmux& tmux_;
  Pause pause_;
  Turns<PaneId> turns_;
  std::map<std::string, std::uint64_t> left_;  // whose composer may hold text of ours, and its state() then
};

}  // namespace agentmesh::tmux
