#pragma once
// Does an agent do the same again and again? Two detectors, pure: told of every tool call and of every screen
// of one run, they answer what the signal `repeated` or `varied` is made of. The supervisor owns one of each
// for every run. They would rather miss a loop than see one that is none: a missed one costs time, a false
// one costs a restart.

#include "base/clock.h"

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace agentmesh::watchdog {

enum class Repetition {
  none,      // nothing to tell
  repeated,  // the limit is reached; told again at each further repetition
  varied,    // the first that differs after that
};

// Equal tool calls in a row. `limit` is [watchdog] loop_repeats, at least 2.
class CallRepeats {
 public:
  explicit CallRepeats(int limit) : limit_(limit) {}
  // `call` is equal for equal tools with equal input. `id` names this one call; the same id again is the same
  // call told twice. Empty: not known.
  Repetition called(std::string_view call, std::string_view id);
  // What a new turn repeats of an old one was asked for.
  void turn_over();

 private:
  int limit_;
  int count_ = 0;
  std::uint64_t last_call_ = 0;
  std::uint64_t last_id_ = 0;
};

constexpr std::size_t kMaxPeriod = 8;                // screens in one cycle
constexpr std::size_t kMaxScreenBytes = 128 * 1024;  // of one screen; the rest is not looked at
constexpr std::size_t kMovedRows = 3;                // fewer new rows are an animation, not another screen
constexpr Millis kShortestLoop{60'000};              // what is over sooner may be a test that flickers

// A cycle of 2 to kMaxPeriod different screens. Of a screen only the letters count, so that a spinner, a
// clock or a counter changes nothing, and two screens differ only if kMovedRows rows of words do. A screen
// that stays as it is is no cycle.
class ScreenRepeats {
 public:
  explicit ScreenRepeats(int limit) : limit_(limit) {}
  // The text of a pane after it changed, rows ended by newlines, without escape codes; at most once a second.
  Repetition shown(std::string_view text, WallTime now);
  void turn_over();

 private:
  struct Cycle {
    std::size_t matches = 0;  // screens in a row that equal the one a period earlier
    WallTime since{};         // the first of them
  };
  std::uint64_t earlier(std::size_t back) const;
  bool complete(std::size_t period, WallTime now) const;
  void compare(std::uint64_t screen, WallTime now);

  int limit_;
  std::vector<std::uint64_t> rows_;  // of the last screen, sorted
  std::array<std::uint64_t, kMaxPeriod> recent_{};
  std::size_t seen_ = 0;
  std::array<Cycle, kMaxPeriod + 1> cycles_{};  // by period
  bool looping_ = false;
};

}  // namespace agentmesh::watchdog
