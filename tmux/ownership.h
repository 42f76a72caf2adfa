#pragma once
// Whose a tmux server is. Two homes that name the same socket would type into each other's agents and end
// each other's panes, so a server carries its owner in an option, and one that is in use is refused to
// everybody else. ControlTmux asks at every ensure().

#include "base/task.h"
#include "tmux/control_link.h"
#include "tmux/control_tmux.h"

#include <memory>
#include <string>

namespace agentmesh::tmux {

// A home's folder as it is written on the server: resolved, and of letters, digits and "._/-", every other
// byte as "?".
std::string owner_mark(const std::string& folder);

// Makes the server options.owner's: when it is nobody's, or another's that has no agent's session on it, or
// whose folder is gone. Nobody's is also one that was set up by a version that marked no panes: the only pane
// of a session is ours then, and is marked. Errors: unavailable (it is another's), those of ask().
Task<> claim_server(std::shared_ptr<ControlLink> link, TmuxOptions options, std::string owner);

}  // namespace agentmesh::tmux
