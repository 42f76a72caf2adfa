#pragma once
// Answers an open permission prompt: through the runner's own channel where it has one, else by the keys that
// the runner understands, pressed only while its screen shows the prompt, under the pane's lock. An answer is
// for one prompt: one that came in its place meanwhile is not answered. It says so when it is not known
// whether the answer was taken.

#include "daemon/panes.h"
#include "daemon/supervisor.h"
#include "tmux/delivery.h"

#include <optional>
#include <string>

namespace agentmesh::daemon {

struct AnsweringParts {
  Supervisor& supervisor;
  EventLog& events;
  tmux::Tmux& tmux;
  tmux::Deliverer& deliverer;
  Panes& panes;
  const Clock& clock;
};

class Answering {
 public:
  explicit Answering(AnsweringParts parts) : parts_(parts) {}

  // `prompt` is the id that `explain` shows; none: the one that is open. Errors: conflict (nothing is asked,
  // another prompt is open, or the screen does not show it), invalid (this runner takes no answer from here),
  // timeout (answered, and the prompt is still open), those of Link::answer and Tmux.
  Task<> answer(AgentName agent, agents::PermissionAnswer verdict, std::string reason,
                std::optional<std::string> prompt);

 private:
  Task<> by_keys(AgentName agent, agents::PermissionAnswer verdict, std::uint64_t prompts);

  AnsweringParts parts_;
};

}  // namespace agentmesh::daemon
