#pragma once
// Reads what a control-mode client prints: replies to commands (%begin ... %end) and notifications. Pure:
// bytes in, messages out, in order. Lines it does not know are notifications; nothing crashes it.
//
// A reply that holds text an agent painted (capture-pane) could hold a forged "%end". So such a command is
// followed by a second one that prints a secret word, and its reply ends at the last "%end" before that word.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace agentmesh::tmux {

constexpr std::size_t kMaxControlLine = 4 * 1024 * 1024;    // bytes; a longer line breaks the stream
constexpr std::size_t kMaxControlReply = 32 * 1024 * 1024;  // bytes of one reply; a longer one is not kept

// The answer to the oldest command not yet answered. `text` is its lines joined by newlines, or tmux's error.
struct Reply {
  bool ok = false;
  std::string text;
  bool too_long = false;  // then it is not ok
};
// "%name rest". A line without a leading % (tmux's own complaint on stderr) has an empty name.
struct Notice {
  std::string name;
  std::string rest;
};
// The stream cannot be trusted any more: a limit was passed.
struct Broken {
  std::string reason;
};
using Message = std::variant<Reply, Notice, Broken>;

// A block being read.
struct ReplyBlock {
  std::string end;                  // "%end T N F"
  std::string error;                // "%error T N F"
  bool asked = false;               // by us; else it is of no interest
  std::optional<std::string> word;  // its guard
  std::vector<std::string> lines;
  std::size_t bytes = 0;
  bool too_long = false;  // then `lines` has only what may end it
};

class ControlParser {
 public:
  // A command was sent; its reply is expected after those of all commands before it.
  void expect_reply();
  // A command was sent, and after it one that prints `word`; both give one reply, the first one's.
  void expect_guarded_reply(std::string word);
  std::vector<Message> feed(std::string_view bytes);

 private:
  void take_line(std::string line);
  bool begins_block(std::string_view line);
  void take_block_line(std::string line);
  static void drop_text(ReplyBlock& block);
  void take_outside_line(std::string_view line);
  void finish(bool ok);
  void finish_guarded(std::string begin);
  void fail_stream(std::string reason);

  std::deque<std::optional<std::string>> expected_;  // the guard word of each command not yet answered
  std::optional<ReplyBlock> block_;
  std::string partial_;
  bool broken_ = false;
  std::vector<Message> out_;
};

}  // namespace agentmesh::tmux
