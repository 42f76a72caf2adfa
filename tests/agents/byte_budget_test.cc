#include "agents/byte_budget.h"

#include <gtest/gtest.h>

namespace agentmesh::agents {
namespace {

constexpr BudgetPolicy kPolicy{.per_second = 1'000'000, .least = 100, .most = Millis{2'000}};

TEST(ByteBudgetTest, ASecondsWorthIsReadAtOnceAndTheRestAsItIsPaid) {
  ByteBudget budget(kPolicy);
  EXPECT_EQ(budget.charge(1'000'000, Millis{5'000}), Millis{0});
  EXPECT_EQ(budget.charge(500'000, Millis{5'000}), Millis{500});
  EXPECT_EQ(budget.charge(500'000, Millis{5'500}), Millis{500});
  EXPECT_EQ(budget.charge(500'000, Millis{60'000}), Millis{0}) << "a quiet time is forgotten";
}

TEST(ByteBudgetTest, ShortMessagesHaveTheirPriceToo) {
  ByteBudget budget(kPolicy);
  Millis waited{0};
  Millis now{0};
  for (int i = 0; i < 30'000; ++i) {
    const Millis wait = budget.charge(1, now);
    waited += wait;
    now += wait;
  }
  EXPECT_EQ(waited, Millis{2'000}) << "30,000 of 100 bytes each, the first second's for nothing";
}

TEST(ByteBudgetTest, OneMessageNeverCostsMoreThanTheLongestWait) {
  ByteBudget budget(kPolicy);
  EXPECT_EQ(budget.charge(16'000'000, Millis{0}), Millis{2'000});
  EXPECT_EQ(budget.charge(100, Millis{2'000}), Millis{0});
}

}  // namespace
}  // namespace agentmesh::agents
