// What a look at the engine is worth when not all of it can be looked at, and whose clock tells when.
#include "daemon/observer.h"

#include "daemon/panes.h"
#include "sandbox/run_spec.h"
#include "tests/net/run_task.h"

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

namespace wd = agentmesh::watchdog;

sandbox::ContainerSummary container(const std::string& agent, sandbox::ContainerState state) {
  return {.id = "id-" + agent,
          .state = state,
          .labels = {{std::string(sandbox::kAgentLabel), agent}, {std::string(sandbox::kRunLabel), "3"}}};
}

class ObserverTest : public testing::Test {
 protected:
  // All three have ended; that of b is what cannot be inspected.
  Result<Sight> look(ErrorCode problem) {
    const Inspect inspect = [problem](std::string id) -> Task<sandbox::ContainerDetails> {
      if (id == "id-b") co_return fail(problem, "inspect", "no");
      co_return sandbox::ContainerDetails{.id = id, .exit_code = 7};
    };
    const auto ended = sandbox::ContainerState::exited;
    auto runs = test::run_task(
        io_, runs_in({container("a", ended), container("b", ended), container("c", ended)}, inspect));
    if (!runs) return pass(runs.error());
    return Sight{.runs = std::move(*runs)};
  }

  boost::asio::io_context io_;
};

TEST_F(ObserverTest, AContainerThatCannotBeInspectedHidesNobodyElse) {
  const auto sight = look(ErrorCode::timeout);
  ASSERT_TRUE(sight);
  for (const std::string agent : {"a", "c"}) {
    const wd::Observed seen = observed_of(*sight, agent, 5);
    EXPECT_EQ(seen.engine, wd::Completeness::complete);
    EXPECT_EQ(seen.as_of, 5U);
    ASSERT_EQ(seen.containers.size(), 1U);
    EXPECT_EQ(seen.containers[0].exit_code, 7);
    EXPECT_EQ(seen.containers[0].run, RunId{3});
  }
  const wd::Observed hidden = observed_of(*sight, "b", 5);
  EXPECT_EQ(hidden.engine, wd::Completeness::partial);
  EXPECT_TRUE(hidden.containers.empty());
}

TEST_F(ObserverTest, OneThatIsRemovedMeanwhileIsGone) {
  const auto sight = look(ErrorCode::not_found);
  ASSERT_TRUE(sight);
  EXPECT_EQ(observed_of(*sight, "b", 5).engine, wd::Completeness::complete);
}

TEST_F(ObserverTest, AnEngineThatGoesMeanwhileProvesNothing) {
  EXPECT_EQ(look(ErrorCode::unavailable).error().code, ErrorCode::unavailable);
}

TEST(LabelTest, ARunIsAWholeNumberOrNone) {
  const auto run = [](const std::string& text) {
    return labelled_run({{std::string(sandbox::kRunLabel), text}});
  };
  EXPECT_EQ(run("3"), RunId{3});
  for (const std::string wrong : {"", "x", "3x", "3 ", "-3", "3.5", "99999999999999999999"})
    EXPECT_EQ(run(wrong), RunId{}) << wrong;
  EXPECT_EQ(labelled_run({}), RunId{});
}

// The daemon's clock goes on evenly, the one that tmux tells seconds of is set.
TEST(PaintedTest, IsRightWhateverTheSystemsClockWasSetTo) {
  const WallTime ours = from_millis(1'700'000'000'500);
  for (const std::int64_t set_by_s : {-3600, 0, 3600}) {
    const WallTime system = ours + std::chrono::seconds(set_by_s);
    const std::int64_t painted_s = 1'700'000'000 + set_by_s - 2;
    EXPECT_EQ(on_our_clock(painted_s, system, ours), ours - Millis{2'500}) << set_by_s;
  }
}

}  // namespace
}  // namespace agentmesh::daemon
