#pragma once
// Waits that double from the first to the most, each off by up to a quarter either way.

#include "base/clock.h"

#include <cstdint>
#include <random>

namespace agentmesh {

class Backoff {
 public:
  Backoff(Millis first, Millis most)
      : first_(first), most_(most), random_(std::random_device{}()), step_(first) {}

  Millis next() {
    const Millis wait = step_;
    step_ = step_ * 2 > most_ ? most_ : step_ * 2;
    const std::int64_t quarter = wait.count() / 4;
    return wait + Millis{std::uniform_int_distribution<std::int64_t>(-quarter, quarter)(random_)};
  }
  void reset() { step_ = first_; }

 private:
  Millis first_;
  Millis most_;
  std::minstd_rand random_;
  Millis step_;
};

}  // namespace agentmesh
