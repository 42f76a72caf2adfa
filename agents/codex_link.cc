#include "agents/codex_link.h"

#include "agents/codex_rpc.h"
#include "agents/codex_state.h"
#include "agents/fields.h"
#include "agents/link_work.h"
#include "agents/terminal_link.h"
#include "agents/throttle.h"
#include "base/pause.h"
#include "base/text.h"

#include <algorithm>
#include <set>
#include <utility>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {

using boost::asio::awaitable;
using nlohmann::json;
using Steady = std::chrono::steady_clock;

namespace {

constexpr int kSearchPages = 4;  // of the newest items, when a message is searched for
constexpr int kPageItems = 50;

// What the coroutines share. It lives until the last of them has ended; `closed_` is the Link's end.
class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(LinkContext context, SignalSink sink, CodexConnect connect, CodexTimes times)
      : context_(std::move(context)),
        connect_(std::move(connect)),
        times_(times),
        throttle_(std::in_place, context_.executor, context_.clock, std::move(sink)),
        sync_timer_(context_.executor),
        prompt_timer_(context_.executor) {
    if (!context_.session_id.empty()) session_ = context_.session_id;
  }

  void begin() {
    run_for(shared_from_this(), context_.executor, line_loop(), line_stop_);
    run_for(shared_from_this(), context_.executor, sync_loop(), sync_stop_);
  }

  void close() {
    closed_ = true;
    throttle_.reset();
    if (rpc_) rpc_->drop();
    prompt_timer_.cancel();
    line_stop_.emit(boost::asio::cancellation_type::terminal);
    sync_stop_.emit(boost::asio::cancellation_type::terminal);
  }

  void title(std::string_view text) {
    title_ = codex_title(text).value_or(Sign{});
    if (!muted_) take(Rung::title, title_);
  }
  bool wants_screen() const { return !muted_ && fold_.wants_screen(); }
  // That it is idle counts only where it can be spoken to.
  void screen(const ScreenReading& reading) {
    const bool idle = reading.meaning == ScreenMeaning::idle;
    if (!muted_) take(Rung::screen, idle ? Sign{} : sign_of(reading).value_or(Sign{}));
  }

  // Static, with the Core as an argument: the Link may end while they wait.
  static Task<Delivery> deliver(std::shared_ptr<Core> self, Message message);
  static Task<> answer(std::shared_ptr<Core> self, std::string id, PermissionAnswer answer);
  const std::optional<std::string>& session() const { return session_; }
  const std::string& version() const { return version_; }

 private:
  enum class Found { yes, no, unknown };

  awaitable<void> line_loop();
  awaitable<void> sync_loop();
  awaitable<Result<>> sync();
  awaitable<Result<>> read_threads();
  awaitable<void> join_threads();
  awaitable<Found> find_message(std::string thread, std::string id, int pages);
  awaitable<Delivery> await_message(std::string thread, const Message& message, Steady::time_point deadline);
  std::string refusal() const;
  void hear(const json& message);
  void settle();
  void mute(bool silent);
  void lost();
  void take(Rung rung, Sign sign);
  void tell(Signal signal);
  void wake_sync() {
    sync_wanted_ = true;
    sync_timer_.cancel();
  }

  LinkContext context_;
  CodexConnect connect_;
  CodexTimes times_;
  CodexState state_;
  SignFold fold_;
  std::optional<SignalThrottle> throttle_;  // until the end
  std::shared_ptr<CodexRpc> rpc_;           // while the line is up
  boost::asio::steady_timer sync_timer_;
  boost::asio::steady_timer prompt_timer_;
  boost::asio::cancellation_signal line_stop_;
  boost::asio::cancellation_signal sync_stop_;
  std::optional<std::string> session_;
  std::string version_;
  std::set<std::string> answering_;  // ids of prompts whose answer is under way
  Sign title_;
  WallTime next_activity_{};
  Steady::time_point next_read_{};
  bool muted_ = false;     // title and screen
  bool readable_ = false;  // all threads were read since the line is up
  bool sync_wanted_ = false;
  bool prompt_waits_ = false;  // a permission without its request is held back
  bool prompt_due_ = false;    // ... and was, long enough
  bool ready_ = false;
  bool delivering_ = false;
  bool closed_ = false;
};

