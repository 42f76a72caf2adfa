#pragma once
// How our private tmux server is started and what it is set to: one table, read top to bottom. Pure, but for
// ring().

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
Command kill_command(const TmuxOptions& options);
// The commands every new connection sends, each idempotent.
std::vector<std::vector<std::string>> server_setup();
// A bell on the terminal of a person; nothing when it cannot be written at once.
void ring(const std::string& terminal);

}  // namespace agentmesh::tmux
