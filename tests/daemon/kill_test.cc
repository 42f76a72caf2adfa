#include "daemon/kill.h"

#include "tests/fakes/eventually.h"
#include "tests/fakes/fake_engine.h"

#include <deque>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

namespace asio = boost::asio;
using Asked = std::vector<std::string>;

constexpr Millis kLimit{5'000};
constexpr Millis kNever{60'000};

// Its kills answer what the test has put, then success. A kill that hangs ends when the limit is lifted.
class OverdrawnEngine final : public agentmesh::test::FakeEngine {
 public:
  explicit OverdrawnEngine(asio::io_context& io) : lifted_(io, asio::steady_timer::time_point::max()) {}

  Task<> kill(std::string id, int signal) override {
    asked.push_back("kill " + std::to_string(signal) + " " + id);
    boost::system::error_code ec;
    if (hangs) co_await lifted_.async_wait(asio::redirect_error(asio::use_awaitable, ec));
    if (answers.empty()) co_return Result<>{};
    const auto answer = answers.front();
    answers.pop_front();
    co_return answer;
  }
  Task<> lift_cpu_limit(std::string id) override {
    asked.push_back("lift " + id);
    lifted_.cancel();
    co_return lift_answer;
  }

  bool hangs = false;
  std::deque<Result<>> answers;
  Result<> lift_answer;
  Asked asked;

 private:
  asio::steady_timer lifted_;
};

class KillTest : public testing::Test {
 protected:
  Result<> kill(Millis patience) {
    return agentmesh::test::complete(io_, kill_container(engine_, "a", patience), kLimit);
  }
  static Result<> failed(ErrorCode code) { return fail(code, "engine", "no exit event"); }

  asio::io_context io_;
  OverdrawnEngine engine_{io_};
};

TEST_F(KillTest, AnOrdinaryKillIsOneRequest) {
  EXPECT_TRUE(kill(kNever));
  EXPECT_EQ(engine_.asked, Asked{"kill 9 a"});
}

TEST_F(KillTest, OneThatDoesNotRunWasTheAim) {
  engine_.answers = {failed(ErrorCode::conflict)};
  EXPECT_TRUE(kill(kNever));
  EXPECT_EQ(engine_.asked, Asked{"kill 9 a"});
}

TEST_F(KillTest, AFailedKillIsAskedAgainWithoutTheLimit) {
  engine_.answers = {failed(ErrorCode::internal)};
  EXPECT_TRUE(kill(kNever));
  EXPECT_EQ(engine_.asked, (Asked{"kill 9 a", "lift a", "kill 9 a"}));
}

TEST_F(KillTest, ItIsAskedAgainOnceOnly) {
  engine_.answers = {failed(ErrorCode::internal), failed(ErrorCode::internal)};
  EXPECT_EQ(kill(kNever).error().code, ErrorCode::internal);
  EXPECT_EQ(engine_.asked, (Asked{"kill 9 a", "lift a", "kill 9 a"}));
}

TEST_F(KillTest, ALimitThatStaysIsNoReasonNotToKill) {
  engine_.answers = {failed(ErrorCode::internal), failed(ErrorCode::conflict)};
  engine_.lift_answer = failed(ErrorCode::conflict);
  EXPECT_TRUE(kill(kNever));
  EXPECT_EQ(engine_.asked, (Asked{"kill 9 a", "lift a", "kill 9 a"}));
}

TEST_F(KillTest, AKillThatIsNotAnsweredHasTheLimitLiftedBesideIt) {
  engine_.hangs = true;
  EXPECT_TRUE(kill(Millis{1}));
  EXPECT_EQ(engine_.asked, (Asked{"kill 9 a", "lift a"}));
}

TEST_F(KillTest, AnEngineThatIsAwayOrHangsIsNotAskedMore) {
  for (const auto code : {ErrorCode::not_found, ErrorCode::unavailable, ErrorCode::timeout}) {
    engine_.asked.clear();
    engine_.answers = {failed(code)};
    EXPECT_EQ(kill(kNever).error().code, code);
    EXPECT_EQ(engine_.asked, Asked{"kill 9 a"});
  }
}

}  // namespace
}  // namespace agentmesh::daemon
