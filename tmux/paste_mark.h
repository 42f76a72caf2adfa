#pragma once
// How a pane's relay tells tmux that the program has asked for bracketed pastes (ESC[?2004h), which tmux
// before 3.7 does not say itself. The mark is the pane's path (OSC 7): tmux reads it in order with what the
// program writes, so what it says of the pane is true at the moment in which it pastes. It names the relay,
// because a pane keeps the path of the one before. An agent that forges it is typed into as if there were no
// mark.

#include <string>
#include <string_view>
#include <sys/types.h>

namespace agentmesh::tmux {

// A format of tmux: 1 when the pane's program has asked for bracketed pastes.
constexpr std::string_view kBracketsPastes = "#{==:#{pane_path},agentmesh-brackets-pastes-#{pane_pid}}";

enum class Brackets { off, on };
// What is written to the pane right behind the sequence that switched them.
inline std::string paste_mark(Brackets brackets, pid_t relay) {
  const std::string path =
      brackets == Brackets::on ? "agentmesh-brackets-pastes-" + std::to_string(relay) : "";
  return "\x1b]7;" + path + "\a";
}

}  // namespace agentmesh::tmux
