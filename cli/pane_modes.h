#pragma once
// Follows the modes that a program sets on its terminal: bracketed paste, mouse, alternate screen, cursor,
// title. A new pane for a running program has none of them, and the program, which set them once, does not
// know. So they are kept and given to the new pane. Pure; bounded; reads any bytes.

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace agentmesh::cli {

constexpr std::size_t kMaxSequence = 1024;  // bytes of one escape sequence that is looked at
constexpr std::size_t kMaxModesText = 4096;

class PaneModes {
 public:
  // True when a mode changed; a title, which may change many times a second, does not count.
  bool feed(std::string_view bytes);
  // Feeds the bytes. As they are to be shown in the pane: right behind a sequence that switched bracketed
  // pastes comes the mark that tells tmux (tmux/paste_mark.h), and again behind a path of the program's own.
  std::string marked(std::string_view bytes, pid_t relay);
  // By the bytes fed last.
  bool changed() const { return changed_; }
  // The escape sequences that set a fresh terminal to these modes.
  std::string replay() const;
  // The same for a terminal that is in the modes of `before`.
  std::string replay_onto(const PaneModes& before) const;

 private:
  bool is_on(int mode) const;
  bool brackets_pastes() const;
  enum class State { ground, escape, csi, osc, string };
  void take(char c);
  void take_escape(char c);
  void take_csi(char c);
  void take_string(char c);
  void end_csi(char final);
  void set_private(std::string_view numbers, bool on);
  void end_osc();
  void reset();

  State state_ = State::ground;
  bool string_escape_ = false;  // an ESC inside a string: ST follows, or not
  bool changed_ = false;
  bool marked_ = false;  // the pane's mark says that pastes are bracketed
  std::string sequence_;
  std::map<int, bool> private_modes_;
  std::string title_;
  std::string cursor_style_;
  std::string modify_keys_;
  bool keypad_ = false;
};

// How many of the first bytes of `seen` are the last bytes of `past`: the most that fit.
std::size_t overlap(std::string_view past, std::string_view seen);

}  // namespace agentmesh::cli
