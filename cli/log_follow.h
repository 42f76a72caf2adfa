#pragma once
// What is new of a terminal's text that is looked at again and again: `agentmesh logs -f`. A terminal is
// painted over, so lines are compared, and a line is told once it stood at two looks in a row: not each state
// of a counter or of a sentence that still grows. Pure; it keeps the lines of the last look.

#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::cli {

// Compared of one look, from its end: what is printed between two looks and is more is not told.
constexpr std::size_t kFollowedLines = 1'000;

// One look failed, and the next may not: the daemon is there, what it asks is not there now.
bool may_pass(const Error& error);

class LogFollow {
 public:
  // The first look tells this many lines from the end, at once.
  explicit LogFollow(std::size_t first_lines) : first_lines_(first_lines) {}

  bool begun() const { return begun_; }
  // The text now, and the run that it is of, if that is known. Answers the new lines, each with its end.
  std::string look(std::optional<std::int64_t> run, std::string_view text);
  // Nothing follows, or something else: what has not stood at two looks.
  std::string rest();

 private:
  using Lines = std::vector<std::string>;
  std::string tell(Lines lines);

  std::size_t first_lines_;
  bool begun_ = false;
  std::optional<std::int64_t> run_;
  Lines last_;  // of the last look
  Lines told_;  // of those, the ones that were told
};

}  // namespace agentmesh::cli
