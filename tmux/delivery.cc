#include "tmux/delivery.h"

#include "base/text.h"

#include <deque>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

namespace agentmesh::tmux {
namespace {

namespace asio = boost::asio;

Delivery ended(Outcome outcome, std::string reason, int enters) {
  return Delivery{.outcome = outcome, .reason = std::move(reason), .enters = enters};
}

// Which Enter submits differs between versions of tmux and agents, so both are tried.
std::string enter_key(int attempt) { return attempt == 2 ? "CR" : "Enter"; }

bool is_control(unsigned char byte) { return (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f; }
bool is_c1(std::string_view text, std::size_t at) {
  return text[at] == '\xc2' && at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) < 0xa0;
}

}  // namespace

Result<std::string> clean_message(std::string_view message) {
  if (message.size() > 4 * kMaxPasteBytes) {
    return fail(ErrorCode::exhausted, "message", "the message is over 64 KiB", "send a file's path instead");
  }
  if (!is_utf8(message)) return fail(ErrorCode::invalid, "message", "the message is not UTF-8 text");
  std::string clean;
  for (std::size_t i = 0; i < message.size(); ++i) {
    if (is_c1(message, i)) {
      ++i;
    } else if (!is_control(static_cast<unsigned char>(message[i]))) {
      clean += message[i];
    }
  }
  if (trim(clean).empty()) return fail(ErrorCode::invalid, "message", "the message is empty");
  if (clean.size() > kMaxPasteBytes) {
    return fail(ErrorCode::exhausted, "message", "the message is over 64 KiB", "send a file's path instead");
  }
  return clean;
}

// ---- one delivery at a time in a pane

struct Deliverer::Lane {
  std::deque<std::shared_ptr<asio::steady_timer>> waiting;
};

// A lane exists while somebody has the turn; the end of a turn gives it to the first who waits.
class Deliverer::Turn {
 public:
  Turn(std::shared_ptr<std::map<PaneId, Lane>> lanes, PaneId pane) : lanes_(std::move(lanes)), pane_(pane) {}
  Turn(Turn&& other) noexcept = default;
  Turn& operator=(Turn&&) = delete;
  ~Turn() {
    if (!lanes_) return;
    const auto lane = lanes_->find(pane_);
    if (lane->second.waiting.empty()) {
      lanes_->erase(lane);
    } else {
      lane->second.waiting.front()->cancel();
      lane->second.waiting.pop_front();
    }
  }

 private:
  std::shared_ptr<std::map<PaneId, Lane>> lanes_;
  PaneId pane_;
};

asio::awaitable<Deliverer::Turn> Deliverer::take_turn(PaneId pane) {
  const auto lanes = lanes_;
  const auto [lane, free] = lanes->try_emplace(pane);
  if (!free) {
    const auto turn = std::make_shared<asio::steady_timer>(executor_, asio::steady_timer::time_point::max());
    lane->second.waiting.push_back(turn);
    boost::system::error_code cancelled;
    co_await turn->async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
  }
  co_return Turn(lanes, pane);
}

Deliverer::Deliverer(Tmux& tmux, asio::any_io_executor executor)
    : Deliverer(tmux, executor, [executor](Millis time) -> asio::awaitable<void> {
        asio::steady_timer timer(executor, time);
        co_await timer.async_wait(asio::use_awaitable);
      }) {}

Deliverer::Deliverer(Tmux& tmux, asio::any_io_executor executor, Pause pause)
    : tmux_(tmux),
      executor_(std::move(executor)),
      pause_(std::move(pause)),
      lanes_(std::make_shared<std::map<PaneId, Lane>>()) {}

Deliverer::~Deliverer() = default;

Task<Delivery> Deliverer::deliver(PaneId pane, std::string message, DeliveryTiming timing,
                                  DeliveryChecks checks) {
  auto text = clean_message(message);
  if (!text) co_return pass(text.error());
  const Turn turn = co_await take_turn(pane);
  co_return co_await type(pane, std::move(*text), timing, std::move(checks));
}

Task<> Deliverer::press(PaneId pane, std::vector<std::string> keys, Forbids forbids) {
  const Turn turn = co_await take_turn(pane);
  if (auto why = co_await forbids()) co_return fail(ErrorCode::conflict, "tmux", *why);
  co_return co_await tmux_.press(pane, std::move(keys));
}

// ---- the steps of a delivery

asio::awaitable<Delivery> Deliverer::type(PaneId pane, std::string text, DeliveryTiming timing,
                                          DeliveryChecks checks) {
  if (auto why = co_await checks.forbids(DeliveryStep::paste)) {
    co_return ended(Outcome::not_delivered, *why, 0);
  }
  if (auto left = co_await tmux_.leave_mode(pane); !left) {
    co_return ended(Outcome::not_delivered, describe(left.error()), 0);
  }
  if (auto pasted = co_await tmux_.paste(pane, std::move(text)); !pasted) {
    const bool doubtful = pasted.error().code == ErrorCode::timeout;
    co_return ended(doubtful ? Outcome::unknown : Outcome::not_delivered, describe(pasted.error()), 0);
  }
  co_await pause_(timing.settle);
  co_return co_await submit(pane, timing, checks);
}

asio::awaitable<Delivery> Deliverer::submit(PaneId pane, DeliveryTiming timing,
                                            const DeliveryChecks& checks) {
  for (int attempt = 1; attempt <= kMaxEnters; ++attempt) {
    if (auto why = co_await checks.forbids(DeliveryStep::enter)) {
      const bool late_proof = attempt > 1 && co_await checks.changed(Millis{0});
      if (late_proof) co_return ended(Outcome::delivered, "", attempt - 1);
      co_return ended(Outcome::unknown, "pasted, but not submitted: " + *why, attempt - 1);
    }
    if (attempt == 1) checks.mark();
    auto typed = co_await tmux_.leave_mode(pane);
    if (typed) typed = co_await tmux_.press(pane, {enter_key(attempt)});
    if (!typed) co_return ended(Outcome::unknown, "pasted, but " + describe(typed.error()), attempt - 1);
    if (co_await checks.changed(timing.proof)) co_return ended(Outcome::delivered, "", attempt);
  }
  co_return ended(Outcome::unknown, fmt::format("pasted, but no change of state after {} Enters", kMaxEnters),
                  kMaxEnters);
}

}  // namespace agentmesh::tmux
