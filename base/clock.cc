#include "base/clock.h"

#include <cctype>
#include <time.h>

#include <fmt/format.h>

namespace agentmesh {
namespace {

std::int64_t read_ms(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

// Reads exactly `digits` decimal digits at `at` and advances it; -1 when they are not there.
int read_number(std::string_view text, std::size_t& at, int digits) {
  int value = 0;
  for (int i = 0; i < digits; ++i, ++at) {
    if (at >= text.size() || std::isdigit(static_cast<unsigned char>(text[at])) == 0) return -1;
    value = value * 10 + (text[at] - '0');
  }
  return value;
}

bool read_char(std::string_view text, std::size_t& at, std::string_view any_of) {
  if (at >= text.size() || any_of.find(text[at]) == std::string_view::npos) return false;
  ++at;
  return true;
}

int read_fraction_ms(std::string_view text, std::size_t& at) {
  int ms = 0;
  int scale = 100;
  while (at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0) {
    ms += (text[at] - '0') * scale;
    scale /= 10;
    ++at;
  }
  return ms;
}

// Minutes east of UTC, or nothing when the zone is malformed or text follows it.
std::optional<int> read_zone(std::string_view text, std::size_t at) {
  if (at + 1 == text.size() && (text[at] == 'Z' || text[at] == 'z')) return 0;
  if (at + 6 != text.size() || (text[at] != '+' && text[at] != '-')) return std::nullopt;
  const int sign = text[at] == '-' ? -1 : 1;
  ++at;
  const int hours = read_number(text, at, 2);
  if (!read_char(text, at, ":")) return std::nullopt;
  const int minutes = read_number(text, at, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return std::nullopt;
  return sign * (hours * 60 + minutes);
}

}  // namespace

SystemClock::SystemClock()
    : start_(from_millis(read_ms(CLOCK_REALTIME))), start_boot_ms_(read_ms(CLOCK_BOOTTIME)) {}

WallTime SystemClock::now() const { return start_ + Millis{read_ms(CLOCK_BOOTTIME) - start_boot_ms_}; }

std::string to_rfc3339(WallTime time) {
  using namespace std::chrono;  // NOLINT(google-build-using-namespace)
  const auto day = floor<days>(time);
  const year_month_day date{day};
  const hh_mm_ss clock{time - day};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count());
}

std::optional<WallTime> from_rfc3339(std::string_view text) {
  std::size_t at = 0;
  const int year = read_number(text, at, 4);
  if (!read_char(text, at, "-")) return std::nullopt;
  const int month = read_number(text, at, 2);
  if (!read_char(text, at, "-")) return std::nullopt;
  const int day = read_number(text, at, 2);
  if (!read_char(text, at, "Tt ")) return std::nullopt;
  const int hour = read_number(text, at, 2);
  if (!read_char(text, at, ":")) return std::nullopt;
  const int minute = read_number(text, at, 2);
  if (!read_char(text, at, ":")) return std::nullopt;
  const int second = read_number(text, at, 2);
  if (year < 0 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) {
    return std::nullopt;
  }
  const int ms = read_char(text, at, ".") ? read_fraction_ms(text, at) : 0;
  const auto zone = read_zone(text, at);
  const std::chrono::year_month_day date{std::chrono::year{year},
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!zone || !date.ok()) return std::nullopt;
  const auto seconds =
      std::chrono::hours{hour} + std::chrono::minutes{minute - *zone} + std::chrono::seconds{second};
  return WallTime{std::chrono::sys_days{date}} + std::chrono::duration_cast<Millis>(seconds) + Millis{ms};
}

std::string format_duration(Millis duration) {
  const std::int64_t seconds = std::max<std::int64_t>(0, duration.count() / 1000);
  const std::int64_t minutes = seconds / 60;
  const std::int64_t hours = minutes / 60;
  if (hours >= 24) return fmt::format("{}d{}h", hours / 24, hours % 24);
  if (hours > 0) return fmt::format("{}h{:02}m", hours, minutes % 60);
  if (minutes > 0) return fmt::format("{}m{:02}s", minutes, seconds % 60);
  return fmt::format("{}s", seconds);
}

}  // namespace agentmesh
