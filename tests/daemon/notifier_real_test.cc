// Command and webhook against real programs and a real HTTP server on loopback.

#include "base/files.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/text.h"
#include "daemon/notifier.h"
#include "net/server.h"
#include "tests/fakes/fake_tmux.h"
#include "tests/net/run_task.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::daemon {
namespace {

namespace fs = std::filesystem;
using net::Reply;
using net::ServerRequest;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class NotifierReal : public testing::Test {
 protected:
  void SetUp() override {
    ::signal(SIGPIPE, SIG_IGN);  // as main does: a command may end before it has read its input
    ASSERT_TRUE(make_dir(folder_, 0700));
    journal_.emplace(std::move(*Journal::open(folder_ / "state.db")));
    events_.emplace(*journal_, clock_);
    listening_ = events_->listen([this](const EventRow& row) { rows_.push_back(row); });
    config_.desktop = false;
  }
  void TearDown() override {
    if (notifier_) notifier_->stop();
    fs::remove_all(folder_);
  }

  // The program of a test: a shell script.
  void command(const std::string& script) {
    ASSERT_TRUE(write_file(folder_ / "hook", "#!/bin/sh\n" + script, 0700));
    config_.command = {(folder_ / "hook").string(), "one two", "$HOME"};
  }
  void serve(std::function<Reply(const ServerRequest&)> answer) {
    net::Routes routes;
    routes.add("POST", "/hook/secret-path", [this, answer](ServerRequest request) -> Task<Reply> {
      requests_.push_back(request);
      co_return answer(request);
    });
    routes.add("POST", "/elsewhere", [this](ServerRequest) -> Task<Reply> {
      ++elsewhere_;
      co_return Reply{};
    });
    server_.emplace(io_, std::move(routes), net::ServerLimits{});
    const auto port = server_->listen_tcp("127.0.0.1", 0);
    ASSERT_TRUE(port);
    origin_ = fmt::format("http://127.0.0.1:{}", *port);
    config_.webhook = origin_ + "/hook/secret-path";
  }
  void start(NotifierPolicy policy) {
    notifier_.emplace(io_, clock_, config_, *events_, tmux_, http_, policy);
  }
  static QueuePolicy quick(int tries) {
    return {.tries = tries, .backoff_first = Millis{5}, .backoff_most = Millis{20}};
  }
  bool eventually(const std::function<bool()>& holds) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!holds()) {
      if (std::chrono::steady_clock::now() > until) return false;
      io_.restart();
      io_.run_for(Millis{5});
    }
    return true;
  }
  std::string reason_of(std::string_view event) const {
    for (const EventRow& row : rows_) {
      if (row.name == event) return row.reason;
    }
    return "";
  }
  std::string file(const char* name) const { return read_file(folder_ / name, 1 << 20).value_or(""); }
  Result<void> run_command() {
    return test::run_task(io_, run_notify_command(io_.get_executor(), config_, notice()));
  }
  Result<void> post() {
    return test::run_task(io_, post_webhook(http_, config_, notice(), from_millis(1'700'000'000'500)));
  }
  Notice notice() const {
    return make_notice("permission", "demo", "bash: echo \"a\nb\" \x1b[31m$(id)", clock_.now());
  }

  fs::path folder_ = fs::temp_directory_path() / ("agentmesh-notifier-" + std::to_string(::getpid()));
  boost::asio::io_context io_;
  SystemClock clock_;
  std::optional<Journal> journal_;
  std::optional<EventLog> events_;
  std::shared_ptr<void> listening_;
  std::vector<EventRow> rows_;
  tmux::FakeTmux tmux_;
  net::HttpClient http_{io_.get_executor()};
  config::Notify config_;
  std::optional<net::HttpServer> server_;
  std::string origin_;
  std::vector<ServerRequest> requests_;
  int elsewhere_ = 0;
  std::optional<Notifier> notifier_;
};

TEST_F(NotifierReal, TheCommandGetsTheNewsWithoutAShellAndWithoutOurEnvironment) {
  ::setenv("AGENTMESH_HUB_TOKEN", "canary-of-the-environment", 1);
  const std::string here = folder_.string();
  command("cat >" + here + "/input; printf '%s|' \"$@\" >" + here + "/args; env >" + here + "/env; pwd >" +
          here + "/cwd; ls -l /proc/self/fd >" + here + "/fds\n");
  const auto done = run_command();
  ASSERT_TRUE(done) << describe(done.error());
  EXPECT_EQ(file("args"), "one two|$HOME|");
  EXPECT_EQ(file("cwd"), "/\n");
  const auto input = parse_json(file("input"), "test");
  ASSERT_TRUE(input) << file("input");
  EXPECT_EQ(std::ranges::count(file("input"), '\n'), 1) << "one line";
  EXPECT_EQ((*input)["kind"], "permission");
  EXPECT_EQ((*input)["agent"], "demo");
  EXPECT_EQ((*input)["text"], "bash: echo \"a\nb\" $(id)");
  EXPECT_EQ((*input)["summary"], "demo asks for permission: bash: echo \"a\nb\" $(id)");
  const std::string env = file("env");
  EXPECT_THAT(env, HasSubstr("AGENTMESH_EVENT=permission\n"));
  EXPECT_THAT(env, HasSubstr("AGENTMESH_AGENT=demo\n"));
  EXPECT_THAT(env, HasSubstr("AGENTMESH_EVENT_ID=ntc_"));
  EXPECT_THAT(env, HasSubstr("PATH="));
  EXPECT_THAT(env, Not(HasSubstr("canary")));
  EXPECT_THAT(file("fds"), Not(HasSubstr("socket:")));
}

