#include "agents/codex_link.h"

#include "agents/codex_rpc.h"
#include "agents/throttle.h"
#include "base/offload.h"
#include "net/http_client.h"
#include "net/websocket.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <future>
#include <map>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {
namespace {

using boost::asio::awaitable;
using nlohmann::json;
using Steady = std::chrono::steady_clock;

constexpr CodexTimes kQuick{.answer = Millis{20},
                            .first_retry = Millis{1},
                            .max_retry = Millis{2},
                            .resync = Millis{60'000},
                            .resync_failed = Millis{1},
                            .join_again = Millis{1},
                            .look = Millis{1},
                            .activity = Millis{1'000},
                            .prompt = Millis{5}};

// An app-server in memory with one conversation, which can lose requests and answers.
struct FakeServer {
  bool up = true;
  bool written_down = true;  // the conversation can be joined and listed
  bool lose_answer = false;  // of the next turn/start: it arrives, the answer does not
  bool refuse = false;       // turn/start
  bool lose_items = false;   // thread/items/list has no answer
  std::string status = "idle";
  json flags = json::array();
  json loaded = {"t1"};
  json turns = json::array();                                 // the newest
  json open_request;                                          // given to who joins
  std::vector<std::pair<std::string, std::string>> messages;  // client id, text
  std::vector<std::string> asked;
  std::vector<json> replies;
  std::deque<std::string> out;
  int line = 0;  // raised: the connection breaks

  void tell(std::string_view method, json params) {
    out.push_back(json{{"method", method}, {"params", std::move(params)}}.dump());
  }
  void change(std::string_view type, json with = json::array()) {
    status = type;
    flags = std::move(with);
    tell("thread/status/changed", {{"threadId", "t1"}, {"status", state()}});
  }
  json state() const { return {{"type", status}, {"activeFlags", flags}}; }

  void take(const json& message) {
    if (!message.contains("method")) return replies.push_back(message);
    const std::string method = message["method"];
    asked.push_back(method);
    if (!message.contains("id")) return;
    const json& params = message["params"];
    if (method == "turn/start" && !refuse)
      messages.emplace_back(params["clientUserMessageId"], params["input"][0]["text"]);
    if (method == "turn/start" && std::exchange(lose_answer, false)) return;
    if (method == "thread/items/list" && lose_items) return;
    json answer{{"id", message["id"]}};
    const bool denied = (method == "turn/start" && refuse) ||
                        (!written_down && (method == "thread/resume" || method.ends_with("s/list")));
    if (denied) {
      answer["error"] = {{"code", -32600}, {"message", "no rollout found"}};
    } else {
      answer["result"] = result(method);
    }
    out.push_back(answer.dump());
    if (method == "thread/resume" && !denied && !open_request.is_null()) out.push_back(open_request.dump());
  }

  json result(const std::string& method) const {
    if (method == "initialize")
      return {{"userAgent", "agentmesh/0.169.0 (Debian 12.0.0; x86_64) (agentmesh; 0.1.0)"}};
    if (method == "thread/loaded/list") return {{"data", loaded}};
    if (method == "thread/turns/list") return {{"data", turns}};
    if (method == "thread/read")
      return {{"thread", {{"id", "t1"}, {"ephemeral", false}, {"status", state()}}}};
    if (method != "thread/items/list") return json::object();
    json items = json::array();
    for (const auto& [id, text] : messages)
      items.push_back({{"item", {{"type", "userMessage"}, {"clientId", id}}}});
    return {{"data", items}};
  }
  int sent(std::string_view method) const { return static_cast<int>(std::ranges::count(asked, method)); }
};

awaitable<void> breathe(boost::asio::any_io_executor executor) {
  boost::asio::steady_timer timer(executor, Millis{1});
  co_await timer.async_wait(boost::asio::use_awaitable);
}

class FakeSocket final : public net::WebSocket {
 public:
  FakeSocket(boost::asio::any_io_executor executor, FakeServer& server)
      : executor_(std::move(executor)), server_(server), line_(server.line) {}

  Result<void> send(std::string text) override {
    if (!is_open()) return fail(ErrorCode::unavailable, "websocket", "closed");
    server_.take(json::parse(text));
    return {};
  }
  Task<std::string> receive() override {
    while (is_open() && server_.out.empty()) co_await breathe(executor_);
    if (!is_open()) co_return fail(ErrorCode::unavailable, "websocket", "closed");
    std::string text = std::move(server_.out.front());
    server_.out.pop_front();
    co_return text;
  }
  Task<> flush() override { co_return Result<>{}; }
  void close(std::uint16_t, std::string_view) override { open_ = false; }
  awaitable<void> ended() override { co_return; }
  void drop() override { open_ = false; }
  bool is_open() const override { return open_ && server_.line == line_ && server_.up; }

 private:
  boost::asio::any_io_executor executor_;
  FakeServer& server_;
  int line_;
  bool open_ = true;
};

// A message of a size at which parsing it on the loop would be a pause.
constexpr std::size_t kLarge = 4 * kMaxCodexOnLoop;

class CodexLinkTest : public testing::Test {
 protected:
  void TearDown() override {
    link_.reset();
    io_.restart();
    io_.run_for(std::chrono::milliseconds{5});
  }
  void start(CodexTimes times = kQuick) {
    LinkContext context{.executor = io_.get_executor(),
                        .http = http_,
                        .clock = clock_,
                        .offload = offload_,
                        .run_dir = {},
                        .home = {},
                        .http_port = 0,
                        .http_password = {},
                        .conversation = Conversation::fresh,
                        .session_id = ""};
    link_ = make_codex_link(
        std::move(context),
        [this](Signal signal) {
          signals_.push_back(signal);
          if (on_signal_) on_signal_(signal);
        },
        [this]() -> Task<std::shared_ptr<net::WebSocket>> {
          if (!server_.up) co_return fail(ErrorCode::unavailable, "websocket", "nobody listens");
          server_.out.clear();
          auto socket = std::make_shared<FakeSocket>(io_.get_executor(), server_);
          socket_ = socket;
          co_return socket;
        },
        times);
    ASSERT_TRUE(link_->start());
  }
  void start_idle(CodexTimes times = kQuick) {
    start(times);
    ASSERT_TRUE(until([this] { return told(SignalKind::idle); }));
  }

  bool told(SignalKind kind) const {
    return std::ranges::any_of(signals_, [&](const Signal& signal) { return signal.kind == kind; });
  }
  const Signal* last(SignalKind kind) const {
    const Signal* found = nullptr;
    for (const Signal& signal : signals_) {
      if (signal.kind == kind) found = &signal;
    }
    return found;
  }
  bool until(const std::function<bool()>& condition, Millis limit = Millis{10'000}) {
    const auto deadline = Steady::now() + limit;
    while (!condition() && Steady::now() < deadline) {
      io_.restart();
      io_.run_for(std::chrono::milliseconds{1});
    }
    return condition();
  }
  template <class T>
  Result<T> await(Task<T> task) {
    std::optional<Result<T>> result;
    boost::asio::co_spawn(
        io_, [&]() -> awaitable<void> { result = co_await std::move(task); }, boost::asio::detached);
    until([&] { return result.has_value(); });
    return *result;
  }
  Delivery deliver(std::string text = "hello", Attempt attempt = Attempt::first, Millis limit = Millis{200}) {
    return *await(
        link_->deliver({.id = "msg_1", .text = std::move(text), .limit = limit, .attempt = attempt}));
  }

  // A turn runs, in a message with that many bytes more.
  void tell_large(std::size_t more) {
    server_.tell("thread/status/changed", {{"threadId", "t1"},
                                           {"status", {{"type", "active"}, {"activeFlags", json::array()}}},
                                           {"more", std::string(more, 'x')}});
  }
  json approval() {
    return {{"method", "item/commandExecution/requestApproval"},
            {"id", 0},
            {"params", {{"threadId", "t1"}, {"itemId", "call_1"}, {"command", "rm -rf build"}}}};
  }
  void ask() {
    server_.open_request = approval();
    server_.change("active", {"waitingOnApproval"});
    server_.out.push_back(server_.open_request.dump());
    ASSERT_TRUE(until([this] { return told(SignalKind::permission_asked); }));
  }

  boost::asio::io_context io_;
  net::HttpClient http_{io_.get_executor()};
  Offload offload_;
  ManualClock clock_;
  FakeServer server_;
  std::weak_ptr<FakeSocket> socket_;  // the newest
  std::vector<Signal> signals_;
  std::function<void(const Signal&)> on_signal_;
  std::unique_ptr<Link> link_;
};

TEST_F(CodexLinkTest, ItIsReadyWhenItsConversationWasRead) {
  start_idle();
  EXPECT_EQ(signals_.front().kind, SignalKind::ready);
  ASSERT_TRUE(until([this] { return link_->session_id().has_value(); }));
  EXPECT_EQ(link_->session_id(), "t1");
  EXPECT_FALSE(link_->painted());  // no screen is needed
  server_.change("active");
  EXPECT_TRUE(until([this] { return told(SignalKind::busy); }));
}

TEST_F(CodexLinkTest, ALargeMessageIsParsedBesideTheLoopAndTheNextOneIsHeardAfterIt) {
  start_idle();
  signals_.clear();
  tell_large(kLarge);
  server_.change("idle");
  int turns = 0;  // of the loop, between the large message's arrival and what it tells
  std::function<void()> turn = [&] {
    const bool waits = std::ranges::any_of(server_.out, [](auto& text) { return text.size() > kLarge; });
    if (!waits && !told(SignalKind::busy)) ++turns;
    if (!told(SignalKind::idle)) boost::asio::post(io_, turn);
  };
  turn();
  ASSERT_TRUE(until([this] { return told(SignalKind::busy) && told(SignalKind::idle); }));
  EXPECT_LT(last(SignalKind::busy), last(SignalKind::idle));
  EXPECT_GT(turns, 0);
}

// Both threads are busy for as long as it lives: nothing is parsed beside the loop.
class HeldOffload {
 public:
  HeldOffload(boost::asio::io_context& io, Offload& offload) {
    for (int i = 0; i < 2; ++i) {
      boost::asio::co_spawn(io, offload.run([end = end_] {
        end.wait();
        return 0;
      }),
                            boost::asio::detached);
    }
    io.restart();
    io.poll();
  }

 private:
  std::promise<void> held_;  // its end ends the wait
  std::shared_future<void> end_ = held_.get_future().share();
};

TEST_F(CodexLinkTest, AMessageThatIsNotParsedInTimeEndsTheLine) {
  CodexTimes times = kQuick;
  times.parse = Millis{5};
  start_idle(times);
  const HeldOffload held(io_, offload_);
  tell_large(kMaxCodexOnLoop);
  ASSERT_TRUE(until([this] { return server_.sent("initialize") == 2; }));
  signals_.clear();
  server_.change("active");
  EXPECT_TRUE(until([this] { return told(SignalKind::busy); })) << "the new line is heard";
}

TEST_F(CodexLinkTest, TheLinkMayEndWhileALargeMessageIsParsed) {
  start_idle();
  ASSERT_TRUE(until([this] { return link_->session_id().has_value(); }));
  signals_.clear();
  {
    const HeldOffload held(io_, offload_);
    tell_large(kMaxCodexOnLoop);
    ASSERT_TRUE(until([this] { return server_.out.empty(); }));
    link_.reset();
    EXPECT_TRUE(until([this] { return socket_.expired(); }, Millis{2'000})) << "its end waits for the parse";
  }
  until([this] { return !signals_.empty(); }, Millis{20});
  EXPECT_TRUE(signals_.empty());
}

TEST_F(CodexLinkTest, ItsServerTellsTheVersion) {
  start();
  EXPECT_EQ(link_->version(), "");
  EXPECT_TRUE(until([this] { return link_->version() == "0.169.0"; }));
}

TEST_F(CodexLinkTest, AConversationWithoutAWordIsNotResumable) {
  server_.written_down = false;
  start_idle();
  EXPECT_FALSE(link_->session_id());
  EXPECT_EQ(server_.sent("thread/resume"), 1);
  server_.written_down = true;
  server_.change("active");
  EXPECT_TRUE(until([this] { return link_->session_id().has_value(); }));
}

// ---- a turn that ended while nobody listened

json ended_at(std::int64_t second) {
  return json::array({{{"id", "u1"}, {"status", "completed"}, {"completedAt", second}}});
}

TEST_F(CodexLinkTest, ANewDaemonIsToldHowTheLastTurnEnded) {
  server_.turns = ended_at(1'795'539'813);
  start_idle();
  const Signal* end = last(SignalKind::turn_ended);
  ASSERT_NE(end, nullptr);
  EXPECT_EQ(end->at, from_millis(1'795'539'813'000));
  EXPECT_LT(end, last(SignalKind::idle));
  ASSERT_TRUE(until([this] { return link_->session_id().has_value(); }));
  EXPECT_EQ(server_.sent("thread/turns/list"), 1);
}

TEST_F(CodexLinkTest, WhoIsToldOfAnUnheardEndCanDeliverAtOnce) {
  server_.turns = ended_at(1'795'539'813);
  std::optional<Delivery> done;
  on_signal_ = [&](const Signal& signal) {
    if (signal.kind != SignalKind::turn_ended) return;
    boost::asio::co_spawn(
        io_,
        [&]() -> awaitable<void> {
          done = *co_await link_->deliver({.id = "msg_1", .text = "hello", .limit = Millis{200}});
        },
        boost::asio::detached);
  };
  start();
  ASSERT_TRUE(until([&] { return done.has_value(); }));
  EXPECT_EQ(done->result, DeliveryResult::delivered) << done->why;
}

TEST_F(CodexLinkTest, ATurnThatRunsStillIsToldWhenItEnds) {
  server_.turns = ended_at(1'795'539'813);
  server_.status = "active";
  start();
  ASSERT_TRUE(until([this] { return told(SignalKind::busy) && link_->session_id(); }));
  EXPECT_EQ(server_.sent("thread/turns/list"), 0);
  server_.change("idle");
  server_.tell("turn/completed", {{"threadId", "t1"}, {"turn", {{"status", "completed"}}}});
  ASSERT_TRUE(until([this] { return told(SignalKind::turn_ended); }));
  EXPECT_FALSE(last(SignalKind::turn_ended)->at);
}

TEST_F(CodexLinkTest, ATurnThatEndedWhileTheLineWasDownIsTold) {
  server_.status = "active";
  start();
  ASSERT_TRUE(until([this] { return told(SignalKind::busy); }));
  server_.status = "idle";
  server_.turns = ended_at(1'795'539'813);
  server_.turns[0]["status"] = "failed";
  server_.turns[0]["error"] = {{"message", "it broke " + std::string(64 * 1024, 'x')}};
  ++server_.line;
  ASSERT_TRUE(until([this] { return told(SignalKind::idle); }));
  ASSERT_TRUE(told(SignalKind::turn_failed));
  EXPECT_TRUE(last(SignalKind::turn_failed)->at);
  EXPECT_TRUE(last(SignalKind::turn_failed)->detail.starts_with("it broke"));
  EXPECT_LE(last(SignalKind::turn_failed)->detail.size(), kMaxSignalDetail);
}

TEST_F(CodexLinkTest, WithoutATurnOrALastingConversationNothingIsSaidOfOne) {
  server_.written_down = false;
  start_idle();
  EXPECT_EQ(server_.sent("thread/turns/list"), 1);
  EXPECT_FALSE(told(SignalKind::turn_ended));
  server_.written_down = true;
  ++server_.line;
  ASSERT_TRUE(until([this] { return server_.sent("thread/turns/list") == 2; }));
  until([this] { return told(SignalKind::turn_ended); }, Millis{20});
  EXPECT_FALSE(told(SignalKind::turn_ended));
}

TEST_F(CodexLinkTest, AMessageIsDeliveredOnceAndSeen) {
  start_idle();
  EXPECT_EQ(deliver("hello").result, DeliveryResult::delivered);
  ASSERT_EQ(server_.messages.size(), 1U);
  EXPECT_EQ(server_.messages[0].first, "msg_1");
  EXPECT_EQ(server_.messages[0].second, "hello");
}

TEST_F(CodexLinkTest, ALostAnswerIsLookedForAndNeverSentAgain) {
  start_idle();
  server_.lose_answer = true;
  EXPECT_EQ(deliver().result, DeliveryResult::delivered);
  EXPECT_EQ(server_.sent("turn/start"), 1);
}

TEST_F(CodexLinkTest, ARepeatedMessageThatIsThereIsNotSent) {
  server_.messages.emplace_back("msg_1", "hello");
  start_idle();
  EXPECT_EQ(deliver("hello", Attempt::repeated).result, DeliveryResult::delivered);
  EXPECT_EQ(server_.sent("turn/start"), 0);
}

TEST_F(CodexLinkTest, WhereItIsNotKnownWhetherARepeatedMessageIsThereItIsNotSent) {
  server_.written_down = false;  // no conversation is joined
  server_.lose_items = true;
  start_idle();
  EXPECT_EQ(deliver("hello", Attempt::repeated).result, DeliveryResult::blocked);
  EXPECT_EQ(server_.sent("turn/start"), 0);
}

TEST_F(CodexLinkTest, WhatTheServerRefusesIsNotDelivered) {
  start_idle();
  server_.refuse = true;
  EXPECT_EQ(deliver().result, DeliveryResult::blocked);
  EXPECT_TRUE(server_.messages.empty());
}

TEST_F(CodexLinkTest, WithoutALineNothingIsDelivered) {
  server_.up = false;
  start();
  EXPECT_EQ(deliver().result, DeliveryResult::blocked);
  server_.up = true;
  ASSERT_TRUE(until([this] { return told(SignalKind::idle); }));
  EXPECT_EQ(deliver("").result, DeliveryResult::failed);
}

TEST_F(CodexLinkTest, NothingIsSaidWhileAPermissionIsOpen) {
  start_idle();
  ask();
  EXPECT_EQ(last(SignalKind::permission_asked)->detail, "rm -rf build");
  EXPECT_EQ(last(SignalKind::permission_asked)->id, "call_1-0");
  EXPECT_EQ(deliver().result, DeliveryResult::blocked);
  EXPECT_EQ(server_.sent("turn/start"), 0);
}

TEST_F(CodexLinkTest, APermissionIsAnsweredInItsOwnForm) {
  start_idle();
  EXPECT_EQ(await(link_->answer("", PermissionAnswer::deny, "")).error().code, ErrorCode::not_found);
  ask();
  EXPECT_EQ(await(link_->answer("call_1-1", PermissionAnswer::deny, "")).error().code, ErrorCode::not_found);
  EXPECT_TRUE(server_.replies.empty());
  std::optional<Result<>> done;
  boost::asio::co_spawn(
      io_,
      [&]() -> awaitable<void> { done = co_await link_->answer("call_1-0", PermissionAnswer::deny, "no"); },
      boost::asio::detached);
  ASSERT_TRUE(until([this] { return !server_.replies.empty(); }));
  EXPECT_EQ(server_.replies[0], json({{"id", 0}, {"result", {{"decision", "decline"}}}}));
  server_.tell("serverRequest/resolved", {{"threadId", "t1"}, {"requestId", 0}});
  server_.change("active");
  ASSERT_TRUE(until([&] { return done.has_value(); }));
  EXPECT_TRUE(*done);
  EXPECT_TRUE(told(SignalKind::permission_closed));
}

TEST_F(CodexLinkTest, AnAnswerThatIsNotTakenIsATimeout) {
  start_idle();
  ask();
  EXPECT_EQ(await(link_->answer("call_1-0", PermissionAnswer::allow_once, "")).error().code,
            ErrorCode::timeout);
}

TEST_F(CodexLinkTest, APermissionWithoutARequestIsToldAfterAWhileAndTakesKeys) {
  start_idle();
  server_.change("active", {"waitingOnApproval"});
  ASSERT_TRUE(until([this] { return told(SignalKind::permission_asked); }));
  EXPECT_EQ(await(link_->answer("", PermissionAnswer::deny, "")).error().code, ErrorCode::invalid);
}

TEST_F(CodexLinkTest, AnOpenRequestIsToldAgainAfterTheLineWasLost) {
  start_idle();
  ask();
  signals_.clear();
  ++server_.line;
  ASSERT_TRUE(until([this] { return told(SignalKind::permission_asked); }));
  EXPECT_EQ(last(SignalKind::permission_asked)->id, "call_1-0");
}

TEST_F(CodexLinkTest, WithoutTheLineTitleAndScreenTell) {
  start_idle();
  server_.up = false;
  ASSERT_TRUE(until([this] { return told(SignalKind::unreadable); }));
  EXPECT_TRUE(link_->painted());
  signals_.clear();
  link_->screen({.meaning = ScreenMeaning::idle, .composer = true});
  EXPECT_TRUE(signals_.empty());  // it cannot be spoken to
  link_->screen({.meaning = ScreenMeaning::dialog, .detail = "trust"});
  EXPECT_TRUE(until([this] { return told(SignalKind::question_asked); }));
  link_->screen({});
  link_->title("⠧ workspace");
  EXPECT_TRUE(until([this] { return last(SignalKind::busy) != nullptr; }));
  EXPECT_EQ(last(SignalKind::busy)->source, "title");
  link_->title("[ ! ] Action Required | workspace");
  ASSERT_TRUE(until([this] { return told(SignalKind::permission_asked); }));
  EXPECT_EQ(last(SignalKind::permission_asked)->source, "title");
  signals_.clear();
  server_.up = true;
  ASSERT_TRUE(until([this] { return told(SignalKind::idle); }));
  EXPECT_EQ(last(SignalKind::idle)->source, "status");
}

TEST_F(CodexLinkTest, BeforeAConversationBeginsTheScreenTells) {
  server_.loaded = json::array();
  start();
  ASSERT_TRUE(until([this] { return server_.sent("thread/loaded/list") > 0; }));
  until([this] { return signals_.size() > 99; }, Millis{20});
  EXPECT_TRUE(link_->painted());
  link_->screen({.meaning = ScreenMeaning::login, .detail = "Sign in"});
  ASSERT_TRUE(until([this] { return told(SignalKind::auth_required); }));
  EXPECT_EQ(deliver().result, DeliveryResult::blocked);
  server_.tell("thread/started",
               {{"thread", {{"id", "t1"}, {"ephemeral", false}, {"status", server_.state()}}}});
  ASSERT_TRUE(until([this] { return told(SignalKind::idle); }));
  EXPECT_FALSE(link_->painted());
}

TEST_F(CodexLinkTest, ItEndsInTheMiddleOfAnything) {
  start_idle();
  ask();
  link_.reset();
  signals_.clear();
  server_.change("idle");
  io_.restart();
  io_.run_for(std::chrono::milliseconds{20});
  EXPECT_TRUE(signals_.empty());
}

}  // namespace
}  // namespace agentmesh::agents
