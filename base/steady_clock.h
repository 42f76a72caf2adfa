#pragma once
// The clock of what runs for months. It never runs backwards and never jumps, so that a date that is set
// wakes or starves nothing: it is advanced by the monotonic clock and comes up with the system's little by
// little. For one thread.

#include "base/clock.h"

#include <cstdint>

namespace agentmesh {

// Advanced by `boot_ms`, which never jumps, it comes nearer to `wall` by at most one eighth of the time that
// passes. After a date that was set by an hour all is right again within eight hours, and meanwhile no wait
// is off by more than that eighth. Pure.
class SteadyWall {
 public:
  SteadyWall(WallTime wall, std::int64_t boot_ms) : now_(wall), boot_ms_(boot_ms) {}
  WallTime at(WallTime wall, std::int64_t boot_ms);

 private:
  WallTime now_;
  std::int64_t boot_ms_;
  std::int64_t unused_ms_ = 0;  // of the time that passed: too little to come nearer by a millisecond
};

// It, advanced by CLOCK_BOOTTIME (which counts sleep of the machine).
class SteadyClock final : public Clock {
 public:
  SteadyClock();
  WallTime now() const override;

 private:
  mutable SteadyWall steady_;
};

}  // namespace agentmesh
