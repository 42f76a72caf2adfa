#include "agents/opencode_link.h"

#include "agents/fields.h"
#include "agents/hook.h"
#include "agents/link_work.h"
#include "agents/opencode_delivery.h"
#include "agents/opencode_state.h"
#include "agents/opencode_turn.h"
#include "agents/throttle.h"
#include "base/json.h"
#include "base/pause.h"
#include "base/text.h"
#include "net/sse.h"

#include <algorithm>
#include <optional>
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

constexpr std::size_t kMaxSessionList = 8 * 1024 * 1024;
constexpr int kSnapshotTries = 3;      // while events keep changing what is asked for
constexpr int kFailuresUntilLost = 2;  // of the periodic look

// What the coroutines share. It lives until the last of them has ended; `closed` is the Link's end.
class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(LinkContext context, SignalSink sink, std::shared_ptr<OpencodeApi> api, OpencodeTimes times)
      : context_(std::move(context)),
        api_(std::move(api)),
        times_(times),
        sync_timer_(context_.executor),
        painted_(context_.surface == Surface::server) {
    throttle_.emplace(context_.executor, context_.clock, std::move(sink));
    if (!context_.session_id.empty()) state_.set_session(context_.session_id);
  }

  void begin() {
    run_for(shared_from_this(), context_.executor, events_loop(), events_stop_);
    run_for(shared_from_this(), context_.executor, sync_loop(), sync_stop_);
  }

  void close() {
    closed_ = true;
    throttle_.reset();
    // On the loop: from elsewhere Asio would pass it on to there, and by then we may be gone.
    boost::asio::dispatch(context_.executor, [self = shared_from_this()] {
      self->events_stop_.emit(boost::asio::cancellation_type::terminal);
      self->sync_stop_.emit(boost::asio::cancellation_type::terminal);
    });
  }

  void title(std::string_view text) {
    if (text.starts_with("OpenCode") || text.starts_with("OC |")) painted_ = true;
  }

  // Static, with the Core as an argument: the Link may end while they wait.
  static Task<Delivery> deliver(std::shared_ptr<Core> self, Message message);
  static Task<> answer(std::shared_ptr<Core> self, std::string id, PermissionAnswer answer,
                       std::string reason);
  const std::optional<std::string>& session() const { return state_.session(); }
  const std::string& version() const { return version_; }
  void emit(Signal signal);

 private:
  awaitable<void> events_loop();
  awaitable<bool> healthy();
  awaitable<void> sync_loop();
  awaitable<void> await_painted();
  awaitable<void> await_pace();
  awaitable<void> sync();
  awaitable<Result<OpencodeSnapshot>> take_snapshot();
  awaitable<std::optional<Signal>> last_end();
  Task<std::string> body_of(std::string path);
  awaitable<Result<std::string>> session_for_message();
  awaitable<Result<std::string>> newest_session();
  awaitable<Result<std::string>> make_session();
  bool take_events(net::SseParser& parser, std::string_view bytes);
  void lost(std::string why);
  void wake_sync();
  void emit_all(std::vector<Signal> signals);

  LinkContext context_;
  std::shared_ptr<OpencodeApi> api_;
  OpencodeTimes times_;
  OpencodeState state_;
  std::optional<SignalThrottle> throttle_;  // until the end
  boost::asio::steady_timer sync_timer_;
  boost::asio::cancellation_signal events_stop_;
  boost::asio::cancellation_signal sync_stop_;
  WallTime next_activity_{};
  WallTime next_sync_{};
  std::string version_;
  std::set<std::string> answering_;  // ids of prompts whose answer is under way
  int failures_ = 0;
  bool connected_ = false;  // the event stream is open
  bool readable_ = false;   // the state was read since the stream opened
  bool moving_ = false;     // events changed the state during the last look: another one comes soon
  bool ready_ = false;
  bool painted_ = false;  // a server paints nothing and is not waited for
  bool sync_wanted_ = false;
  bool delivering_ = false;
  bool closed_ = false;
};

void Core::emit(Signal signal) {
  if (closed_) return;
  if (signal.kind == SignalKind::activity) {
    const WallTime now = context_.clock.now();
    if (now < next_activity_) return;
    next_activity_ = now + times_.activity;
  }
  throttle_->tell(std::move(signal));
}

