#include "watchdog/repeats.h"

#include "watchdog/hash.h"

#include <algorithm>

namespace agentmesh::watchdog {
namespace {

constexpr std::size_t kMaxRows = 500;

struct CodePoint {
  std::uint32_t value = 0;
  std::size_t bytes = 1;
};

// A byte that begins no whole UTF-8 sequence is itself, and no letter.
CodePoint code_point(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  const std::size_t bytes = first < 0xC0 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (bytes == 1 || text.size() < bytes) return {.value = first < 0x80 ? first : 0U};
  std::uint32_t value = first & (0xFFU >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) value = value << 6U | (static_cast<unsigned char>(text[i]) & 0x3FU);
  return {.value = value, .bytes = bytes};
}

// Letters of any script. Not digits, punctuation, dots, arrows, blocks, Braille, private use, emoji: what
// spinners, bars and clocks are drawn with.
bool is_letter(std::uint32_t value) {
  if (value < 0x80) return (value | 0x20U) >= 'a' && (value | 0x20U) <= 'z';
  const auto within = [value](std::uint32_t low, std::uint32_t high) {
    return value >= low && value <= high;
  };
  return value >= 0xC0 && !within(0x2000, 0x2E7F) && !within(0x3000, 0x303F) && !within(0xE000, 0xF8FF) &&
         !within(0xFE00, 0xFE0F) && value < 0x1F000;
}

// The letters of one row; 0 when it has none.
std::uint64_t row_hash(std::string_view row) {
  std::uint64_t hash = kHashStart;
  while (!row.empty()) {
    const CodePoint next = code_point(row);
    if (is_letter(next.value)) hash = hashed(hash, next.value);
    row.remove_prefix(next.bytes);
  }
  return hash == kHashStart ? 0 : hash;
}

std::vector<std::uint64_t> rows_of(std::string_view text) {
  std::vector<std::uint64_t> rows;
  text = text.substr(0, kMaxScreenBytes);
  while (!text.empty() && rows.size() < kMaxRows) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (const auto hash = row_hash(text.substr(0, end)); hash != 0) rows.push_back(hash);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return rows;
}

// How many of the rows were not there before, wherever they stand. Both sorted.
std::size_t new_rows(const std::vector<std::uint64_t>& rows, const std::vector<std::uint64_t>& before) {
  std::vector<std::uint64_t> added;
  std::ranges::set_difference(rows, before, std::back_inserter(added));
  return added.size();
}

}  // namespace

Repetition CallRepeats::called(std::string_view call, std::string_view id) {
  const std::uint64_t this_call = hashed(kHashStart, call);
  const std::uint64_t this_id = hashed(kHashStart, id);
  const bool same = this_call == last_call_;  // none yet: 0, which is no hash
  if (same && !id.empty() && this_id == last_id_) return Repetition::none;
  const bool was_repeated = count_ >= limit_;
  count_ = same ? count_ + 1 : 1;
  last_call_ = this_call;
  last_id_ = this_id;
  if (count_ >= limit_) return Repetition::repeated;
  return was_repeated ? Repetition::varied : Repetition::none;
}

void CallRepeats::turn_over() { *this = CallRepeats(limit_); }

Repetition ScreenRepeats::shown(std::string_view text, WallTime now) {
  auto rows = rows_of(text);
  std::uint64_t screen = kHashStart;
  for (const auto row : rows) screen = hashed(screen, row);
  std::ranges::sort(rows);
  if (seen_ > 0 && new_rows(rows, rows_) < kMovedRows) return Repetition::none;
  rows_ = std::move(rows);
  compare(screen, now);
  const bool was_looping = looping_;
  const auto needed = [this](std::size_t period) { return period * static_cast<std::size_t>(limit_ - 1); };
  looping_ = false;
  bool at_end = false;  // of a whole repetition
  for (std::size_t period = 2; period <= kMaxPeriod; ++period) {
    if (!complete(period, now)) continue;
    looping_ = true;
    at_end = at_end || (cycles_.at(period).matches - needed(period)) % period == 0;
  }
  if (looping_) return at_end ? Repetition::repeated : Repetition::none;
  return was_looping ? Repetition::varied : Repetition::none;
}

// Counts for each period how long the screens have been equal to those a period earlier.
void ScreenRepeats::compare(std::uint64_t screen, WallTime now) {
  for (std::size_t period = 2; period <= kMaxPeriod; ++period) {
    Cycle& cycle = cycles_.at(period);
    const bool equal = seen_ >= period && earlier(period) == screen;
    if (equal && cycle.matches == 0) cycle.since = now;
    cycle.matches = equal ? cycle.matches + 1 : 0;
  }
  recent_.at(seen_ % kMaxPeriod) = screen;
  ++seen_;
}

std::uint64_t ScreenRepeats::earlier(std::size_t back) const {
  return recent_.at((seen_ - back) % kMaxPeriod);
}

bool ScreenRepeats::complete(std::size_t period, WallTime now) const {
  const Cycle& cycle = cycles_.at(period);
  return cycle.matches >= period * static_cast<std::size_t>(limit_ - 1) && now - cycle.since >= kShortestLoop;
}

void ScreenRepeats::turn_over() { *this = ScreenRepeats(limit_); }

}  // namespace agentmesh::watchdog