// ---- signals --------------------------------------------------------------------------------------------

void Core::tell(Signal signal) {
  if (closed_) return;
  if (signal.kind == SignalKind::session_learned) session_ = signal.id;
  if (signal.kind == SignalKind::activity) {
    const WallTime now = context_.clock.now();
    if (now < next_activity_) return;
    next_activity_ = now + times_.activity;
  }
  throttle_->tell(std::move(signal));
}

void Core::take(Rung rung, Sign sign) {
  std::vector<Signal> signals = fold_.told(rung, std::move(sign));
  if (fold_.known() && !std::exchange(ready_, true)) tell({SignalKind::ready, std::string(to_string(rung))});
  for (Signal& signal : signals) tell(std::move(signal));
}

// The state as the server tells it. Its status says that a permission is open before its request says which:
// the two are told as one.
void Core::settle() {
  if (!readable_ || closed_) return;
  Sign now = state_.sign();
  const bool nameless = now.sense == Sense::permission && now.id.empty();
  if (!nameless) {
    prompt_due_ = false;
    prompt_waits_ = false;
    prompt_timer_.cancel();
  } else if (!prompt_due_) {
    if (std::exchange(prompt_waits_, true)) return;
    prompt_timer_.expires_after(times_.prompt);
    prompt_timer_.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
      const auto self = weak.lock();
      if (ec || !self || !std::exchange(self->prompt_waits_, false)) return;
      self->prompt_due_ = true;
      self->settle();
    });
    return;
  }
  const bool speaks = now.sense != Sense::silent;
  take(Rung::status, std::move(now));
  mute(speaks);
}

// Title and screen count while the server does not tell the state: it is away, or has no conversation yet,
// because the TUI asks something before it begins one.
void Core::mute(bool silent) {
  if (std::exchange(muted_, silent) == silent) return;
  take(Rung::title, silent ? Sign{} : title_);
  if (silent) take(Rung::screen, Sign{});
}

void Core::hear(const json& message) {
  if (closed_) return;
  for (Signal& signal : state_.take(message, context_.clock.now())) tell(std::move(signal));
  if (state_.wants_read() || !state_.unjoined().empty()) wake_sync();
  settle();
}

void Core::lost() {
  rpc_.reset();
  state_.forget();
  prompt_due_ = false;
  prompt_waits_ = false;
  prompt_timer_.cancel();
  sync_wanted_ = false;
  if (closed_ || !std::exchange(readable_, false)) return;
  mute(false);
  take(Rung::status, Sign{});
}

// ---- the line -------------------------------------------------------------------------------------------

awaitable<void> Core::line_loop() {
  Millis wait = times_.first_retry;
  while (!closed_) {
    auto socket = co_await connect_();
    if (closed_) co_return;
    if (socket) {
      rpc_ = CodexRpc::over(context_.executor, std::move(*socket), context_.offload, times_.parse,
                            [weak = weak_from_this()](const json& message) {
                              if (const auto self = weak.lock()) self->hear(message);
                            });
      wait = times_.first_retry;
      const auto rpc = rpc_;
      wake_sync();
      co_await rpc->run();
      lost();
      if (closed_) co_return;
    }
    co_await pause(wait);
    wait = std::min(wait * 2, times_.max_retry);
  }
}

awaitable<void> Core::sync_loop() {
  while (!closed_) {
    bool well = true;
    if (rpc_) {
      sync_wanted_ = false;
      const auto done = co_await sync();
      well = done.has_value();
      if (closed_) co_return;
    }
    if (rpc_ && sync_wanted_) continue;
    sync_timer_.expires_after(!well                 ? times_.resync_failed
                              : state_.wants_join() ? times_.join_again
                                                    : times_.resync);
    boost::system::error_code woken;
    co_await sync_timer_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, woken));
    if (!woken) state_.join_again();
  }
}

awaitable<Result<>> Core::sync() {
  const auto rpc = rpc_;
  if (auto hello = co_await rpc->hello(times_.answer); !hello) co_return pass(hello.error());
  version_ = rpc->version();
  if (!readable_ || state_.wants_read() || Steady::now() >= next_read_) {
    if (auto read = co_await read_threads(); !read) co_return pass(read.error());
    next_read_ = Steady::now() + times_.resync;
    readable_ = true;
    if (auto missed = state_.caught_up()) tell(std::move(*missed));
    settle();
  }
  co_await join_threads();
  co_return Result<>{};
}