TEST_F(NotifierReal, ACommandThatFailsIsAnEvent) {
  command("echo \"no server: sk-abcdefghijklmnop\" >&2; exit 3\n");
  start({});
  notifier_->tell("failed", "demo", "exit code 1");
  ASSERT_TRUE(eventually([&] { return !reason_of("notify_failed").empty(); }));
  EXPECT_EQ(rows_.front().name, "failed");
  EXPECT_THAT(reason_of("notify_failed"), HasSubstr("the command: 'failed' was not told after one try: "));
  EXPECT_THAT(reason_of("notify_failed"), HasSubstr("ended with 3: no server: [redacted]"));
  config_.command = {"/nowhere/at-all"};
  const auto absent = run_command();
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ErrorCode::not_found);
}

TEST_F(NotifierReal, ACommandThatPrintsWithoutEndIsEnded) {
  command("yes\n");
  const auto flooded = run_command();
  ASSERT_FALSE(flooded);
  EXPECT_EQ(flooded.error().code, ErrorCode::exhausted);
}

TEST_F(NotifierReal, SoManyCommandsAtOnceAndADropIsTold) {
  const std::string here = folder_.string();
  command("echo x >>" + here + "/began; while [ ! -e " + here + "/go ]; do sleep 0.02; done\n");
  start({.command = {.depth = 6, .at_once = 2}});
  for (int i = 0; i < 9; ++i) notifier_->tell("stuck", "demo-" + std::to_string(i), "");
  ASSERT_TRUE(eventually([&] { return file("began").size() == 4; }));
  EXPECT_EQ(std::ranges::count(rows_, "notify_dropped", &EventRow::name), 1) << "told once while it lasts";
  ASSERT_TRUE(write_file(folder_ / "go", "", 0600));
  ASSERT_TRUE(eventually([&] { return file("began").size() == 12; }));
  ASSERT_TRUE(eventually([&] { return std::ranges::count(rows_, "notify_dropped", &EventRow::name) == 2; }));
  EXPECT_EQ(rows_.back().reason, "the command: 3 notifications were dropped");
}

TEST_F(NotifierReal, ANoisyAgentSilencesNobody) {
  serve([](const ServerRequest&) { return Reply{}; });
  start({.webhook = quick(1), .gate = {.most = 3, .window = Millis{300}}});
  for (int i = 0; i < 500; ++i) notifier_->tell("permission", "noisy", std::to_string(i));
  notifier_->tell("permission", "quiet", "bash: ls");
  notifier_->tell("failed", "noisy", "exit code 1");
  ASSERT_TRUE(eventually([&] { return rows_.size() == 6; }));
  EXPECT_EQ(rows_.back().reason, "497 more of these, the newest: 499");
  EXPECT_EQ(std::ranges::count(rows_, "notify_dropped", &EventRow::name), 0);
  const auto sent = [&](const char* text) {
    return std::ranges::any_of(requests_, [&](const ServerRequest& request) {
      return request.body.find(text) != std::string::npos;
    });
  };
  EXPECT_TRUE(eventually([&] {
    return sent("quiet asks for permission") && sent("noisy has failed") && sent("497 more of these");
  }));
  EXPECT_EQ(tmux_.calls.size(), 6U) << "the terminals are told no more often";
}

TEST_F(NotifierReal, AWebhookIsSignedOverItsTimeAndItsBody) {
  serve([](const ServerRequest&) { return Reply{.status = 204}; });
  ASSERT_TRUE(write_file(folder_ / "key", "hook-key\n", 0600));
  config_.secret = "file:" + (folder_ / "key").string();
  const auto done = post();
  ASSERT_TRUE(done) << describe(done.error());
  ASSERT_EQ(requests_.size(), 1U);
  const ServerRequest& got = requests_.front();
  EXPECT_EQ(got.header("content-type"), "application/json");
  EXPECT_EQ(got.header("x-agentmesh-timestamp"), "1700000000");
  EXPECT_EQ(got.header("x-agentmesh-signature"),
            "sha256=" + hmac_sha256_hex(Secret("hook-key"), "1700000000." + got.body));
  const auto body = parse_json(got.body, "test");
  ASSERT_TRUE(body);
  EXPECT_EQ((*body)["id"], std::string(got.header("x-agentmesh-id")));
}

