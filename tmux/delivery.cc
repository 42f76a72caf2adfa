#include "tmux/delivery.h"

#include "base/pause.h"
#include "base/text.h"

#include <fmt/format.h>

namespace agentmesh::tmux {
namespace {

namespace asio = boost::asio;

Delivery ended(Outcome outcome, std::string reason, int enters) {
  return Delivery{.outcome = outcome, .reason = std::move(reason), .enters = enters};
}

// Which Enter submits differs between versions of tmux and agents, so both are tried.
std::string enter_key(int attempt) { return attempt == 2 ? "CR" : "Enter"; }

std::optional<Refusal> typing(const Result<std::optional<LastKey>>& key) {
  if (!key) return Refusal{describe(key.error())};
  const bool now = *key && (*key)->ago < kHandsOff && (*key)->ago > -kHandsOff;  // else a clock was set back
  return now ? std::optional(Refusal{"somebody is typing in its terminal", true}) : std::nullopt;
}

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

Deliverer::Deliverer(Tmux& tmux, asio::any_io_executor executor)
    : Deliverer(tmux, std::move(executor), agentmesh::pause) {}

Deliverer::Deliverer(Tmux& tmux, asio::any_io_executor executor, Pause pause)
    : tmux_(tmux), pause_(std::move(pause)), turns_(std::move(executor)) {}

Task<Delivery> Deliverer::deliver(Recipient to, std::string message, DeliveryManner manner,
                                  DeliveryChecks checks) {
  auto text = clean_message(message);
  if (!text) co_return pass(text.error());
  const auto turn = co_await turns_.take(to.pane);
  Delivery delivery = co_await type(to, std::move(*text), manner, checks);
  if (delivery.outcome == Outcome::unknown) left_[to.name] = checks.state();
  if (delivery.outcome == Outcome::delivered) left_.erase(to.name);
  co_return delivery;
}

Task<> Deliverer::press(PaneId pane, std::vector<std::string> keys, Forbids forbids) {
  const auto turn = co_await turns_.take(pane);
  if (auto why = co_await forbids()) co_return fail(ErrorCode::conflict, "tmux", *why);
  co_return co_await tmux_.press(pane, std::move(keys));
}

// ---- what keeps a message out

asio::awaitable<std::optional<Refusal>> Deliverer::hindrance(Recipient to, DeliveryChecks checks) {
  const auto key = co_await tmux_.last_key(to.pane);
  if (auto why = typing(key)) co_return why;
  co_return co_await left_over(to.name, checks);
}

asio::awaitable<std::optional<Refusal>> Deliverer::left_over(const std::string& name,
                                                             const DeliveryChecks& checks) {
  const auto draft = co_await checks.draft();
  const auto left = left_.find(name);
  const bool ours = left != left_.end() && left->second == checks.state();
  const bool gone = draft ? draft->empty() : !ours;
  if (left != left_.end() && (gone || !ours)) left_.erase(left);
  if (gone) co_return std::nullopt;
  co_return Refusal{ours ? "an earlier message may still be in its composer: submit or clear it there"
                         : "a half-typed draft is in its composer",
                    true};
}

// ---- the steps of a delivery

asio::awaitable<Delivery> Deliverer::type(Recipient to, std::string text, DeliveryManner manner,
                                          const DeliveryChecks& checks) {
  auto no = co_await checks.forbids(DeliveryStep::paste);
  const auto key = co_await tmux_.last_key(to.pane);
  if (!no) no = typing(key);
  if (!no) no = co_await left_over(to.name, checks);
  if (no) co_return Delivery{.outcome = Outcome::not_delivered, .reason = no->why, .waits = no->waits};
  if (auto pasted = co_await tmux_.paste(to.pane, std::move(text), manner.marks); !pasted) {
    const ErrorCode code = pasted.error().code;
    co_return Delivery{.outcome = code == ErrorCode::timeout ? Outcome::unknown : Outcome::not_delivered,
                       .reason = describe(pasted.error()),
                       .waits = code == ErrorCode::conflict};  // the program is not ready for it
  }
  if (!manner.key_after_paste.empty()) {
    co_await pause_(manner.settle);  // a program that collects a paste would take the key before it
    if (auto pressed = co_await tmux_.press(to.pane, {manner.key_after_paste}); !pressed)
      co_return ended(Outcome::unknown, "pasted, but " + describe(pressed.error()), 0);
  }
  co_await pause_(manner.settle);
  co_return co_await submit(to.pane, *key, manner, checks);
}

// The state before the first Enter is what every later one is compared with: each of them may submit late.
asio::awaitable<Delivery> Deliverer::submit(PaneId pane, std::optional<LastKey> key, DeliveryManner manner,
                                            const DeliveryChecks& checks) {
  std::uint64_t before = 0;
  int enters = 0;
  for (int look = 0; enters < kMaxEnters && look < kMaxLooks; ++look) {
    // What has left the composer was submitted, and another Enter might answer what it led to.
    const auto draft = enters > 0 ? co_await checks.draft() : std::nullopt;
    if (!draft || !draft->empty()) {
      auto no = co_await checks.forbids(DeliveryStep::enter);
      if (!no) no = co_await typed_since(pane, key);
      if (no) {
        // What an Enter led to may be seen on the screen before it is known as a state.
        const bool late_proof = enters > 0 && co_await checks.changed(before, manner.proof);
        if (late_proof) co_return ended(Outcome::delivered, "", enters);
        co_return ended(Outcome::unknown, "pasted, but not submitted: " + no->why, enters);
      }
      if (enters == 0) before = checks.state();
      if (auto typed = co_await tmux_.press(pane, {enter_key(enters + 1)}); !typed)
        co_return ended(Outcome::unknown, "pasted, but " + describe(typed.error()), enters);
      ++enters;
    }
    if (co_await checks.changed(before, manner.proof)) co_return ended(Outcome::delivered, "", enters);
  }
  co_return ended(Outcome::unknown, fmt::format("pasted, but no change of state after {} of Enter", enters),
                  enters);
}

asio::awaitable<std::optional<Refusal>> Deliverer::typed_since(PaneId pane, std::optional<LastKey> before) {
  const auto key = co_await tmux_.last_key(pane);
  if (!key) co_return Refusal{describe(key.error())};
  const bool same = !*key || (*key)->only_attached || (before && before->at_s == (*key)->at_s);
  co_return same ? std::nullopt : std::optional(Refusal{"somebody typed in its terminal"});
}

}  // namespace agentmesh::tmux
