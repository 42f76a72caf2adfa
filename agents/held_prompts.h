#pragma once
// The prompts that a program's hooks told of, oldest first: the program shows them one after the other, so
// the first open one is the one that is shown and answered. A hook that waits has a socket of its own in the
// run folder; an answer goes there, with the prompt's id, so that no other prompt can be meant. The agent
// writes in that folder what it likes: nothing there is trusted, no link is followed.

#include "agents/sign_fold.h"
#include "base/result.h"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::agents {

constexpr std::size_t kMaxHeldPrompts = 16;  // further ones are held when their hooks tell them again

// The program asks a person for something.
inline bool is_prompt(SignalKind kind) {
  return kind == SignalKind::permission_asked || kind == SignalKind::question_asked;
}

struct HeldPrompt {
  enum class Stage {
    open,
    sent,   // its hook was sent an answer
    taken,  // ... and said that it has it: the call it allowed may run still
  };
  std::string id = {};
  Sense sense = Sense::permission;  // or question
  std::string detail = {};
  std::string call = {};    // the tool call it asks for, as the hook command names it
  std::string use = {};     // the same as the program names it; mostly it does not
  std::string socket = {};  // of the hook that waits, a name in the run folder; empty: none waits
  Stage stage = Stage::open;
};

class HeldPrompts {
 public:
  // A prompt that is known already only gets its hook's socket anew. One whose hook does not wait is gone
  // when the next is told: its program tells each when it shows it.
  void hold(HeldPrompt prompt);
  // The first that has not been answered: what the program shows now; nullptr: none is known.
  const HeldPrompt* front() const;
  const HeldPrompt* front(Sense sense) const;
  HeldPrompt* find(std::string_view id);
  std::size_t open() const;  // how many have not been answered
  // Takes them away. The caller releases the hooks that wait.
  std::vector<HeldPrompt> take_call(std::string_view call, std::string_view use);  // one: it was run
  std::vector<HeldPrompt> take_id(std::string_view id);
  std::vector<HeldPrompt> take_all();

 private:
  std::vector<HeldPrompt> prompts_;
};

// A hook waits for an answer to it.
bool hook_waits(const std::filesystem::path& run_dir, const HeldPrompt& prompt);

// Sends {"id", "output"} to a waiting hook; without an output it only ends. Never blocks. Errors: not_found
// (it waits no longer), denied (no socket, or a link), unavailable (it does not read).
Result<> answer_hook(const std::filesystem::path& run_dir, const HeldPrompt& prompt, std::string_view output);

}  // namespace agentmesh::agents