awaitable<Result<>> Core::read_threads() {
  const auto rpc = rpc_;
  state_.reading();
  auto listed = co_await rpc->call("thread/loaded/list", json::object(), times_.answer);
  if (!listed) co_return pass(listed.error());
  std::vector<std::string> loaded;
  for (const json& id : codex_list(*listed)) {
    if (id.is_string() && loaded.size() < kMaxCodexThreads) loaded.push_back(id.get<std::string>());
  }
  std::ranges::sort(loaded);  // an id begins with its time
  for (const std::string& id : loaded) {
    auto thread = co_await rpc->call("thread/read", {{"threadId", id}}, times_.answer);
    if (closed_ || rpc != rpc_) co_return fail(ErrorCode::unavailable, "codex", "the line is gone");
    if (!thread && thread.error().code != ErrorCode::denied) co_return pass(thread.error());
    if (thread) state_.read(object_at(*thread, "thread"));
    if (!state_.wants_last_turn(id)) continue;
    const auto turns = co_await rpc->call(
        "thread/turns/list", {{"threadId", id}, {"limit", 1}, {"itemsView", "notLoaded"}}, times_.answer);
    if (!turns) continue;
    for (const json& turn : codex_list(*turns)) state_.last_turn(id, turn, context_.clock.now());
  }
  if (closed_ || rpc != rpc_) co_return fail(ErrorCode::unavailable, "codex", "the line is gone");
  state_.keep_only(loaded);
  co_return Result<>{};
}

awaitable<void> Core::join_threads() {
  const auto rpc = rpc_;
  for (const std::string& id : state_.unjoined()) {
    const auto done =
        co_await rpc->call("thread/resume", {{"threadId", id}, {"excludeTurns", true}}, times_.answer);
    if (closed_ || rpc != rpc_) co_return;
    for (Signal& signal : state_.joined(id, done.has_value())) tell(std::move(signal));
    settle();
  }
}

// ---- messages -------------------------------------------------------------------------------------------

std::string Core::refusal() const {
  if (!rpc_ || !readable_) return "codex is not up";
  const Sign now = state_.sign();
  if (now.sense == Sense::permission) return "a permission prompt is open";
  if (now.sense == Sense::question) return "a question is open";
  return state_.conversation() ? "" : "codex has no conversation yet";
}

awaitable<Core::Found> Core::find_message(std::string thread, std::string id, int pages) {
  json params{{"threadId", thread}, {"limit", kPageItems}, {"sortDirection", "desc"}};
  for (int page = 0; page < pages; ++page) {
    if (state_.seen(id)) co_return Found::yes;
    const auto rpc = rpc_;
    if (!rpc) co_return Found::unknown;
    const auto listed = co_await rpc->call("thread/items/list", params, times_.answer);
    // A conversation that nothing was said in cannot be listed.
    const bool is_refused = !listed && listed.error().code == ErrorCode::denied;
    if (is_refused && !state_.is_joined(thread)) co_return Found::no;
    if (!listed) co_return Found::unknown;
    for (const json& entry : codex_list(*listed)) {
      if (text_at(object_at(entry, "item"), "clientId") == id) co_return Found::yes;
    }
    const std::string next = text_at(*listed, "nextCursor");
    if (next.empty()) break;
    params["cursor"] = next;
  }
  co_return Found::no;
}

awaitable<Delivery> Core::await_message(std::string thread, const Message& message,
                                        Steady::time_point deadline) {
  while (!closed_) {
    const Found found = co_await find_message(thread, message.id, 1);
    if (found == Found::yes) co_return Delivery{DeliveryResult::delivered, ""};
    if (Steady::now() >= deadline) break;
    co_await pause(times_.look);
  }
  co_return Delivery{DeliveryResult::unknown, "codex took the message and does not show it"};
}