void Core::emit_all(std::vector<Signal> signals) {
  for (Signal& signal : signals) emit(std::move(signal));
}

// ---- the events -----------------------------------------------------------------------------------------

awaitable<void> Core::events_loop() {
  Millis wait = times_.first_retry;
  while (!closed_) {
    if (co_await healthy()) {
      wait = times_.first_retry;
      net::SseParser parser(kMaxOpencodeEvent);
      const auto ended = co_await api_->events(
          [this, &parser](std::string_view bytes) { return take_events(parser, bytes); }, times_.silence);
      if (closed_) co_return;
      lost(ended ? "its events ended" : describe(ended.error()));
    }
    co_await pause(wait);
    wait = std::min(wait * 2, times_.max_retry);
  }
}

awaitable<bool> Core::healthy() {
  const auto answer = co_await api_->get("/global/health", times_.health);
  if (!answer || answer->status != 200) co_return false;
  const auto health = parse_json(answer->body, "opencode");
  if (health) version_ = version_of(text_at(*health, "version"));
  co_return true;
}

bool Core::take_events(net::SseParser& parser, std::string_view bytes) {
  if (closed_) return false;
  auto events = parser.feed(bytes);
  if (!events) return false;
  for (const net::SseEvent& event : *events) {
    emit_all(state_.event(event.data));
    if (closed_) return false;
  }
  if (!std::exchange(connected_, true) || state_.wants_snapshot()) wake_sync();
  return true;
}

void Core::lost(std::string why) {
  connected_ = false;
  sync_wanted_ = false;  // the stream's next beginning asks again
  if (std::exchange(readable_, false)) emit_all(state_.lost(std::move(why)));
}

// ---- the whole state ------------------------------------------------------------------------------------

void Core::wake_sync() {
  sync_wanted_ = true;
  sync_timer_.cancel();
}

awaitable<void> Core::sync_loop() {
  while (!closed_) {
    if (connected_) {
      if (!ready_) co_await await_painted();
      co_await await_pace();
      sync_wanted_ = false;
      co_await sync();
    }
    if (connected_ && sync_wanted_) continue;
    sync_timer_.expires_after(connected_ && (failures_ > 0 || moving_) ? times_.resync_failed
                                                                       : times_.resync);
    boost::system::error_code woken;
    co_await sync_timer_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, woken));
  }
}

awaitable<void> Core::await_painted() {
  const auto deadline = Steady::now() + times_.painted;
  while (!painted_ && connected_ && Steady::now() < deadline) co_await pause(times_.look);
}

// What is asked for meanwhile is asked for once, after the wait.
awaitable<void> Core::await_pace() {
  while (context_.clock.now() < next_sync_) co_await pause(next_sync_ - context_.clock.now());
  next_sync_ = context_.clock.now() + times_.sync_every;
}

awaitable<void> Core::sync() {
  auto answers = co_await take_snapshot();
  if (closed_ || !connected_) co_return;
  auto signals = answers ? state_.snapshot(*answers) : Result<std::vector<Signal>>(pass(answers.error()));
  if (!signals) {
    if (++failures_ < kFailuresUntilLost) co_return;
    if (std::exchange(readable_, false)) emit_all(state_.lost(describe(signals.error())));
    co_return;
  }
  failures_ = 0;
  moving_ = answers->moved;
  readable_ = true;
  if (context_.conversation == Conversation::continue_last && !state_.session()) {
    const auto newest = co_await newest_session();
    if (newest && !newest->empty()) {
      state_.set_session(*newest);
      emit({SignalKind::session_learned, "http", "", *newest});
    }
  }
  if (!std::exchange(ready_, true)) emit({SignalKind::ready, "http"});
  emit_all(std::move(*signals));
}

awaitable<Result<OpencodeSnapshot>> Core::take_snapshot() {
  OpencodeSnapshot answers;
  for (int tries = 0; tries < kSnapshotTries; ++tries) {
    const std::uint64_t before = state_.generation();
    auto status = co_await body_of("/session/status");
    if (!status) co_return pass(status.error());
    auto permissions = co_await body_of("/permission");
    if (!permissions) co_return pass(permissions.error());
    auto questions = co_await body_of("/question");
    if (!questions) co_return pass(questions.error());
    answers = {std::move(*status), std::move(*permissions), std::move(*questions)};
    answers.moved = state_.generation() != before;
    if (!answers.moved) break;
  }
  if (readable_) co_return answers;
  const std::uint64_t before = state_.generation();
  answers.last_end = co_await last_end();
  answers.moved = answers.moved || state_.generation() != before;
  co_return answers;
}

