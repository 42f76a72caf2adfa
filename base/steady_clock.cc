#include "base/steady_clock.h"

#include <algorithm>
#include <time.h>

namespace agentmesh {
namespace {

constexpr std::int64_t kCatchUp = 8;

std::int64_t read_ms(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

WallTime SteadyWall::at(WallTime wall, std::int64_t boot_ms) {
  const std::int64_t passed = std::max<std::int64_t>(0, boot_ms - boot_ms_);
  boot_ms_ += passed;
  now_ += Millis{passed};
  unused_ms_ += passed;
  const Millis reach{unused_ms_ / kCatchUp};
  unused_ms_ %= kCatchUp;
  now_ += std::clamp(wall - now_, -reach, reach);
  return now_;
}

SteadyClock::SteadyClock() : steady_(from_millis(read_ms(CLOCK_REALTIME)), read_ms(CLOCK_BOOTTIME)) {}

WallTime SteadyClock::now() const {
  return steady_.at(from_millis(read_ms(CLOCK_REALTIME)), read_ms(CLOCK_BOOTTIME));
}

}  // namespace agentmesh
