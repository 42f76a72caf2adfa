#pragma once
// Time as a value. WallTime is what is stored and shown (UTC, milliseconds); a Clock gives it.
// The daemon's clock never runs backwards within one process: it is read once and then advanced by the
// monotonic clock, so that a person who sets the date back does not wake or starve anything.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace agentmesh {

using Millis = std::chrono::milliseconds;
using WallTime = std::chrono::sys_time<Millis>;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual WallTime now() const = 0;
};

// Wall time at construction, advanced by CLOCK_BOOTTIME (which counts sleep of the machine).
class SystemClock final : public Clock {
 public:
  SystemClock();
  WallTime now() const override;

 private:
  WallTime start_;
  std::int64_t start_boot_ms_;
};

// For tests: time moves only when told.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(WallTime start = WallTime{Millis{1'700'000'000'000}}) : now_(start) {}
  WallTime now() const override { return now_; }
  void advance(Millis by) { now_ += by; }

 private:
  WallTime now_;
};

std::string to_rfc3339(WallTime time);                        // "2026-01-02T03:04:05.678Z"
std::optional<WallTime> from_rfc3339(std::string_view text);  // fractions optional, "Z" or an offset
std::string format_duration(Millis duration);                 // "3h12m", "4m05s", "12s"
inline std::int64_t to_millis(WallTime time) { return time.time_since_epoch().count(); }
inline WallTime from_millis(std::int64_t ms) { return WallTime{Millis{ms}}; }

}  // namespace agentmesh