// How the last turn of the conversation ended, which no event has told when the line is new.
awaitable<std::optional<Signal>> Core::last_end() {
  if (!state_.session()) co_return std::nullopt;
  const auto messages = co_await body_of("/session/" + *state_.session() + "/message?limit=1");
  co_return messages ? opencode_last_end(*messages) : std::nullopt;
}

Task<std::string> Core::body_of(std::string path) {
  auto answer = co_await api_->get(path, times_.answer);
  if (!answer) co_return pass(answer.error());
  if (answer->status != 200) {
    co_return fail(ErrorCode::unavailable, "opencode", fmt::format("{} answers {}", path, answer->status));
  }
  co_return std::move(answer->body);
}

// ---- messages -------------------------------------------------------------------------------------------

awaitable<Result<std::string>> Core::newest_session() {
  const auto body = co_await body_of("/session?roots=true&limit=50");
  if (!body) co_return pass(body.error());
  const auto list =
      parse_json(*body, "opencode", JsonLimits{.bytes = kMaxSessionList, .values = kMaxOpencodeValues});
  if (!list || !list->is_array())
    co_return fail(ErrorCode::invalid, "opencode", "its sessions are not a list");
  std::string newest;
  std::int64_t newest_time = -1;
  for (const json& session : *list) {
    const std::int64_t updated = whole_at(object_at(session, "time"), "updated").value_or(0);
    if (!text_at(session, "parentID").empty() || updated <= newest_time) continue;
    newest = id_at(session, "id");
    newest_time = updated;
  }
  co_return newest;
}

// A new conversation, shown to the person: the TUI keeps what is half typed.
awaitable<Result<std::string>> Core::make_session() {
  const auto made = co_await api_->post("/session", "{}", times_.answer);
  if (!made) co_return pass(made.error());
  const auto session = parse_json(made->body, "opencode");
  const std::string id = made->status == 200 && session ? id_at(*session, "id") : "";
  if (id.empty())
    co_return fail(ErrorCode::unavailable, "opencode", fmt::format("no new session: {}", made->status));
  const json selected{{"sessionID", id}};
  (void)co_await api_->post("/tui/select-session", dump_json(selected), times_.answer);
  co_return id;
}

awaitable<Result<std::string>> Core::session_for_message() {
  if (state_.session()) co_return *state_.session();
  auto made = co_await make_session();
  if (made && !state_.session()) {
    state_.set_session(*made);
    emit({SignalKind::session_learned, "http", "", *made});
  }
  co_return made;
}

Task<Delivery> Core::deliver(std::shared_ptr<Core> self, Message message) {
  if (message.text.empty() || message.text.size() > kMaxMessageBytes || !is_utf8(message.text) ||
      message.id.empty()) {
    co_return Delivery{DeliveryResult::failed, "a message is 1 to 65536 bytes of UTF-8 with an id"};
  }
  if (!self->ready_ || !self->readable_) co_return Delivery{DeliveryResult::blocked, "opencode is not up"};
  if (self->delivering_) co_return Delivery{DeliveryResult::blocked, "another message is under way"};
  self->delivering_ = true;
  struct Done {
    bool& flag;
    ~Done() { flag = false; }
  } done{self->delivering_};

  // Asked before a session is made too: an agent that waits for a person is left alone.
  const std::string asked = co_await asked_now(self->api_, self->times_);
  if (!asked.empty()) co_return Delivery{DeliveryResult::blocked, asked};
  const auto session = co_await self->session_for_message();
  if (!session) co_return Delivery{DeliveryResult::blocked, describe(session.error())};
  auto outcome = co_await deliver_to_session(self->api_, self->times_, self->context_.clock, *session,
                                             std::move(message));
  if (outcome.session_gone && self->state_.session() == *session) self->state_.set_session("");
  co_return outcome.delivery;
}

