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
#include <nlohmann/json.hpp>

namespace agentmesh::agents {

namespace {

constexpr Millis kActivityEvery{1'000};  // activity is told at most this often
constexpr int kFirstPaints = 5;   // always looked at: what is wrong from the start stands in no status file
constexpr Millis kNaming{300};    // a file says that something is asked; the hook that knows what comes soon
constexpr Millis kHookLook{100};  // an answer waits for that hook too, kHookLooks times
constexpr int kHookLooks = 10;
constexpr Millis kHookTakes{5'000};  // from our answer to the hook's word that it has it

// An answer on its way. It outlives the Link when that ends meanwhile.
struct Answering {
  explicit Answering(const boost::asio::any_io_executor& executor) : timer(executor) {}
  std::string id;
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

  Task<> answer(PermissionAnswer answer, std::string reason) override {
    const std::weak_ptr<int> alive = alive_;
    boost::asio::steady_timer pause(context_.executor);
    for (int look = 0; look < kHookLooks && asked_by_file() && prompts_.front() == nullptr && !answered_;
         ++look) {
      pause.expires_after(kHookLook);
      co_await pause.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
      if (alive.expired()) co_return fail(ErrorCode::not_found, "answer", "its run has ended");
    }
    if (answering_ || answered_)
      co_return fail(ErrorCode::conflict, "answer", "the prompt is being answered");
    const HeldPrompt* shown = prompts_.front();
    const std::string output = program_.signs->answer(answer, reason);
    if (fold_.sense() != Sense::permission || shown == nullptr || shown->socket.empty() || output.empty()) {
      co_return fail(ErrorCode::invalid, "answer", "no hook of this program waits for an answer",
                     "answer in its terminal: agentmesh attach");
    }
    const auto pending = std::make_shared<Answering>(context_.executor);
    pending->id = shown->id;
    if (auto sent = answer_hook(context_.run_dir, *shown, output); !sent) {
      prompts_.take_id(pending->id);
      co_return fail(ErrorCode::invalid, "answer", sent.error().what);  // keys are left
    }
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
    const std::string id = id_at(*parsed, "id");
    const std::string call = id_at(*parsed, "call");
    if (parsed->contains("taken")) return taken(id);
    if (!parsed->contains("hook")) return false;
    HookSaid said = program_.signs->hook((*parsed)["hook"]);
    const bool again = whole_at(*parsed, "repeat").value_or(0) > 0;
    if (again && !by_hooks() && !asked_by_file()) {  // a person has answered it
      prompts_.take_id(id);
      release({HeldPrompt{.id = id, .socket = socket_of(datagram)}});
      if (said.sign && asks(said.sign->sense)) take(Rung::hook, Sign{});  // its first word may have come late
      return true;
    }
    if (said.sign && asks(said.sign->sense)) {
      said.sign->id = id;
      prompts_.hold({id, said.sign->detail, call, socket_of(datagram)});
    }
    if (said.call_over) release(prompts_.take_call(call));
    if (said.sign && by_hooks() && !asks(said.sign->sense)) release(prompts_.take_all());
    for (Signal& signal : said.news) {
      if (signal.kind == SignalKind::tool_called && signal.detail.empty()) signal.detail = call;
      if (!again) tell_news(std::move(signal));
    }
    tell_file_word();
    if (said.sign && (!again || by_hooks())) take(Rung::hook, std::move(*said.sign));
    return true;
  }

  static std::string socket_of(const HookDatagram& datagram) {
    const std::string name = std::filesystem::path(datagram.sender).filename().string();
    return name == "." || name == ".." ? std::string() : name;
  }
  static bool asks(Sense sense) { return sense == Sense::permission || sense == Sense::question; }
  bool by_hooks() const { return !file_word_.has_value(); }
  bool asked_by_file() const { return file_word_ && asks(file_word_->sense); }

  bool taken(const std::string& id) {
    if (!answering_ || answering_->id != id) return false;
    prompts_.take_id(id);
    answered_ = prompts_.front() == nullptr;
    std::exchange(answering_, nullptr)->settle({});
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
    const HeldPrompt* shown = prompts_.front();
    if (!asks(sign.sense) || shown == nullptr) return sign;
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
    std::vector<Signal> signals = fold_.told(rung, std::move(sign));
    answered_ = answered_ && signals.empty();
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
  boost::asio::steady_timer naming_;
  std::unique_ptr<HookSocket> hooks_;
  std::optional<StatusFolder> status_;
  std::optional<Sign> file_word_;  // what the status file says, without names
  HeldPrompts prompts_;
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
