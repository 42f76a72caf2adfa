#include "sandbox/events_feed.h"

#include "tests/net/scripted_server.h"

#include <chrono>

#include <gtest/gtest.h>

namespace agentmesh::sandbox {
namespace {

using test::hang;
using test::Recorded;
using test::Reply;
using test::ScriptedServer;

constexpr std::string_view kHead = "HTTP/1.1 200 OK\r\n\r\n";

std::string line_of(std::string_view action, std::string_view id, std::int64_t time_ns,
                    std::string_view attributes = "") {
  return fmt::format(
      R"({{"Type":"container","Action":"{}","Actor":{{"ID":"{}","Attributes":{{"name":"n"{}}}}},"timeNano":{}}})"
      "\n",
      action, id, attributes, time_ns);
}

TEST(ParseEvent, ReadsWhatDockerAndPodmanSay) {
  const auto die = parse_event(line_of("die", "abc", 12, R"(,"exitCode":"137","agentmesh.agent":"x")"));
  ASSERT_TRUE(die);
  EXPECT_EQ(die->type, EventType::die);
  EXPECT_EQ(die->container_id, "abc");
  EXPECT_EQ(die->container_name, "n");
  EXPECT_EQ(die->exit_code, 137);
  EXPECT_EQ(die->time_ns, 12);
  EXPECT_EQ(die->labels.at("agentmesh.agent"), "x");
  const auto died = parse_event(line_of("died", "abc", 12, R"(,"containerExitCode":"3")"));
  ASSERT_TRUE(died);
  EXPECT_EQ(died->type, EventType::die);
  EXPECT_EQ(died->exit_code, 3);
  EXPECT_EQ(to_string(EventType::oom), "oom");
}

TEST(ParseEvent, AnythingElseIsNoEvent) {
  for (const std::string_view bad :
       {"", "{", "[]", "null", "7", R"({"Type":"container"})",
        R"({"Type":"network","Action":"die","Actor":{"ID":"a"}})", R"({"Type":"container","Action":"die"})",
        R"({"Type":"container","Action":"die","Actor":[]})",
        R"({"Type":"container","Action":"die","Actor":{}})",
        R"({"Type":"container","Action":"die","Actor":{"ID":7}})",
        R"({"Type":["container"],"Action":"die","Actor":{"ID":"a"}})",
        R"({"Type":"container","Action":{},"Actor":{"ID":"a"}})",
        R"({"Type":"container","Action":"exec_die","Actor":{"ID":"a"}})"}) {
    EXPECT_FALSE(parse_event(bad)) << bad;
  }
  const auto odd = parse_event(
      R"({"Type":"container","Action":"die","Actor":{"ID":"a","Attributes":{"exitCode":7,"x":null}},"timeNano":"no"})");
  ASSERT_TRUE(odd);
  EXPECT_FALSE(odd->exit_code);
  EXPECT_EQ(odd->time_ns, 0);
  EXPECT_FALSE(parse_event(line_of("die", "a", 1, R"(,"exitCode":"1x")"))->exit_code);
  EXPECT_FALSE(parse_event(std::string(100'000, '[')));
}

class EventsFeedTest : public ::testing::Test {
 protected:
  EventsHandlers handlers() {
    return {[this](const ContainerEvent& event) { seen_.push_back(event.container_id); },
            [this] { ++connected_; }, [this](const Error& error) { lost_.push_back(error); }};
  }
  EventsFeedOptions options(const std::string& socket) {
    return {.socket = socket,
            .owner = "me",
            .quiet_limit = Millis{60},
            .ping_deadline = Millis{60},
            .retry_first = Millis{1},
            .retry_most = Millis{10}};
  }
  bool until(const std::function<bool()>& condition) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (!condition() && std::chrono::steady_clock::now() < limit) io_.run_one_until(limit);
    return condition();
  }
  static std::string since(const Recorded& request) {
    const auto at = request.line().find("since=") + 6;
    return request.line().substr(at, request.line().find('&', at) - at);
  }

  boost::asio::io_context io_;
  net::HttpClient http_{io_.get_executor()};
  std::vector<std::string> seen_;
  std::vector<Error> lost_;
  int connected_ = 0;
};

TEST_F(EventsFeedTest, AsksForOursAndTakesLinesInPieces) {
  ScriptedServer server(io_, [](const Recorded&) {
    const auto line = line_of("die", "one", 5);
    return Reply{
        {std::string(kHead), line.substr(0, 20), line.substr(20) + line_of("start", "two", 6), "\n\n  \n"},
        false,
        true};
  });
  EventsFeed feed(io_.get_executor(), http_, options(server.path()), handlers());
  feed.start();
  ASSERT_TRUE(until([&] { return seen_.size() == 2; }));
  EXPECT_EQ(seen_, (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(connected_, 1);
  EXPECT_TRUE(feed.is_connected());
  const auto line = server.requests().at(0).line();
  EXPECT_NE(line.find("%22agentmesh.owner%3Dme%22"), std::string::npos) << line;
  EXPECT_NE(line.find("%22type%22%3A%5B%22container%22%5D"), std::string::npos) << line;
  EXPECT_NE(line.find("%22oom%22"), std::string::npos) << line;
}

TEST_F(EventsFeedTest, ComesBackFromItsLastTimeWithoutDoubles) {
  ScriptedServer server(io_, [](const Recorded&) {
    return Reply{{std::string(kHead), line_of("die", "one", 3'000'000'000'500'000'000) +
                                          line_of("die", "two", 3'000'000'001'000'000'007)},
                 true};
  });
  EventsFeed feed(io_.get_executor(), http_, options(server.path()), handlers());
  feed.start();
  ASSERT_TRUE(until([&] { return connected_ == 4; }));
  EXPECT_EQ(seen_, (std::vector<std::string>{"one", "two"}));
  EXPECT_GE(lost_.size(), 3U) << "once for each break";
  EXPECT_EQ(since(server.requests().at(1)), "3000000000.000000007")
      << "a second before the last, events are not sorted";
}

TEST_F(EventsFeedTest, OversizeAndMalformedLinesAreSkipped) {
  ScriptedServer server(io_, [](const Recorded&) {
    return Reply{{std::string(kHead), std::string(kMaxEventBytes * 2, 'x'),
                  "\n{\"half\":\n\xff\xfe\n" + line_of("die", "good", 5)},
                 false,
                 true};
  });
  EventsFeed feed(io_.get_executor(), http_, options(server.path()), handlers());
  feed.start();
  ASSERT_TRUE(until([&] { return !seen_.empty(); }));
  EXPECT_EQ(seen_, std::vector<std::string>{"good"});
  EXPECT_TRUE(lost_.empty());
}

TEST_F(EventsFeedTest, AHungEngineIsToldAndLeft) {
  int pings = 0;
  bool hung = true;
  ScriptedServer server(io_, [&](const Recorded& request) {
    if (request.line().find("_ping") == std::string::npos) return Reply{{std::string(kHead)}, false, true};
    ++pings;
    return hung ? hang() : test::answer(200, "OK");
  });
  EventsFeed feed(io_.get_executor(), http_, options(server.path()), handlers());
  feed.start();
  ASSERT_TRUE(until([&] { return lost_.size() == 1; }));
  EXPECT_EQ(lost_[0].code, ErrorCode::timeout);
  hung = false;
  ASSERT_TRUE(until([&] { return connected_ == 2; }));
  pings = 0;
  ASSERT_TRUE(until([&] { return pings >= 3; })) << "a quiet engine that answers is asked again and again";
  EXPECT_EQ(connected_, 2);
  EXPECT_EQ(lost_.size(), 1U);
}

TEST_F(EventsFeedTest, AnAbsentEngineIsToldOnceAndFoundAgain) {
  auto server = std::make_unique<ScriptedServer>(
      io_, [](const Recorded&) { return Reply{{std::string(kHead)}, false, true}; });
  auto wanted = options("/tmp/no-such-engine.sock");
  EventsFeed feed(io_.get_executor(), http_, wanted, handlers());
  feed.start();
  int rounds = 0;
  ASSERT_TRUE(until([&] { return ++rounds > 60; }));
  EXPECT_EQ(lost_.size(), 1U);
  EXPECT_EQ(lost_[0].code, ErrorCode::unavailable);
  EXPECT_FALSE(feed.is_connected());
}

TEST_F(EventsFeedTest, AnErrorAnswerIsABreak) {
  ScriptedServer server(io_,
                        [](const Recorded&) { return test::answer(500, R"({"message":"out of order"})"); });
  EventsFeed feed(io_.get_executor(), http_, options(server.path()), handlers());
  feed.start();
  ASSERT_TRUE(until([&] { return server.requests().size() > 3; }));
  ASSERT_EQ(lost_.size(), 1U);
  EXPECT_EQ(lost_[0].what, "out of order");
  EXPECT_EQ(connected_, 0);
}

TEST_F(EventsFeedTest, NothingIsToldAfterStop) {
  ScriptedServer server(io_, [](const Recorded&) {
    return Reply{{std::string(kHead), line_of("die", "one", 5) + line_of("die", "two", 6)}, false, true};
  });
  std::optional<EventsFeed> feed;
  auto told = handlers();
  told.event = [&](const ContainerEvent& event) {
    seen_.push_back(event.container_id);
    feed->stop();
  };
  feed.emplace(io_.get_executor(), http_, options(server.path()), told);
  feed->start();
  ASSERT_TRUE(until([&] { return !seen_.empty(); }));
  io_.run_for(std::chrono::milliseconds(30));
  EXPECT_EQ(seen_, std::vector<std::string>{"one"});
  EXPECT_TRUE(lost_.empty());
  feed.reset();
}

}  // namespace
}  // namespace agentmesh::sandbox