Task<> Core::answer(std::shared_ptr<Core> self, std::string id, PermissionAnswer answer, std::string reason) {
  if (id.empty()) co_return fail(ErrorCode::not_found, "answer", "no permission prompt is open");
  if (!self->answering_.insert(id).second) {
    co_return fail(ErrorCode::conflict, "answer", "the permission prompt is being answered");
  }
  struct Done {
    std::set<std::string>& all;
    const std::string& id;
    ~Done() { all.erase(id); }
  } done{self->answering_, id};

  const auto open = co_await self->body_of("/permission");
  if (!open) {  // whatever became of it, nothing was answered
    co_return fail(ErrorCode::unavailable, "answer", open.error().what, "try again");
  }
  const auto list = parse_json(*open, "answer");
  if (!list || !list->is_array())
    co_return fail(ErrorCode::internal, "answer", "opencode's permissions are not a list");
  const auto prompt = std::ranges::find_if(*list, [&](const json& item) { return id_at(item, "id") == id; });
  if (prompt == list->end()) {
    co_return fail(ErrorCode::not_found, "answer", "the permission prompt is gone");
  }

  const char* reply = answer == PermissionAnswer::deny ? "reject" : "once";
  json body{{"reply", reply}};
  if (!reason.empty()) body["message"] = one_line(reason);
  auto sent = co_await self->api_->post("/permission/" + id + "/reply", dump_json(body), self->times_.answer);
  if (sent && sent->status == 404) {  // before 1.1.1
    const std::string session = id_at(*prompt, "sessionID");
    sent = co_await self->api_->post("/session/" + session + "/permissions/" + id,
                                     dump_json(json{{"response", reply}}), self->times_.answer);
  }
  if (!sent) co_return pass(sent.error());
  if (sent->status / 100 == 2) {
    self->emit_all(self->state_.replied(id));
    co_return Result<>{};
  }
  if (sent->status == 404) co_return fail(ErrorCode::not_found, "answer", "the permission prompt is gone");
  co_return fail(ErrorCode::unavailable, "answer",
                 fmt::format("opencode answers {} {}", sent->status, one_line(sent->body)));
}

// ---- the Link -------------------------------------------------------------------------------------------

class OpencodeLink final : public Link {
 public:
  OpencodeLink(LinkContext context, SignalSink sink, std::shared_ptr<OpencodeApi> api, OpencodeTimes times)
      : executor_(context.executor),
        run_dir_(context.run_dir),
        core_(std::make_shared<Core>(std::move(context), std::move(sink), std::move(api), times)) {}
  ~OpencodeLink() override { core_->close(); }

  Result<> start() override {
    core_->begin();
    auto hooks =
        HookSocket::open(executor_, run_dir_ / "hook.sock", as_signals([core = core_.get()](Signal signal) {
                           if (signal.kind == SignalKind::activity) core->emit(std::move(signal));
                         }));
    if (!hooks) return pass(hooks.error());
    hooks_ = std::move(*hooks);
    return {};
  }
  void title(std::string_view pane_title) override { core_->title(pane_title); }
  bool painted() override { return false; }
  void screen(const ScreenReading&) override {}
  Task<Delivery> deliver(Message message) override { return Core::deliver(core_, std::move(message)); }
  Task<> answer(std::string prompt, PermissionAnswer answer, std::string reason) override {
    return Core::answer(core_, std::move(prompt), answer, std::move(reason));
  }
  std::optional<std::string> session_id() const override { return core_->session(); }
  std::string version() const override { return core_->version(); }

 private:
  boost::asio::any_io_executor executor_;
  std::filesystem::path run_dir_;
  std::shared_ptr<Core> core_;
  std::unique_ptr<HookSocket> hooks_;
};

}  // namespace

std::unique_ptr<Link> make_opencode_link(LinkContext context, SignalSink sink) {
  std::shared_ptr<OpencodeApi> api = make_opencode_api(context);
  return make_opencode_link(std::move(context), std::move(sink), std::move(api), OpencodeTimes{});
}

std::unique_ptr<Link> make_opencode_link(LinkContext context, SignalSink sink,
                                         std::shared_ptr<OpencodeApi> api, OpencodeTimes times) {
  return std::make_unique<OpencodeLink>(std::move(context), std::move(sink), std::move(api), times);
}

}  // namespace agentmesh::agents
