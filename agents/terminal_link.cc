#include "agents/terminal_link.h"

#include "agents/fields.h"
#include "agents/held_prompts.h"
#include "agents/hook.h"
#include "agents/screen_rules.h"
#include "agents/status_folder.h"
#include "agents/throttle.h"
#include "base/json.h"

#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {

namespace {

constexpr Millis kActivityEvery{1'000};  // activity is told at most this often
constexpr int kFirstPaints = 5;  // always looked at: what is wrong from the start stands in no status file
constexpr Millis kNaming{300};   // a file says that something is asked; the hook that knows what comes soon
constexpr Millis kHookTakes{5'000};  // from our answer to the hook's word that it has it

// An answer on its way. It outlives the Link when that ends meanwhile.
struct Answering {
  explicit Answering(const boost::asio::any_io_executor& executor) : timer(executor) {}
  std::string id;
  PermissionAnswer verdict = PermissionAnswer::deny;
  std::optional<Result<>> outcome;
  boost::asio::steady_timer timer;

  void settle(Result<> how) {
    outcome = std::move(how);
    timer.cancel();
  }
};

class TerminalLink final : public Link {
 public:
  TerminalLink(LinkContext context, SignalSink sink, TerminalProgram program)
      : context_(std::move(context)),
        program_(std::move(program)),
        session_(context_.session_id.empty() ? std::nullopt : std::optional(context_.session_id)),
        throttle_(context_.executor, context_.clock, std::move(sink)),
        naming_(context_.executor) {
    if (!program_.status_folder.empty() && !context_.home.empty()) {
      status_.emplace(context_.executor, context_.home, program_.status_folder,
                      [this](const std::vector<std::string>& texts) { take_status(texts); });
    }
  }

  ~TerminalLink() override {
    if (answering_) answering_->settle(fail(ErrorCode::not_found, "answer", "its run has ended"));
  }

  Result<> start() override {
    if (status_) status_->look();
    auto hooks = HookSocket::open(context_.executor, context_.run_dir / "hook.sock",
                                  [this](const HookDatagram& datagram) { return take_hook(datagram); });
    if (!hooks) return pass(hooks.error());
    hooks_ = std::move(*hooks);
    return {};
  }

  void title(std::string_view pane_title) override {
    if (status_) status_->look();
    take(Rung::title, program_.signs->title(pane_title).value_or(Sign{}));
  }

  bool painted() override {
    const Sense sense = fold_.sense();
    if (paints_ < kFirstPaints) return ++paints_ > 0;
    if (fold_.wants_screen() || sense == Sense::limited || sense == Sense::login) return true;
    return sense == Sense::busy && ++paints_ % program_.busy_paints == 0;
  }

  void screen(const ScreenReading& reading) override {
    take(Rung::screen, program_.signs->screen(reading).value_or(Sign{}));
  }

  Task<Delivery> deliver(Message) override {
    co_return Delivery{DeliveryResult::unsupported, "this program has no channel of its own"};
  }

  Task<> answer(std::string id, PermissionAnswer answer, std::string reason) override {
    HeldPrompt* prompt = prompts_.find(id);
    if (answering_ || answered_ || (prompt != nullptr && prompt->stage == HeldPrompt::Stage::taken))
      co_return fail(ErrorCode::conflict, "answer", "the prompt is being answered");
    const bool asked = fold_.sense() == Sense::permission;
    if (!asked || (!id.empty() && (prompt == nullptr || prompt->sense != Sense::permission)))
      co_return fail(ErrorCode::not_found, "answer", "the prompt is not open");
    const std::string output = program_.signs->answer(answer, reason);
    if (prompt == nullptr || prompt->socket.empty() || output.empty()) {
      co_return fail(ErrorCode::invalid, "answer", "no hook of this program waits for an answer",
                     "answer in its terminal: agentmesh attach");
    }
    if (auto sent = answer_hook(context_.run_dir, *prompt, output); !sent) {
      const bool others = prompts_.open() > 1;
      drop_dead(Keep::last);
      tell_shown();
      if (others) co_return fail(ErrorCode::not_found, "answer", "the prompt is gone: " + sent.error().what);
      co_return fail(ErrorCode::invalid, "answer", sent.error().what);  // keys are left
    }
    prompt->stage = HeldPrompt::Stage::sent;
    const auto pending = std::make_shared<Answering>(context_.executor);
    pending->id = id;
    pending->verdict = answer;
    answering_ = pending;
    pending->timer.expires_after(kHookTakes);
    co_await pending->timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    if (!pending->outcome) {
      answering_.reset();
      co_return fail(ErrorCode::timeout, "answer", "the hook has not said that it has the answer");
    }
    co_return *pending->outcome;
  }

  std::optional<std::string> session_id() const override { return session_; }
  std::string version() const override { return program_.signs->version(); }

 private:
  // {"runner", "hook": {...}}, "call" of a tool, "id" and "repeat" of a prompt whose hook waits; or
  // {"id", "taken": true}.
  bool take_hook(const HookDatagram& datagram) {
    const auto parsed = parse_json(datagram.text, "hook", JsonLimits{.bytes = kMaxHookBytes, .depth = 16});
    if (!parsed || !parsed->is_object()) return false;
    if (status_) status_->look();
    HeldPrompt prompt{.id = id_at(*parsed, "id"), .call = id_at(*parsed, "call")};
    if (parsed->contains("taken")) return taken(prompt.id);
    if (!parsed->contains("hook")) return false;
    HookSaid said = program_.signs->hook((*parsed)["hook"]);
    prompt.use = id_at((*parsed)["hook"], "tool_use_id");
    prompt.socket = socket_of(datagram);
    const bool again = whole_at(*parsed, "repeat").value_or(0) > 0;
    for (Signal& signal : said.news) {
      if (signal.kind == SignalKind::tool_called && signal.detail.empty()) signal.detail = prompt.call;
      if (!again) tell_news(std::move(signal));
    }
    if (said.call_over) release(prompts_.take_call(prompt.call, prompt.use));
    if (said.sign && asks(said.sign->sense)) {
      prompt.sense = said.sign->sense;
      prompt.detail = said.sign->detail;
      again ? asked_again(std::move(prompt)) : asked(std::move(prompt));
    } else if (said.sign && !again) {
      told_otherwise(std::move(*said.sign));
    } else {
      tell_shown();
    }
    return true;
  }

  void asked(HeldPrompt prompt) {
    if (prompt.id.empty()) prompt.id = fmt::format("prompt-{}", ++unnamed_);
    hold(std::move(prompt));
    tell_file_word();
    if (const HeldPrompt* shown = prompts_.front()) take(Rung::hook, sign_of(*shown));
  }

  // A hook that still waits. Known already: nothing new is asked.
  void asked_again(HeldPrompt prompt) {
    if (!by_hooks() && !asked_by_file()) {  // a person has answered it
      prompts_.take_id(prompt.id);
      release({std::move(prompt)});
      return take(Rung::hook, Sign{});  // its first word may have come late
    }
    const bool known = prompts_.find(prompt.id) != nullptr;
    if (!known && !hook_waits(context_.run_dir, prompt)) return;  // it was let go meanwhile
    hold(std::move(prompt));
    tell_shown();
  }

  void hold(HeldPrompt prompt) {
    prompts_.hold(std::move(prompt));
    drop_dead(Keep::last);
    answered_ = answered_ && prompts_.front() == nullptr;
  }

  // A hook says something else than that it asks. That a call begins or ends is no proof that nothing is
  // asked of another one; while the hook of one waits, it is open.
  void told_otherwise(Sign sign) {
    if (by_hooks() && sign.sense != Sense::busy) release(prompts_.take_all());
    if (by_hooks()) drop_dead(Keep::none);
    tell_file_word();
    const HeldPrompt* shown = sign.sense == Sense::busy ? prompts_.front() : nullptr;
    take(Rung::hook, shown != nullptr ? sign_of(*shown) : std::move(sign));
  }

  static Sign sign_of(const HeldPrompt& prompt) { return {prompt.sense, prompt.detail, prompt.id}; }

  // Prompts whose hook waits no longer are gone: the program ends it on "no". The last one may be open still,
  // its hook killed by something else.
  enum class Keep { none, last };
  void drop_dead(Keep keep) {
    const std::size_t least = keep == Keep::last ? 1 : 0;
    while (const HeldPrompt* shown = prompts_.open() > least ? prompts_.front() : nullptr) {
      if (hook_waits(context_.run_dir, *shown)) return;
      release(prompts_.take_id(std::string(shown->id)));
    }
  }

  // The first that is open, when it is another one than before.
  void tell_shown() {
    tell_file_word();
    const HeldPrompt* shown = prompts_.front();
    if (by_hooks() && shown != nullptr && told_prompt_ != shown->id) take(Rung::hook, sign_of(*shown));
  }

  static std::string socket_of(const HookDatagram& datagram) {
    const std::string name = std::filesystem::path(datagram.sender).filename().string();
    return name == "." || name == ".." ? std::string() : name;
  }
  static bool asks(Sense sense) { return sense == Sense::permission || sense == Sense::question; }
  bool by_hooks() const { return !file_word_.has_value(); }
  bool asked_by_file() const { return file_word_ && asks(file_word_->sense); }

  bool taken(const std::string& id) {
    HeldPrompt* prompt = prompts_.find(id);
    if (prompt == nullptr || prompt->stage != HeldPrompt::Stage::sent) return false;
    prompt->stage = HeldPrompt::Stage::taken;
    if (answering_ && answering_->id == id) {
      // No hook tells the end of a call that was refused.
      if (answering_->verdict == PermissionAnswer::deny) prompts_.take_id(id);
      std::exchange(answering_, nullptr)->settle({});
    }
    answered_ = prompts_.front() == nullptr;
    tell_shown();
    return true;
  }

  // They ask for nothing any more; who waits for an answer to one waits in vain.
  void release(const std::vector<HeldPrompt>& prompts) {
    for (const HeldPrompt& prompt : prompts) {
      if (answering_ && answering_->id == prompt.id) {
        std::exchange(answering_, nullptr)
            ->settle(fail(ErrorCode::not_found, "answer", "the prompt is gone"));
      }
      if (!prompt.socket.empty()) static_cast<void>(answer_hook(context_.run_dir, prompt, ""));
    }
  }

  void take_status(const std::vector<std::string>& texts) {
    const auto word = program_.signs->status(texts);
    if (word == file_word_) return;
    file_word_ = word;
    if (word && !asks(word->sense)) release(prompts_.take_all());
    if (word && asks(word->sense) && prompts_.front() == nullptr) return name_later();
    take(Rung::status, word ? named(*word) : Sign{});
  }

  void name_later() {
    naming_.expires_after(kNaming);
    naming_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code ec) {
      if (!ec && !alive.expired()) tell_file_word();
    });
  }

  // A prompt that was just answered is not told again without its name, until the file says it is gone.
  void tell_file_word() {
    if (file_word_ && !(answered_ && asked_by_file())) take(Rung::status, named(*file_word_));
  }

  // The file knows that something is asked, a hook what.
  Sign named(Sign sign) const {
    const HeldPrompt* shown = asks(sign.sense) ? prompts_.front(sign.sense) : nullptr;
    if (shown == nullptr) return sign;
    sign.id = shown->id;
    if (!shown->detail.empty()) sign.detail = shown->detail;
    return sign;
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
    const bool asked = asks(fold_.sense());
    std::vector<Signal> signals = fold_.told(rung, std::move(sign));
    answered_ = answered_ && signals.empty();
    if (fold_.known() && !std::exchange(ready_, true)) {
      throttle_.tell({SignalKind::ready, std::string(to_string(rung))});
    }
    for (Signal& signal : signals) {
      if (is_prompt(signal.kind)) told_prompt_ = signal.id;
      throttle_.tell(std::move(signal));
    }
    if (asked && !asks(fold_.sense())) shown_gone(rung);
  }

  // Title or screen show that a person has answered the prompt that was told, or all of them.
  void shown_gone(Rung rung) {
    told_prompt_.clear();
    if (!by_hooks() || prompts_.front() == nullptr || rung == Rung::hook) return;
    if (rung == Rung::screen) release(prompts_.take_all());
    if (rung == Rung::title) release(prompts_.take_id(std::string(prompts_.front()->id)));
    if (prompts_.front() == nullptr) return take(Rung::hook, Sign{});  // not told again without its prompt
    tell_shown();
  }

  LinkContext context_;
  TerminalProgram program_;
  std::optional<std::string> session_;
  SignFold fold_;
  SignalThrottle throttle_;
  boost::asio::steady_timer naming_;
  std::unique_ptr<HookSocket> hooks_;
  std::optional<StatusFolder> status_;
  std::optional<Sign> file_word_;  // what the status file says, without names
  HeldPrompts prompts_;
  std::string told_prompt_;  // the id of what was told to be asked
  std::uint64_t unnamed_ = 0;
  std::shared_ptr<Answering> answering_;
  WallTime next_activity_{};
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // for handlers that come after our end
  int paints_ = 0;
  bool answered_ = false;  // and the program has not shown yet that it knows
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

std::optional<Sign> RunnerSigns::status(const std::vector<std::string>&) { return std::nullopt; }

std::string RunnerSigns::answer(PermissionAnswer, std::string_view) const { return {}; }

std::unique_ptr<Link> make_terminal_link(LinkContext context, SignalSink sink, TerminalProgram program) {
  return std::make_unique<TerminalLink>(std::move(context), std::move(sink), std::move(program));
}

}  // namespace agentmesh::agents