TEST_F(NotifierReal, WithoutItsKeyNothingIsSent) {
  serve([](const ServerRequest&) { return Reply{}; });
  config_.secret = "file:" + (folder_ / "absent").string();
  EXPECT_EQ(post().error().code, ErrorCode::not_found);
  ASSERT_TRUE(write_file(folder_ / "open", "key", 0644));
  config_.secret = "file:" + (folder_ / "open").string();
  EXPECT_EQ(post().error().code, ErrorCode::denied);
  EXPECT_TRUE(requests_.empty());
}

TEST_F(NotifierReal, ARefusalIsTriedAgainUnderTheSameIdUntilItIsTaken) {
  serve([this](const ServerRequest&) { return Reply{.status = requests_.size() < 3 ? 503 : 200}; });
  start({.webhook = quick(8)});
  notifier_->tell("question", "demo", "which colour?");
  ASSERT_TRUE(eventually([&] { return requests_.size() == 3; }));
  EXPECT_EQ(requests_[0].header("x-agentmesh-id"), requests_[2].header("x-agentmesh-id"));
  io_.restart();
  io_.run_for(Millis{100});
  EXPECT_EQ(requests_.size(), 3U) << "taken is taken";
  EXPECT_EQ(reason_of("notify_failed"), "");
}

TEST_F(NotifierReal, AWebhookThatRefusesForGoodIsGivenUpAndItsPathIsNotShown) {
  serve([](const ServerRequest&) { return Reply{.status = 500, .body = std::string(100'000, 'x')}; });
  start({.webhook = quick(3)});
  notifier_->tell("login", "demo", "");
  ASSERT_TRUE(eventually([&] { return !reason_of("notify_failed").empty(); }));
  EXPECT_EQ(requests_.size(), 3U);
  EXPECT_EQ(reason_of("notify_failed"),
            fmt::format("the webhook: 'login' was not told after 3 tries: {} answered 500", origin_));
}

TEST_F(NotifierReal, ARedirectIsNotFollowedAndNotTriedAgain) {
  serve([](const ServerRequest&) { return Reply{.status = 307, .headers = {{"Location", "/elsewhere"}}}; });
  start({.webhook = quick(8)});
  notifier_->tell("failed", "demo", "x");
  ASSERT_TRUE(eventually([&] { return !reason_of("notify_failed").empty(); }));
  EXPECT_THAT(reason_of("notify_failed"), HasSubstr("after one try"));
  EXPECT_THAT(reason_of("notify_failed"), HasSubstr("redirects are not followed"));
  EXPECT_EQ(elsewhere_, 0);
}

TEST_F(NotifierReal, NobodyThereIsTriedAgainAndSaidWithoutThePath) {
  serve([](const ServerRequest&) { return Reply{}; });
  server_.reset();
  start({.webhook = quick(2)});
  notifier_->tell("failed", "demo", "x");
  ASSERT_TRUE(eventually([&] { return !reason_of("notify_failed").empty(); }));
  EXPECT_THAT(reason_of("notify_failed"), HasSubstr("after 2 tries: " + origin_));
  EXPECT_THAT(reason_of("notify_failed"), Not(HasSubstr("secret-path")));
}

TEST_F(NotifierReal, OnlyWhatIsAskedForLeavesThisHost) {
  serve([](const ServerRequest&) { return Reply{}; });
  config_.on = {"failed"};
  config_.desktop = true;
  start({.webhook = quick(1)});
  notifier_->tell("permission", "demo", "bash: ls");
  notifier_->tell("engine_lost", "", "no answer");
  notifier_->tell("failed", "demo", "");
  ASSERT_TRUE(eventually([&] { return requests_.size() == 1; }));
  EXPECT_THAT(requests_.front().body, HasSubstr("\"kind\":\"failed\""));
  EXPECT_EQ(rows_.size(), 3U) << "events come always";
  const std::vector<std::string> expected{
      "announce agentmesh-demo agentmesh: demo asks for permission: bash: ls",
      "announce  agentmesh: the engine is lost: no answer",
      "announce agentmesh-demo agentmesh: demo has failed", "notify_desktop demo has failed: "};
  EXPECT_EQ(tmux_.calls, expected);
}

TEST_F(NotifierReal, AfterTheStopNothingIsSent) {
  serve([](const ServerRequest&) { return Reply{}; });
  start({.webhook = quick(1)});
  notifier_->stop();
  notifier_->tell("failed", "demo", "x");
  io_.restart();
  io_.run_for(Millis{50});
  EXPECT_TRUE(requests_.empty());
  EXPECT_TRUE(rows_.empty());
}

TEST(NoticeTest, ATextIsRedactedBeforeItIsCut) {
  const std::string text = std::string(kMaxNoticeText - 10, 'x') + " sk-abcdefghijklmnopqrstuvwxyz";
  const Notice notice = make_notice("failed", "demo", text, from_millis(0));
  EXPECT_LE(notice.text.size(), kMaxNoticeText);
  EXPECT_THAT(notice.text, Not(HasSubstr("sk-abc")));
}

}  // namespace
}  // namespace agentmesh::daemon
