#pragma once
// The prompts that a program's hooks told of and that are not answered yet, oldest first: the program shows
// them one after the other. A hook that waits has a socket of its own in the run folder; an answer goes
// there, with the prompt's id, so that no other prompt can be meant. The agent writes in that folder what it
// likes: nothing there is trusted, no link is followed.

#include "base/result.h"

#include <deque>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::agents {

constexpr std::size_t kMaxHeldPrompts = 16;  // the oldest is forgotten first

struct HeldPrompt {
  std::string id = {};
  std::string detail = {};
  std::string call = {};    // the tool call it asks for, as the hook command names it
  std::string socket = {};  // of the hook that waits, a name in the run folder; empty: none waits
};

class HeldPrompts {
 public:
  // A prompt that is known already only gets its hook's socket anew.
  void hold(HeldPrompt prompt);
  bool knows(std::string_view id) const;
  // The one that the program shows now; nullptr: none is known.
  const HeldPrompt* front() const { return prompts_.empty() ? nullptr : &prompts_.front(); }
  // Takes them away. The caller releases the hooks that wait.
  std::vector<HeldPrompt> take_call(std::string_view call);
  std::vector<HeldPrompt> take_id(std::string_view id);
  std::vector<HeldPrompt> take_all();

 private:
  std::deque<HeldPrompt> prompts_;
};

// Sends {"id", "output"} to a waiting hook; without an output it only ends. Never blocks. Errors: not_found
// (it waits no longer), denied (no socket, or a link), unavailable (it does not read).
Result<> answer_hook(const std::filesystem::path& run_dir, const HeldPrompt& prompt, std::string_view output);

}  // namespace agentmesh::agents
