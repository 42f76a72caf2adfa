#pragma once
// Answers an open permission prompt: through the runner's own channel where it has one, else by the keys that
// the runner understands, pressed only while its screen shows the prompt, under the pane's lock. An answer is
// for one prompt, fixed before anything is done and named to whoever asked and in `events`: one that came in
// its place meanwhile is not answered. It says so when it is not known whether the answer was taken.

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

// What is told of a prompt may be too long to be shown whole.
enum class IfCut { refuse, answer };

struct Answer {
  agents::PermissionAnswer verdict = agents::PermissionAnswer::deny;
  std::string reason;
  // What it was decided for: the id that `explain` shows, and what is asked. None: whatever is open.
  std::optional<std::string> prompt = {};
  std::optional<std::string> detail = {};
  IfCut if_cut = IfCut::refuse;  // of allow; anything may be refused
};

class Answering {
 public:
  explicit Answering(AnsweringParts parts) : parts_(parts) {}

  // Gives the prompt that was answered. Errors: conflict (nothing is asked, another prompt is open, or the
  // screen does not show it), denied (it is not shown whole), invalid (this runner takes no answer from
  // here), timeout (answered, and the prompt is still open), those of Link::answer and Tmux.
  Task<OpenPrompt> answer(AgentName agent, Answer asked);

 private:
  Task<OpenPrompt> open_prompt(AgentName agent, const Answer& asked);
  Task<> by_keys(AgentName agent, agents::PermissionAnswer verdict, std::uint64_t prompts);
  Task<agents::ScreenReading> still_screen(AgentName agent, tmux::PaneId pane);

  AnsweringParts parts_;
};

}  // namespace agentmesh::daemon
