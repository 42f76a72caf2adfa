#pragma once
// Whether a screen shows the prompt that was told, asked before a key is pressed for it. Pure. It rather says
// no than guesses: a person can always answer in the terminal.

#include <string_view>

namespace agentmesh::daemon {

// `told` is "KIND: SUBJECT" as the runner's hook gave it, or the subject alone; `on_screen` is the detail of
// a reading of the screen. They agree when the subject is the same to the character, but for blanks, the
// breaks of lines and frames:
// - a command is all that is shown, besides the kind before it and what Gemini CLI writes behind it;
// - a file's path is shown whole or from one of its folders on, with "..." for folders left out;
// - of anything else the whole text is shown, behind words alone.
// What is shown may be shorter where that is seen: an ellipsis, or the end of the command's first line; what
// was told where its own mark says so. An empty text agrees with nothing.
bool same_prompt(std::string_view told, std::string_view on_screen);

}  // namespace agentmesh::daemon
