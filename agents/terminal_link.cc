#include "agents/terminal_link.h"

#include "agents/hook.h"
#include "agents/screen_rules.h"
#include "agents/throttle.h"
#include "base/json.h"

#include <utility>

#include <nlohmann/json.hpp>

namespace agentmesh::agents {

namespace {

constexpr Millis kActivityEvery{1'000};  // activity is told at most this often

class TerminalLink final : public Link {
 public:
  TerminalLink(LinkContext context, SignalSink sink, TerminalProgram program)
      : context_(std::move(context)),
        program_(std::move(program)),
        session_(context_.session_id.empty() ? std::nullopt : std::optional(context_.session_id)),
        throttle_(context_.executor, context_.clock, std::move(sink)) {}

  Result<> start() override {
    auto hooks = HookSocket::open(context_.executor, context_.run_dir / "hook.sock",
                                  [this](const HookDatagram& datagram) { return take_hook(datagram); });
    if (!hooks) return pass(hooks.error());
    hooks_ = std::move(*hooks);
    return {};
  }

  void title(std::string_view pane_title) override {
    take(Rung::title, program_.signs->title(pane_title).value_or(Sign{}));
  }

  bool painted() override {
    if (fold_.wants_screen()) return true;
    return fold_.sense() == Sense::busy && ++busy_paints_ % program_.busy_paints == 0;
  }

  void screen(const ScreenReading& reading) override {
    take(Rung::screen, program_.signs->screen(reading).value_or(Sign{}));
  }

  Task<Delivery> deliver(Message) override {
    co_return Delivery{DeliveryResult::unsupported, "this program has no channel of its own"};
  }

  Task<> answer(PermissionAnswer, std::string) override {
    co_return fail(ErrorCode::invalid, "answer", "this program has no channel of its own",
                   "answer in its terminal: agentmesh attach");
  }

  std::optional<std::string> session_id() const override { return session_; }

 private:
  // {"runner":"claude","hook":{...}}
  bool take_hook(const HookDatagram& datagram) {
    const auto parsed = parse_json(datagram.text, "hook", JsonLimits{.bytes = kMaxHookBytes, .depth = 16});
    if (!parsed || !parsed->is_object() || !parsed->contains("hook")) return false;
    HookSaid said = program_.signs->hook((*parsed)["hook"]);
    for (Signal& signal : said.news) tell_news(std::move(signal));
    if (said.sign) take(Rung::hook, std::move(*said.sign));
    return true;
  }

  void tell_news(Signal signal) {
    if (signal.kind == SignalKind::session_learned) {
      if (session_ == signal.id) return;
      session_ = signal.id;
    }
    if (signal.kind == SignalKind::activity) {
      const WallTime now = context_.clock.now();
      if (now < next_activity_) return;
      next_activity_ = now + kActivityEvery;
    }
    throttle_.tell(std::move(signal));
  }

  void take(Rung rung, Sign sign) {
    std::vector<Signal> signals = fold_.told(rung, std::move(sign));
    if (fold_.known() && !std::exchange(ready_, true)) {
      throttle_.tell({SignalKind::ready, std::string(to_string(rung))});
    }
    for (Signal& signal : signals) throttle_.tell(std::move(signal));
  }

  LinkContext context_;
  TerminalProgram program_;
  std::optional<std::string> session_;
  SignFold fold_;
  SignalThrottle throttle_;
  std::unique_ptr<HookSocket> hooks_;
  WallTime next_activity_{};
  int busy_paints_ = 0;
  bool ready_ = false;
};

}  // namespace

std::optional<Sign> sign_of(const ScreenReading& reading) {
  switch (reading.meaning) {
    case ScreenMeaning::busy:
      return Sign{Sense::busy};
    case ScreenMeaning::idle:
      return Sign{Sense::idle};
    case ScreenMeaning::permission:
      return Sign{Sense::permission, reading.detail};
    case ScreenMeaning::question:
    case ScreenMeaning::dialog:
      return Sign{Sense::question, reading.detail};
    case ScreenMeaning::limit:
      return Sign{Sense::limited, reading.detail};
    case ScreenMeaning::login:
      return Sign{Sense::login, reading.detail};
    case ScreenMeaning::unknown:
      break;
  }
  return std::nullopt;
}

std::optional<Sign> RunnerSigns::screen(const ScreenReading& reading) { return sign_of(reading); }

std::unique_ptr<Link> make_terminal_link(LinkContext context, SignalSink sink, TerminalProgram program) {
  return std::make_unique<TerminalLink>(std::move(context), std::move(sink), std::move(program));
}

}  // namespace agentmesh::agents
