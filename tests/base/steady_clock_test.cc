#include "base/steady_clock.h"

#include <gtest/gtest.h>

namespace agentmesh {
namespace {

// A date that somebody sets moves the clock little by little, and never back.
TEST(SteadyClockTest, ComesUpWithADateThatWasSetAndNeverJumps) {
  const WallTime start = from_millis(1'700'000'000'000);
  const Millis hour = std::chrono::hours(1);
  for (const Millis set_by : {-hour, hour}) {
    SteadyWall clock(start, 0);
    WallTime before = start;
    std::int64_t boot = 0;
    for (; boot < 9 * hour.count(); boot += 1001) {
      const WallTime now = clock.at(start + set_by + Millis{boot}, boot);
      ASSERT_GE(now, before);
      ASSERT_LE(now - before, Millis{1001 + 1001 / 8 + 1});
      ASSERT_GE(now - before, boot == 0 ? Millis{0} : Millis{1001 - 1001 / 8 - 1});
      if (boot > 8 * hour.count() + 1001) ASSERT_EQ(now, start + set_by + Millis{boot});
      before = now;
    }
  }
}

TEST(SteadyClockTest, ComesUpHoweverOftenItIsAsked) {
  SteadyWall clock(from_millis(0), 0);
  for (std::int64_t boot = 1; boot < 800; ++boot) (void)clock.at(from_millis(boot + 1'000'000), boot);
  EXPECT_EQ(clock.at(from_millis(1'000'800), 800), from_millis(900));
  EXPECT_EQ(clock.at(from_millis(1'000'800), 700), from_millis(900)) << "a boot clock that runs back is none";
}

}  // namespace
}  // namespace agentmesh
