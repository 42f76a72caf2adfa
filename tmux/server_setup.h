#pragma once
// How our private tmux server is started and what it is set to: one table, read top to bottom. Pure, but for
// write_to_terminal().

#include "base/process.h"
#include "tmux/control_link.h"
#include "tmux/control_tmux.h"

#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::tmux {

constexpr std::string_view kSubscription = "agentmesh";  // the name of our subscription

// The control client; it starts the server when none runs. The server's environment is what every pane starts
// from, so it is small and holds no secret: paths, language and the user's name.
// Errors: invalid (a bad socket name), unavailable (no such program).
Result<ClientProcess> client_process(const TmuxOptions& options);
// It does nothing to a server of another owner.
Command kill_command(const TmuxOptions& options);
// The commands every new connection sends, each idempotent.
std::vector<std::vector<std::string>> server_setup();
// Straight to the terminal of a person, past tmux: a bell or a whole sequence in one write. Nothing when it
// cannot be written at once.
void write_to_terminal(const std::string& terminal, std::string_view bytes);

}  // namespace agentmesh::tmux
