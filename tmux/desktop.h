#pragma once
// The sequence that asks a terminal for a desktop notification. Pure. There are two of them, and a terminal
// that knows both would show the notification twice: one is chosen by what the terminal calls itself.

#include <string>
#include <string_view>

namespace agentmesh::tmux {

constexpr std::size_t kMaxDesktopText = 200;  // characters of title and of text: a notification is a glance

struct Terminal {
  bool utf8 = false;
  std::string name;  // TERM
  std::string type;  // what it answers when it is asked for its version; may be empty
};

// Empty: this terminal shows none and may print what it does not know. Nothing of title and text steers the
// terminal: no control character is left, and one that is not UTF-8 gets ASCII alone, because there the
// second byte of a letter may be a control character.
std::string desktop_sequence(const Terminal& terminal, std::string_view title, std::string_view text);

}  // namespace agentmesh::tmux
