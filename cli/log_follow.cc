#include "cli/log_follow.h"

#include <algorithm>
#include <span>
#include <utility>

namespace agentmesh::cli {
namespace {

using Lines = std::vector<std::string>;

Lines lines_of(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::string joined(std::span<const std::string> lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

std::span<const std::string> last_of(std::span<const std::string> lines, std::size_t count) {
  return lines.last(std::min(count, lines.size()));
}

// Of what both have in the same order, the most: for each line of `after`, whether it is of that.
std::vector<bool> kept(std::span<const std::string> before, std::span<const std::string> after) {
  const std::size_t most = std::min(before.size(), after.size());
  std::size_t head = 0;
  while (head < most && before[head] == after[head]) ++head;
  std::size_t tail = 0;
  while (tail < most - head && before[before.size() - 1 - tail] == after[after.size() - 1 - tail]) ++tail;
  std::vector<bool> is_kept(after.size(), true);
  const auto old = before.subspan(head, before.size() - head - tail);
  const auto now = after.subspan(head, after.size() - head - tail);
  const std::size_t width = now.size() + 1;
  // Cell (i, j): how many lines old[i...] and now[j...] have in common.
  std::vector<std::uint16_t> common((old.size() + 1) * width, 0);
  for (std::size_t i = old.size(); i-- > 0;) {
    for (std::size_t j = now.size(); j-- > 0;) {
      common[i * width + j] = old[i] == now[j]
                                  ? static_cast<std::uint16_t>(common[(i + 1) * width + j + 1] + 1)
                                  : std::max(common[(i + 1) * width + j], common[i * width + j + 1]);
    }
  }
  for (std::size_t i = 0, j = 0; j < now.size();) {
    if (i < old.size() && old[i] == now[j]) {
      ++i, ++j;
    } else if (i < old.size() && common[(i + 1) * width + j] >= common[i * width + j + 1]) {
      ++i;
    } else {
      is_kept[head + j++] = false;
    }
  }
  return is_kept;
}

enum class Which { kept, others };

Lines pick(const Lines& before, const Lines& after, Which which) {
  const std::vector<bool> is_kept = kept(before, after);
  Lines picked;
  for (std::size_t i = 0; i < after.size(); ++i) {
    if (is_kept[i] == (which == Which::kept)) picked.push_back(after[i]);
  }
  return picked;
}

}  // namespace

bool may_pass(const Error& error) {
  const bool is_away = error.code == ErrorCode::unavailable || error.code == ErrorCode::timeout;
  return is_away && error.stage != "daemon";
}

std::string LogFollow::look(std::optional<std::int64_t> run, std::string_view text) {
  const Lines all = lines_of(text);
  const auto compared = last_of(all, kFollowedLines);
  Lines now(compared.begin(), compared.end());
  const bool another = run && run_ && *run != *run_;
  if (run) run_ = run;
  if (!std::exchange(begun_, true)) {
    last_ = told_ = std::move(now);
    return joined(last_of(all, first_lines_));
  }
  std::string news;
  if (another) {
    news = rest();
    last_.clear();
    told_.clear();
  }
  news += tell(pick(last_, now, Which::kept));
  last_ = std::move(now);
  return news;
}

std::string LogFollow::rest() { return tell(last_); }

std::string LogFollow::tell(Lines lines) {
  std::string news = joined(pick(told_, lines, Which::others));
  told_ = std::move(lines);
  return news;
}

}  // namespace agentmesh::cli
