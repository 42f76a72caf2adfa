#include "agents/opencode_link.h"

#include "agents/opencode_delivery.h"
#include "agents/throttle.h"
#include "base/json.h"
#include "base/offload.h"
#include "net/http_client.h"

#include <filesystem>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {
namespace {

using boost::asio::awaitable;
using nlohmann::json;
using Steady = std::chrono::steady_clock;

constexpr OpencodeTimes kQuick{.health = Millis{1},
                               .answer = Millis{1},
                               .first_retry = Millis{1},
                               .max_retry = Millis{2},
                               .painted = Millis{1},
                               .resync = Millis{60'000},
                               .resync_failed = Millis{1},
                               .sync_every = Millis{0},
                               .silence = Millis{1},
                               .look = Millis{1},
                               .activity = Millis{1'000}};

// An opencode in memory, which can lose requests and answers.
class FakeOpencode final : public OpencodeApi {
 public:
  explicit FakeOpencode(boost::asio::io_context& io) : io_(io) {}

  bool up = true;
  bool lose_answer = false;   // of the next prompt: it arrives, the answer does not
  bool lose_request = false;  // of the next prompt
  int prompt_status = 204;
  bool hide_messages = false;  // read-back finds nothing
  bool mute = false;           // a GET of its prompts gets no answer in time
  int stream = 0;              // raised: the event stream breaks
  json status = json::object();
  json permissions = json::array();
  json questions = json::array();
  json sessions = json::array();
  std::map<std::string, std::string> messages;  // id -> text
  std::map<std::string, json> newest;           // message of a conversation, by the conversation's id
  int newest_reads = 0;
  std::vector<std::string> posts;
  std::function<void()> on_status_read;
  std::function<void()> on_newest_read;
  std::string held_path;  // a GET of it is answered when this has changed
  int status_reads = 0;
  int streams = 0;

  void tell(std::string_view type, json properties) {
    if (sink_) sink_("data: " + json{{"type", type}, {"properties", properties}}.dump() + "\n\n");
  }

  Task<ApiAnswer> get(std::string path, Millis) override {
    if (!up) co_return fail(ErrorCode::unavailable, "http", "nobody listens");
    if (path == "/global/health") co_return ApiAnswer{200, R"({"healthy":true,"version":"1.18.33"})"};
    if (path == "/session/status") {
      const std::string body = status.dump();
      ++status_reads;
      while (path == held_path) co_await breathe();
      if (on_status_read) std::exchange(on_status_read, nullptr)();
      co_return ApiAnswer{200, body};
    }
    if (path == "/permission") {
      if (mute) co_return fail(ErrorCode::timeout, "http", "no answer");
      while (path == held_path) co_await breathe();
      co_return ApiAnswer{200, permissions.dump()};
    }
    if (path == "/question") co_return ApiAnswer{200, questions.dump()};
    if (path.starts_with("/session?")) co_return ApiAnswer{200, sessions.dump()};
    if (path.ends_with("/message?limit=1")) co_return newest_of(path.substr(9, path.find('/', 9) - 9));
    if (path.contains("/message?")) co_return ApiAnswer{200, all_messages()};
    const std::string id = path.substr(path.rfind('/') + 1);
    co_return ApiAnswer{messages.contains(id) && !hide_messages ? 200 : 404, "{}"};
  }

  Task<ApiAnswer> post(std::string path, std::string body, Millis) override {
    posts.push_back(path);
    if (!up) co_return fail(ErrorCode::unavailable, "http", "nobody listens");
    if (path == "/session") co_return ApiAnswer{200, R"({"id":"ses_new"})"};
    if (!path.ends_with("/prompt_async")) co_return ApiAnswer{200, "true"};
    if (std::exchange(lose_request, false)) co_return fail(ErrorCode::timeout, "http", "no answer");
    const json message = json::parse(body);
    if (prompt_status == 204) messages[message["messageID"]] = message["parts"][0]["text"];
    if (std::exchange(lose_answer, false)) co_return fail(ErrorCode::timeout, "http", "no answer");
    co_return ApiAnswer{prompt_status, "no"};
  }

  Task<> events(std::function<bool(std::string_view)> sink, Millis) override {
    sink_ = std::move(sink);
    struct Forget {
      std::function<bool(std::string_view)>& sink;
      ~Forget() { sink = nullptr; }
    } forget{sink_};
    ++streams;
    tell("server.connected", json::object());
    const int mine = stream;
    while (stream == mine && up) co_await breathe();
    co_return fail(ErrorCode::unavailable, "http", "broken off");
  }

  int prompts() const {
    return static_cast<int>(
        std::ranges::count_if(posts, [](auto& path) { return path.ends_with("/prompt_async"); }));
  }

 private:
  awaitable<void> breathe() {
    boost::asio::steady_timer timer(io_, Millis{1});
    co_await timer.async_wait(boost::asio::use_awaitable);
  }
  ApiAnswer newest_of(const std::string& session) {
    ++newest_reads;
    if (on_newest_read) std::exchange(on_newest_read, nullptr)();
    const auto found = newest.find(session);
    if (found == newest.end()) return ApiAnswer{404, "{}"};
    return ApiAnswer{200, json::array({{{"info", found->second}}}).dump()};
  }
  std::string all_messages() const {
    json list = json::array();
    for (const auto& [id, text] : messages) list.push_back({{"info", {{"id", id}}}, {"text", text}});
    return list.dump();
  }
  boost::asio::io_context& io_;
  std::function<bool(std::string_view)> sink_;
};

class OpencodeLinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/agentmesh-link-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    link_.reset();
    io_.restart();
    io_.poll();
    std::filesystem::remove_all(folder_);
  }

  void start(Conversation conversation, const std::string& session = "", OpencodeTimes times = kQuick) {
    LinkContext context{.executor = io_.get_executor(),
                        .http = http_,
                        .clock = clock_,
                        .offload = offload_,
                        .run_dir = folder_};
    context.conversation = conversation;
    context.session_id = session;
    link_ = make_opencode_link(
        std::move(context), [this](Signal signal) { seen_.push_back(std::move(signal)); }, opencode_, times);
    ASSERT_TRUE(link_->start());
    link_->title("OpenCode");
  }
  void start_up() {
    start(Conversation::fresh);
    ASSERT_TRUE(run_until([&] { return saw("idle"); }));
  }

  template <class Condition>
  bool run_until(Condition condition) {
    const auto deadline = Steady::now() + Millis{5'000};
    while (!condition()) {
      if (Steady::now() > deadline) return false;
      io_.restart();
      io_.run_one_for(Millis{50});
    }
    return true;
  }
  Delivery deliver(Message message) {
    std::optional<Delivery> result;
    boost::asio::co_spawn(io_, link_->deliver(std::move(message)),
                          [&](std::exception_ptr, Result<Delivery> value) { result = *value; });
    run_until([&] { return result.has_value(); });
    return result.value_or(Delivery{DeliveryResult::unknown, "hangs"});
  }
  DeliveryResult deliver(std::string id, std::string text) {
    return deliver({.id = std::move(id), .text = std::move(text), .limit = Millis{20}}).result;
  }
  std::string answer(std::string prompt) {
    std::optional<Result<>> result;
    boost::asio::co_spawn(io_, link_->answer(prompt, PermissionAnswer::allow_once, ""),
                          [&](std::exception_ptr, Result<> done) { result = std::move(done); });
    run_until([&] { return result.has_value(); });
    return !result ? "hangs" : *result ? "done" : std::string(to_string(result->error().code));
  }
  std::vector<std::string> kinds() const {
    std::vector<std::string> out;
    for (const Signal& signal : seen_) out.emplace_back(to_string(signal.kind));
    return out;
  }
  bool saw(std::string_view kind) const {
    return std::ranges::any_of(seen_, [&](const Signal& signal) { return to_string(signal.kind) == kind; });
  }
  std::string last(std::string_view kind) const {
    std::string id = "none";
    for (const Signal& signal : seen_) {
      if (to_string(signal.kind) == kind) id = signal.id;
    }
    return id;
  }
  bool saw_last(std::string_view kind) const {
    return !seen_.empty() && to_string(seen_.back().kind) == kind;
  }

  boost::asio::io_context io_;
  net::HttpClient http_{io_.get_executor()};
  Offload offload_;
  ManualClock clock_;
  std::filesystem::path folder_;
  std::shared_ptr<FakeOpencode> opencode_ = std::make_shared<FakeOpencode>(io_);
  std::unique_ptr<Link> link_;
  std::vector<Signal> seen_;
};

using Kinds = std::vector<std::string>;

TEST_F(OpencodeLinkTest, ItsHealthTellsTheVersion) {
  start(Conversation::fresh);
  EXPECT_EQ(link_->version(), "");
  EXPECT_TRUE(run_until([&] { return link_->version() == "1.18.33"; }));
}

TEST_F(OpencodeLinkTest, SaysNothingBeforeItAnswersThenReadyThenItsState) {
  opencode_->up = false;
  start(Conversation::fresh);
  run_until([deadline = Steady::now() + Millis{10}] { return Steady::now() > deadline; });
  EXPECT_TRUE(seen_.empty());
  EXPECT_EQ(deliver("m1", "hello"), DeliveryResult::blocked);
  EXPECT_EQ(opencode_->prompts(), 0);
  opencode_->status = {{"ses_1", {{"type", "busy"}}}};
  opencode_->up = true;
  ASSERT_TRUE(run_until([&] { return saw("busy"); }));
  EXPECT_EQ(kinds(), (Kinds{"ready", "busy"}));
}

TEST_F(OpencodeLinkTest, ALostLineIsUnreadableAndItsReturnTellsTheStateAgain) {
  start_up();
  opencode_->permissions = {{{"id", "per_1"}, {"permission", "bash"}}};
  ++opencode_->stream;
  ASSERT_TRUE(run_until([&] { return saw("permission_asked"); }));
  EXPECT_EQ(kinds(), (Kinds{"ready", "idle", "unreadable", "permission_asked"}));
  opencode_->up = false;
  ASSERT_TRUE(run_until([&] { return saw_last("unreadable"); }));
  EXPECT_EQ(deliver("m1", "hello"), DeliveryResult::blocked);
}

// ---- a turn that ended while nobody listened

json ended_at(std::int64_t ms) {
  return {{"role", "assistant"}, {"finish", "stop"}, {"time", {{"created", 1}, {"completed", ms}}}};
}

TEST_F(OpencodeLinkTest, ANewDaemonIsToldHowTheLastTurnOfItsConversationEnded) {
  opencode_->newest["ses_1"] = ended_at(5'000);
  opencode_->newest["ses_2"] = ended_at(9'000);
  start(Conversation::continue_session, "ses_1");
  ASSERT_TRUE(run_until([&] { return saw("idle"); }));
  EXPECT_EQ(kinds(), (Kinds{"ready", "turn_ended", "idle"}));
  EXPECT_EQ(seen_[1].at, WallTime{Millis{5'000}});
  opencode_->tell("session.status", "nonsense");  // it asks for the state again
  ASSERT_TRUE(run_until([&] { return opencode_->status_reads > 1; }));
  EXPECT_EQ(opencode_->newest_reads, 1);
}

TEST_F(OpencodeLinkTest, ANewDaemonIsToldOfAnError) {
  opencode_->newest["ses_1"] = ended_at(5'000);
  opencode_->newest["ses_1"]["error"] = {{"name", "APIError"}, {"data", {{"message", "it broke"}}}};
  start(Conversation::continue_session, "ses_1");
  ASSERT_TRUE(run_until([&] { return saw("idle"); }));
  EXPECT_EQ(kinds(), (Kinds{"ready", "turn_failed", "idle"}));
  EXPECT_EQ(seen_[1].detail, "it broke");
}

TEST_F(OpencodeLinkTest, WithoutAConversationNoTurnIsAskedFor) {
  start_up();
  EXPECT_EQ(opencode_->newest_reads, 0);
  EXPECT_EQ(kinds(), (Kinds{"ready", "idle"}));
}

TEST_F(OpencodeLinkTest, AConversationThatCannotBeReadSaysNothingOfATurn) {
  start(Conversation::continue_session, "ses_gone");
  ASSERT_TRUE(run_until([&] { return saw("idle"); }));
  EXPECT_EQ(opencode_->newest_reads, 1);
  EXPECT_EQ(kinds(), (Kinds{"ready", "idle"}));
}

TEST_F(OpencodeLinkTest, ATurnThatRunsStillIsToldByItsEvents) {
  opencode_->newest["ses_1"] = ended_at(5'000);
  opencode_->status = {{"ses_1", {{"type", "busy"}}}};
  start(Conversation::continue_session, "ses_1");
  ASSERT_TRUE(run_until([&] { return saw("busy"); }));
  opencode_->tell("session.status", {{"sessionID", "ses_1"}, {"status", {{"type", "idle"}}}});
  EXPECT_EQ(kinds(), (Kinds{"ready", "busy", "turn_ended", "idle"}));
  EXPECT_FALSE(seen_[2].at);
}

TEST_F(OpencodeLinkTest, ATurnThatEndedWhileTheLineWasDownIsTold) {
  opencode_->status = {{"ses_1", {{"type", "busy"}}}};
  start(Conversation::continue_session, "ses_1");
  ASSERT_TRUE(run_until([&] { return saw("busy"); }));
  opencode_->status = json::object();
  opencode_->newest["ses_1"] = ended_at(5'000);
  ++opencode_->stream;
  ASSERT_TRUE(run_until([&] { return saw("idle"); }));
  EXPECT_EQ(kinds(), (Kinds{"ready", "busy", "unreadable", "turn_ended", "idle"}));
}

TEST_F(OpencodeLinkTest, HoweverOftenTheStateIsReadAgainTheNewestMessageIsAskedForOnce) {
  int moves = 0;
  std::function<void()> move = [&] {
    if (++moves > 3) return;
    opencode_->tell("permission.asked", {{"id", "per_" + std::to_string(moves)}});
    opencode_->on_status_read = move;
  };
  opencode_->on_status_read = move;
  start(Conversation::continue_session, "ses_1");
  ASSERT_TRUE(run_until([&] { return saw("ready"); }));
  EXPECT_EQ(opencode_->status_reads, 3);
  EXPECT_EQ(opencode_->newest_reads, 1);
}

TEST_F(OpencodeLinkTest, AStateThatChangesWhileTheNewestMessageIsReadIsNotReplacedByAnOlderOne) {
  opencode_->on_newest_read = [&] {
    opencode_->status = {{"ses_1", {{"type", "busy"}}}};
    opencode_->tell("session.status", {{"sessionID", "ses_1"}, {"status", {{"type", "busy"}}}});
  };
  start(Conversation::continue_session, "ses_1");
  ASSERT_TRUE(run_until([&] { return opencode_->status_reads == 2; })) << "it looks again soon";
  EXPECT_TRUE(saw("busy"));
  EXPECT_FALSE(saw("idle"));
}

TEST_F(OpencodeLinkTest, AnEndThatIsHeardWhileTheNewestMessageIsReadIsNotLost) {
  opencode_->status = {{"ses_1", {{"type", "busy"}}}};
  opencode_->on_newest_read = [&] {
    opencode_->status = json::object();
    opencode_->tell("session.idle", {{"sessionID", "ses_1"}});
  };
  start(Conversation::continue_session, "ses_1");
  ASSERT_TRUE(run_until([&] { return saw("ready"); }));
  EXPECT_TRUE(run_until([&] { return saw("idle"); })) << "the busy that was read is from before";
}

TEST_F(OpencodeLinkTest, AStateThatChangedWhileItWasReadIsReadAgain) {
  opencode_->on_status_read = [&] {
    opencode_->status = {{"ses_1", {{"type", "busy"}}}};
    opencode_->tell("session.status", {{"sessionID", "ses_1"}, {"status", {{"type", "busy"}}}});
  };
  start(Conversation::fresh);
  ASSERT_TRUE(run_until([&] { return saw("ready"); }));
  EXPECT_EQ(kinds(), (Kinds{"busy", "ready"}));
}

TEST_F(OpencodeLinkTest, APromptThatIsAskedWhileTheLastTryIsReadIsNotLost) {
  json asked = json::array();
  std::function<void()> move = [&] {
    if (asked.size() == 3) return void(opencode_->permissions = asked);  // what is read is up to date again
    asked.push_back({{"id", "per_" + std::to_string(asked.size())}});
    opencode_->tell("permission.asked", asked.back());
    opencode_->on_status_read = move;
  };
  opencode_->on_status_read = move;
  start(Conversation::fresh);
  ASSERT_TRUE(run_until([&] { return opencode_->status_reads == 4; })) << "it looks again soon";
  EXPECT_TRUE(saw("permission_asked"));
  EXPECT_FALSE(saw("permission_closed"));
  EXPECT_FALSE(saw("idle"));
}

TEST_F(OpencodeLinkTest, AnAnswerThatComesWhenTheStreamIsGoneAgainIsNotAskedForForEver) {
  opencode_->held_path = "/session/status";
  start(Conversation::fresh);
  ASSERT_TRUE(run_until([&] { return opencode_->status_reads == 1; }));
  ++opencode_->stream;
  ASSERT_TRUE(run_until([&] { return opencode_->streams == 2; }));
  opencode_->up = false;
  run_until([deadline = Steady::now() + Millis{10}] { return Steady::now() > deadline; });
  opencode_->held_path.clear();
  run_until([deadline = Steady::now() + Millis{10}] { return Steady::now() > deadline; });
  EXPECT_TRUE(seen_.empty());
  opencode_->up = true;
  ASSERT_TRUE(run_until([&] { return saw("idle"); }));
}

TEST_F(OpencodeLinkTest, AnEventItCannotReadMakesItAskForTheState) {
  start_up();
  opencode_->status = {{"ses_1", {{"type", "busy"}}}};
  opencode_->tell("session.status", "nonsense");
  ASSERT_TRUE(run_until([&] { return saw("busy"); }));
}

TEST_F(OpencodeLinkTest, GarbageWithoutEndAsksForTheStateAtItsPaceAndTheLastIsAskedFor) {
  OpencodeTimes times = kQuick;
  times.sync_every = Millis{2};
  start(Conversation::fresh, "", times);
  ASSERT_TRUE(run_until([&] { return saw("idle"); }));
  // The clock stands still, so that however long this takes no second one is due.
  for (int i = 0; i < 20; ++i) {
    opencode_->tell("session.status", "nonsense");
    run_until([deadline = Steady::now() + Millis{2}] { return Steady::now() > deadline; });
  }
  EXPECT_EQ(opencode_->status_reads, 1);
  opencode_->status = {{"ses_1", {{"type", "busy"}}}};
  clock_.advance(times.sync_every);
  ASSERT_TRUE(run_until([&] { return saw("busy"); }));
  EXPECT_EQ(opencode_->status_reads, 2);
  opencode_->tell("session.status", "nonsense");
  run_until([deadline = Steady::now() + Millis{10}] { return Steady::now() > deadline; });
  EXPECT_EQ(opencode_->status_reads, 2);
  clock_.advance(times.sync_every);
  ASSERT_TRUE(run_until([&] { return opencode_->status_reads == 3; }));
}

TEST_F(OpencodeLinkTest, AServerThatChangesItsStateWithoutEndIsToldSeldomAndItsPromptsAlways) {
  start_up();
  const auto flap = [&] {
    for (const char* type : {"busy", "idle"}) {
      opencode_->tell("session.status", {{"sessionID", "ses_1"}, {"status", {{"type", type}}}});
    }
  };
  for (int i = 0; i < 1'000; ++i) flap();
  EXPECT_LE(seen_.size(), static_cast<std::size_t>(kSignalBurst));
  opencode_->permissions = {{{"id", "per_1"}}};
  opencode_->tell("permission.asked", {{"id", "per_1"}});
  flap();
  clock_.advance(Millis{1'000});
  ASSERT_TRUE(run_until([&] { return saw_last("permission_asked"); }));
  EXPECT_LE(seen_.size(), static_cast<std::size_t>(kSignalBurst) + 3);
}

TEST_F(OpencodeLinkTest, TheFirstMessageMakesAConversationAndShowsIt) {
  start_up();
  EXPECT_EQ(deliver("m1", "hello"), DeliveryResult::delivered);
  EXPECT_EQ(opencode_->posts,
            (std::vector<std::string>{"/session", "/tui/select-session", "/session/ses_new/prompt_async"}));
  EXPECT_EQ(link_->session_id(), "ses_new");
  EXPECT_TRUE(saw("session_learned"));
  EXPECT_EQ(deliver("m2", "again"), DeliveryResult::delivered);
  EXPECT_EQ(opencode_->posts.size(), 4U);
}

TEST_F(OpencodeLinkTest, AContinuedAgentGoesOnInTheNewestConversation) {
  opencode_->sessions = {{{"id", "ses_old"}, {"time", {{"updated", 5}}}},
                         {{"id", "ses_new"}, {"time", {{"updated", 9}}}},
                         {{"id", "ses_sub"}, {"parentID", "ses_new"}, {"time", {{"updated", 11}}}},
                         7};
  start(Conversation::continue_last);
  ASSERT_TRUE(run_until([&] { return saw("ready"); }));
  EXPECT_EQ(link_->session_id(), "ses_new");
}

TEST_F(OpencodeLinkTest, NothingIsSentWhileSomethingIsAsked) {
  start_up();
  opencode_->permissions = {{{"id", "per_1"}}};  // no event has told it yet
  EXPECT_EQ(deliver("m1", "hello"), DeliveryResult::blocked);
  opencode_->permissions = json::array();
  opencode_->questions = {{{"id", "que_1"}}};
  EXPECT_EQ(deliver("m1", "hello"), DeliveryResult::blocked);
  opencode_->questions = "nonsense";
  EXPECT_EQ(deliver("m1", "hello"), DeliveryResult::blocked);
  EXPECT_TRUE(opencode_->posts.empty());
}

TEST_F(OpencodeLinkTest, AnAnswerIsForThePromptItNamesAndEachGetsOne) {
  start_up();
  const json first{{"id", "per_1"}, {"sessionID", "ses_1"}};
  const json second{{"id", "per_2"}, {"sessionID", "ses_1"}};
  opencode_->tell("permission.asked", first);
  opencode_->tell("permission.asked", second);
  opencode_->permissions = json::array({first, second});
  EXPECT_EQ(last("permission_asked"), "per_1");
  opencode_->held_path = "/permission";
  std::vector<std::string> outcomes;
  for (int i = 0; i < 2; ++i) {
    boost::asio::co_spawn(io_, link_->answer("per_1", PermissionAnswer::allow_once, ""),
                          [&](std::exception_ptr, Result<> done) {
                            outcomes.emplace_back(done ? "done" : to_string(done.error().code));
                          });
  }
  ASSERT_TRUE(run_until([&] { return outcomes.size() == 1; }));
  opencode_->held_path.clear();
  ASSERT_TRUE(run_until([&] { return outcomes.size() == 2; }));
  EXPECT_EQ(outcomes, (std::vector<std::string>{"conflict", "done"}));
  EXPECT_EQ(opencode_->posts, (std::vector<std::string>{"/permission/per_1/reply"}));
  EXPECT_EQ(seen_.back().id, "per_2");  // the next
  opencode_->permissions = json::array({second});
  EXPECT_EQ(answer("per_1"), "not_found");
  EXPECT_EQ(answer("per_2"), "done");
  EXPECT_EQ(opencode_->posts.back(), "/permission/per_2/reply");
  EXPECT_TRUE(saw_last("idle"));
}

TEST_F(OpencodeLinkTest, APromptThatIsNotOpenIsNotAnswered) {
  start_up();
  opencode_->permissions = {{{"id", "per_1"}}};
  EXPECT_EQ(answer(""), "not_found");
  opencode_->tell("permission.asked", {{"id", "per_2"}});
  EXPECT_EQ(answer("per_2"), "not_found");
  EXPECT_TRUE(opencode_->posts.empty());
}

TEST_F(OpencodeLinkTest, WhereItSaysNothingNothingWasAnsweredOrSent) {
  start_up();
  opencode_->tell("permission.asked", {{"id", "per_1"}, {"sessionID", "ses_1"}});
  opencode_->mute = true;
  EXPECT_EQ(answer("per_1"), "unavailable");
  EXPECT_EQ(deliver("m1", "hello"), DeliveryResult::blocked);
  EXPECT_TRUE(opencode_->posts.empty());
}

TEST_F(OpencodeLinkTest, ALostAnswerIsSettledByLookingNotBySendingAgain) {
  start_up();
  opencode_->lose_answer = true;
  EXPECT_EQ(deliver("m1", "hello"), DeliveryResult::delivered);
  EXPECT_EQ(opencode_->prompts(), 1);
  opencode_->lose_request = true;
  EXPECT_EQ(deliver("m2", "hello"), DeliveryResult::unknown);
  EXPECT_EQ(opencode_->prompts(), 2);
}

TEST_F(OpencodeLinkTest, A204WithoutTheMessageIsNotAProof) {
  start_up();
  opencode_->hide_messages = true;
  EXPECT_EQ(deliver("m1", "hello"), DeliveryResult::unknown);
  EXPECT_EQ(opencode_->prompts(), 1);
}

TEST_F(OpencodeLinkTest, ARefusalIsCertainAndAMissingConversationIsMadeAnew) {
  start_up();
  opencode_->prompt_status = 400;
  EXPECT_EQ(deliver("m1", "hello"), DeliveryResult::failed);
  opencode_->prompt_status = 404;
  EXPECT_EQ(deliver("m2", "hello"), DeliveryResult::blocked);
  EXPECT_FALSE(link_->session_id());
  opencode_->prompt_status = 500;
  EXPECT_EQ(deliver("m3", "hello"), DeliveryResult::unknown);
}

TEST_F(OpencodeLinkTest, ARepeatedMessageIsLookedForFirst) {
  start_up();
  ASSERT_EQ(deliver("m1", "hello"), DeliveryResult::delivered);
  clock_.advance(Millis{60'000});
  const Message again{.id = "m1", .text = "hello", .limit = Millis{20}, .attempt = Attempt::repeated};
  EXPECT_EQ(deliver(again).result, DeliveryResult::delivered);
  EXPECT_EQ(opencode_->prompts(), 1);
  const Message never_sent{.id = "m2", .text = "hello", .limit = Millis{20}, .attempt = Attempt::repeated};
  EXPECT_EQ(deliver(never_sent).result, DeliveryResult::delivered);
  EXPECT_EQ(opencode_->prompts(), 2);
}

TEST_F(OpencodeLinkTest, OnlyTextOfTheAllowedSizeIsAMessage) {
  start_up();
  EXPECT_EQ(deliver("m1", ""), DeliveryResult::failed);
  EXPECT_EQ(deliver("", "hello"), DeliveryResult::failed);
  EXPECT_EQ(deliver("m1", "\xff"), DeliveryResult::failed);
  EXPECT_EQ(deliver("m1", std::string(kMaxMessageBytes + 1, 'x')), DeliveryResult::failed);
  EXPECT_EQ(deliver("m1", std::string(kMaxMessageBytes, 'x')), DeliveryResult::delivered);
}

TEST_F(OpencodeLinkTest, EndingTheLinkEndsEverythingEvenADelivery) {
  start_up();
  opencode_->hide_messages = true;
  std::optional<DeliveryResult> result;
  boost::asio::co_spawn(io_, link_->deliver({.id = "m1", .text = "x", .limit = Millis{30}}),
                        [&](std::exception_ptr, Result<Delivery> value) { result = value->result; });
  ASSERT_TRUE(run_until([&] { return opencode_->prompts() == 1; }));
  const std::size_t before = seen_.size();
  link_.reset();
  ASSERT_TRUE(run_until([&] { return result.has_value(); }));
  EXPECT_EQ(result, DeliveryResult::unknown);
  opencode_->tell("session.status", {{"sessionID", "ses_1"}, {"status", {{"type", "busy"}}}});
  EXPECT_EQ(seen_.size(), before);
}

TEST(OpencodeIdsTest, SortByTimeAndAreFoundByTheCallersId) {
  const WallTime now{Millis{1'795'297'432'835}};
  const OpencodeIds ids = opencode_ids("itm_1", now);
  EXPECT_TRUE(ids.message.starts_with("msg_20010d503001"));  // as opencode itself makes them at that time
  EXPECT_EQ(ids.message.size(), 30U);
  EXPECT_EQ(ids.message.substr(4), ids.part.substr(4));
  EXPECT_LT(ids.message, opencode_ids("itm_0", now + Millis{1}).message);
  const std::string list = R"([{"info":{"id":")" + ids.message + R"("}}])";
  EXPECT_TRUE(holds_message(list, "itm_1"));
  EXPECT_FALSE(holds_message(list, "itm_2"));
  EXPECT_FALSE(holds_message(ids.message.substr(16), "itm_1"));  // not as an id of a message
}

}  // namespace
}  // namespace agentmesh::agents
