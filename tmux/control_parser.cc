#include "tmux/control_parser.h"

#include <algorithm>
#include <ranges>

namespace agentmesh::tmux {
namespace {

constexpr std::string_view kBegin = "%begin ";

// "T N F" of a %begin line: three numbers. Empty when it is something else.
std::string_view block_stamp(std::string_view line) {
  if (!line.starts_with(kBegin)) return {};
  const std::string_view stamp = line.substr(kBegin.size());
  const bool numbers = std::ranges::all_of(stamp, [](char c) { return c == ' ' || (c >= '0' && c <= '9'); });
  return numbers && std::ranges::count(stamp, ' ') == 2 && stamp.size() < 64 ? stamp : std::string_view{};
}

std::string join(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    if (&line != &lines.front()) text += '\n';
    text += line;
  }
  return text;
}

}  // namespace

void ControlParser::expect_reply() { expected_.emplace_back(std::nullopt); }
void ControlParser::expect_guarded_reply(std::string word) { expected_.emplace_back(std::move(word)); }

std::vector<Message> ControlParser::feed(std::string_view bytes) {
  while (!bytes.empty() && !broken_) {
    const std::size_t newline = bytes.find('\n');
    const std::size_t size = newline == std::string_view::npos ? bytes.size() : newline;
    if (partial_.size() + size > kMaxControlLine) {
      fail_stream("tmux sent a line over the limit");
      break;
    }
    partial_ += bytes.substr(0, size);
    if (newline == std::string_view::npos) break;
    bytes.remove_prefix(newline + 1);
    take_line(std::exchange(partial_, {}));
  }
  return std::exchange(out_, {});
}

void ControlParser::take_line(std::string line) {
  if (block_) {
    take_block_line(std::move(line));
  } else if (!begins_block(line)) {
    take_outside_line(line);
  }
}

// The last number of the stamp is 1 for a command read from us, 0 for any other.
bool ControlParser::begins_block(std::string_view line) {
  const std::string_view stamp = block_stamp(line);
  if (stamp.empty()) return false;
  block_.emplace();
  block_->end = "%end " + std::string(stamp);
  block_->error = "%error " + std::string(stamp);
  block_->asked = stamp.ends_with(" 1") && !expected_.empty();
  if (block_->asked) {
    block_->word = std::move(expected_.front());
    expected_.pop_front();
  }
  return true;
}

void ControlParser::take_block_line(std::string line) {
  ReplyBlock& block = *block_;
  if (!block.word && line == block.end) return finish(true);
  if (!block.word && line == block.error) return finish(false);
  if (block.word && line == *block.word && !block.lines.empty()) {
    std::string begin = std::move(block.lines.back());
    block.lines.pop_back();
    return finish_guarded(std::move(begin));
  }
  block.bytes += line.size() + 1;
  block.lines.push_back(std::move(line));
  block.too_long = block.too_long || block.bytes > kMaxControlReply;
  if (block.too_long) drop_text(block);
}

// Of a reply that is too long only its last possible end is needed, and the line that may begin the next one.
void ControlParser::drop_text(ReplyBlock& block) {
  const auto is_end = [&](const std::string& line) { return line == block.end || line == block.error; };
  const auto end = std::ranges::find_if(block.lines | std::views::reverse, is_end);
  std::vector<std::string> kept;
  if (end != block.lines.rend() && &*end != &block.lines.back()) kept.push_back(std::move(*end));
  kept.push_back(std::move(block.lines.back()));
  block.lines = std::move(kept);
}

void ControlParser::take_outside_line(std::string_view line) {
  if (line.empty()) return;
  if (line.front() != '%') {
    out_.emplace_back(Notice{"", std::string(line)});
    return;
  }
  const std::size_t space = std::min(line.find(' '), line.size());
  const std::size_t rest = std::min(space + 1, line.size());
  out_.emplace_back(Notice{std::string(line.substr(1, space - 1)), std::string(line.substr(rest))});
}

void ControlParser::finish(bool ok) {
  const ReplyBlock block = std::move(*block_);
  block_.reset();
  if (block.asked && block.too_long) out_.emplace_back(Reply{.too_long = true});
  if (block.asked && !block.too_long) out_.emplace_back(Reply{ok, join(block.lines)});
}

// We are inside the block of the command that prints the word; `begin` is its first line.
void ControlParser::finish_guarded(std::string begin) {
  ReplyBlock block = std::move(*block_);
  block_.reset();
  const auto is_end = [&](const std::string& line) { return line == block.end || line == block.error; };
  const auto last = std::ranges::find_if(block.lines | std::views::reverse, is_end);
  if (last == block.lines.rend() || block_stamp(begin).empty()) {
    return fail_stream("tmux answered out of order");
  }
  const auto end = last.base() - 1;
  out_.emplace_back(block.too_long ? Reply{.too_long = true}
                                   : Reply{*end == block.end, join({block.lines.begin(), end})});
  for (auto notice = end + 1; notice != block.lines.end(); ++notice) take_outside_line(*notice);
  block_.emplace();
  block_->end = "%end " + std::string(block_stamp(begin));
  block_->error = "%error " + std::string(block_stamp(begin));
}

void ControlParser::fail_stream(std::string reason) {
  broken_ = true;
  block_.reset();
  partial_.clear();
  out_.emplace_back(Broken{std::move(reason)});
}

}  // namespace agentmesh::tmux
