#pragma once
// How much of an agent's talk is read in a second: who has said too much is not read until its debt is paid.
// Pure arithmetic; its owner waits.

#include "base/clock.h"

#include <algorithm>
#include <cstdint>

namespace agentmesh::agents {

struct BudgetPolicy {
  std::size_t per_second = 2 * 1024 * 1024;  // bytes
  std::size_t least = 256;                   // what a message costs, however short it is
  Millis most{2'000};                        // the longest wait for one message
};

class ByteBudget {
 public:
  explicit ByteBudget(BudgetPolicy policy) : policy_(policy) {}

  // How long to wait before the next message is read; 0 while what was said in the last second fits.
  Millis charge(std::size_t bytes, Millis now) {
    const std::size_t cost = std::max(bytes, policy_.least);
    paid_until_ = std::max(paid_until_, now);
    paid_until_ += Millis{static_cast<std::int64_t>(cost * 1'000 / policy_.per_second)};
    owed_ += cost * 1'000 % policy_.per_second;
    paid_until_ += Millis{static_cast<std::int64_t>(owed_ / policy_.per_second)};
    owed_ %= policy_.per_second;
    const Millis debt = paid_until_ - now - Millis{1'000};
    const Millis wait = std::clamp(debt, Millis{0}, policy_.most);
    if (debt > wait) paid_until_ -= debt - wait;
    return wait;
  }

 private:
  BudgetPolicy policy_;
  Millis paid_until_{0};
  std::size_t owed_ = 0;  // thousandths of a byte's second: what is less than a millisecond
};

}  // namespace agentmesh::agents
