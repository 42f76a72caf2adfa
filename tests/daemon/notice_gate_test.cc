#include "daemon/notice_gate.h"

#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

const WallTime kStart = from_millis(1'000'000);
constexpr GatePolicy kThree{.most = 3, .window = Millis{60'000}};

TEST(NoticeGateTest, SoManyAMinuteAreToldAndTheRestAsOne) {
  NoticeGate gate(kThree);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(gate.admit("permission", "demo", "x", kStart));
  EXPECT_EQ(gate.next_wake(), std::nullopt) << "nothing is withheld yet";
  for (int i = 0; i < 100; ++i)
    EXPECT_FALSE(gate.admit("permission", "demo", std::to_string(i), kStart + Millis{i}));
  ASSERT_EQ(gate.next_wake(), kStart + Millis{60'000});
  EXPECT_TRUE(gate.due(*gate.next_wake() - Millis{1}).empty());
  const auto over = gate.due(*gate.next_wake());
  ASSERT_EQ(over.size(), 1U);
  EXPECT_EQ(over[0].kind, "permission");
  EXPECT_EQ(over[0].agent, "demo");
  EXPECT_EQ(over[0].count, 100U);
  EXPECT_EQ(over[0].text, "99") << "the newest";
}

TEST(NoticeGateTest, WhileItGoesOnItIsOneAMinute) {
  NoticeGate gate(kThree);
  int told = 0;
  std::size_t summaries = 0;
  for (int second = 0; second < 600; ++second) {
    const WallTime now = kStart + Millis{second * 1'000};
    told += gate.admit("stuck", "demo", "x", now) ? 1 : 0;
    summaries += gate.due(now).size();
  }
  EXPECT_EQ(told, 3);
  EXPECT_EQ(summaries, 9U);
  const WallTime later = kStart + Millis{900'000};
  EXPECT_EQ(gate.due(later).size(), 1U);
  EXPECT_TRUE(gate.due(later + Millis{60'000}).empty());
  EXPECT_TRUE(gate.admit("stuck", "demo", "x", later + Millis{60'000})) << "a quiet minute ends it";
}

TEST(NoticeGateTest, OthersAndOtherKindsAndFailuresPass) {
  NoticeGate gate(kThree);
  for (int i = 0; i < 50; ++i) (void)gate.admit("permission", "noisy", "x", kStart);
  EXPECT_TRUE(gate.admit("question", "noisy", "x", kStart));
  EXPECT_TRUE(gate.admit("permission", "quiet", "x", kStart));
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(gate.admit("failed", "noisy", "x", kStart));
    EXPECT_TRUE(gate.admit("engine_lost", "", "x", kStart));
    EXPECT_TRUE(gate.admit("mass_death", "", "x", kStart));
  }
}

}  // namespace
}  // namespace agentmesh::daemon
