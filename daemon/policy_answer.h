#pragma once
// Gives the answer of [watchdog] on_permission to a prompt. What hinders it may pass (the program is busy
// with an error, its screen moves): it is tried again with growing waits as long as the same prompt is open.
// That an answer cannot be given is told once for each prompt, so nobody waits for ever without a person's
// knowledge.

#include "daemon/answering.h"

#include <functional>
#include <map>
#include <string>

namespace agentmesh::daemon {

struct PolicyAnswerTimes {
  Millis first_wait{1'000};  // before the second try; doubles
  Millis most_wait{60'000};
};

struct PolicyAnswerParts {
  Supervisor& supervisor;
  EventLog& events;
  Notifier& notifier;
  std::function<Task<OpenPrompt>(AgentName, Answer)> answer;
};

// Whether another try may do what this one could not.
bool may_pass(ErrorCode code);

class PolicyAnswer {
 public:
  PolicyAnswer(PolicyAnswerParts parts, PolicyAnswerTimes times) : parts_(std::move(parts)), times_(times) {}

  // Ends when the prompt is answered or gone, when no try can help, when a newer prompt of the agent is to be
  // answered, and after stop(). A failure is told at once when it will not pass, else after a second one.
  boost::asio::awaitable<void> run(AgentName agent, watchdog::Answer asked);
  void stop() { stopped_ = true; }

 private:
  bool is_open(const AgentName& agent, const watchdog::Answer& asked, std::uint64_t number) const;
  void tell(const AgentName& agent, const watchdog::Answer& asked, const Error& why);

  PolicyAnswerParts parts_;
  PolicyAnswerTimes times_;
  std::map<std::string, std::uint64_t> newest_;  // of each agent, counts what it was asked to answer
  bool stopped_ = false;
};

}  // namespace agentmesh::daemon