Task<Delivery> Core::deliver(std::shared_ptr<Core> self, Message message) {
  if (message.text.empty() || message.text.size() > kMaxMessageBytes || !is_utf8(message.text) ||
      message.id.empty()) {
    co_return Delivery{DeliveryResult::failed, "a message is 1 to 65536 bytes of UTF-8 with an id"};
  }
  if (self->delivering_) co_return Delivery{DeliveryResult::blocked, "another message is under way"};
  if (std::string no = self->refusal(); !no.empty()) co_return Delivery{DeliveryResult::blocked, no};
  self->delivering_ = true;
  struct Done {
    bool& flag;
    ~Done() { flag = false; }
  } done{self->delivering_};

  const auto deadline = Steady::now() + message.limit;
  const std::string thread = *self->state_.conversation();
  if (message.attempt == Attempt::repeated) {
    const Found found = co_await self->find_message(thread, message.id, kSearchPages);
    if (found == Found::yes) co_return Delivery{DeliveryResult::delivered, ""};
    if (found == Found::unknown) co_return Delivery{DeliveryResult::blocked, "codex cannot be searched now"};
  }
  if (std::string no = self->refusal(); !no.empty()) co_return Delivery{DeliveryResult::blocked, no};
  const auto sent =
      co_await self->rpc_->call("turn/start", codex_turn(thread, message, self->context_.permissions),
                                std::min(message.limit, self->times_.answer));
  if (!sent && sent.error().code == ErrorCode::denied)
    co_return Delivery{DeliveryResult::blocked, describe(sent.error())};
  co_return co_await self->await_message(thread, message, deadline);
}

// ---- answers --------------------------------------------------------------------------------------------

Task<> Core::answer(std::shared_ptr<Core> self, std::string id, PermissionAnswer answer) {
  if (self->fold_.sense() != Sense::permission)
    co_return fail(ErrorCode::not_found, "answer", "no permission prompt is open");
  if (id.empty())
    co_return fail(ErrorCode::invalid, "answer", "codex does not say which permission is asked for");
  const CodexRequest* request = self->rpc_ && self->readable_ ? self->state_.request(id) : nullptr;
  if (request == nullptr) co_return fail(ErrorCode::not_found, "answer", "the permission prompt is gone");
  const auto reply = codex_reply(*request, answer);
  if (!reply) co_return pass(reply.error());
  if (!self->answering_.insert(id).second) {
    co_return fail(ErrorCode::conflict, "answer", "the permission prompt is being answered");
  }
  struct Done {
    std::set<std::string>& all;
    const std::string& id;
    ~Done() { all.erase(id); }
  } done{self->answering_, id};
  if (auto sent = self->rpc_->reply(request->rpc_id, *reply); !sent) co_return pass(sent.error());
  const auto deadline = Steady::now() + self->times_.answer;
  while (self->state_.request(id) != nullptr && Steady::now() < deadline) co_await pause(self->times_.look);
  if (self->state_.request(id) == nullptr && self->rpc_) co_return Result<>{};
  co_return fail(ErrorCode::timeout, "answer", "codex has not taken the answer yet");
}

// ---- the Link -------------------------------------------------------------------------------------------

class CodexLink final : public Link {
 public:
  CodexLink(LinkContext context, SignalSink sink, CodexConnect connect, CodexTimes times)
      : core_(std::make_shared<Core>(std::move(context), std::move(sink), std::move(connect), times)) {}
  ~CodexLink() override { core_->close(); }

  Result<> start() override {
    core_->begin();
    return {};
  }
  void title(std::string_view pane_title) override { core_->title(pane_title); }
  bool painted() override { return core_->wants_screen(); }
  void screen(const ScreenReading& reading) override { core_->screen(reading); }
  Task<Delivery> deliver(Message message) override { return Core::deliver(core_, std::move(message)); }
  Task<> answer(std::string prompt, PermissionAnswer answer, std::string) override {
    return Core::answer(core_, std::move(prompt), answer);
  }
  std::optional<std::string> session_id() const override { return core_->session(); }
  std::string version() const override { return core_->version(); }

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace

std::unique_ptr<Link> make_codex_link(LinkContext context, SignalSink sink) {
  CodexConnect connect = codex_connect(context.run_dir, context.place);
  return make_codex_link(std::move(context), std::move(sink), std::move(connect), CodexTimes{});
}

std::unique_ptr<Link> make_codex_link(LinkContext context, SignalSink sink, CodexConnect connect,
                                      CodexTimes times) {
  return std::make_unique<CodexLink>(std::move(context), std::move(sink), std::move(connect), times);
}

}  // namespace agentmesh::agents
