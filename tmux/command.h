#pragma once
// tmux commands as lines of control mode. Every word is quoted, so that nothing in it is expanded: no $HOME,
// no
// ~, no ;, no second command. Pure.

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::tmux {

// One word of a command, in double quotes, with octal escapes. NUL, which tmux cannot hold, is left out.
std::string quote(std::string_view word);
// A whole command, without its newline.
std::string command_line(const std::vector<std::string>& words);
// Text that stands for itself where tmux expands formats (#{...}).
std::string escape_format(std::string_view text);
// The same where the time is put in too (display-message): "%" stays as it is.
std::string escape_timed_format(std::string_view text);
// argv as tmux's trailing arguments: more than one word is run as it is; a single one would go to a shell, so
// it becomes a quoted exec.
std::vector<std::string> pane_command(std::vector<std::string> argv);

}  // namespace agentmesh::tmux
