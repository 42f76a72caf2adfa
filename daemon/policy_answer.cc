#include "daemon/policy_answer.h"

#include "base/backoff.h"
#include "base/log.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace agentmesh::daemon {
namespace {

namespace wd = agentmesh::watchdog;

Answer answer_of(const wd::Answer& asked) {
  const bool allow = asked.verdict == wd::Verdict::allow;
  return {.verdict = allow ? agents::PermissionAnswer::allow_once : agents::PermissionAnswer::deny,
          .reason = "the policy on_permission",
          .prompt = asked.prompt,
          .detail = asked.detail,
          .if_cut = IfCut::answer};
}

}  // namespace

bool may_pass(ErrorCode code) {
  constexpr std::array kPassing{ErrorCode::unavailable, ErrorCode::timeout, ErrorCode::conflict,
                                ErrorCode::not_found};
  return std::ranges::find(kPassing, code) != kPassing.end();
}

boost::asio::awaitable<void> PolicyAnswer::run(AgentName agent, wd::Answer asked) {
  const std::uint64_t number = ++newest_[agent.str()];
  Backoff waits(times_.first_wait, times_.most_wait);
  bool told = false;
  for (int tries = 1; is_open(agent, asked, number); ++tries) {
    const auto done = co_await parts_.answer(agent, answer_of(asked));
    if (done || !is_open(agent, asked, number)) co_return;
    log_error(done.error());
    const bool again = may_pass(done.error().code);
    if (!told && (!again || tries > 1)) {
      tell(agent, asked, done.error());
      told = true;
    }
    if (!again) co_return;
    co_await parts_.supervisor.until(waits.next(), [&] { return !is_open(agent, asked, number); });
  }
}

bool PolicyAnswer::is_open(const AgentName& agent, const wd::Answer& asked, std::uint64_t number) const {
  const auto newest = newest_.find(agent.str());
  const Entry* entry = parts_.supervisor.find(agent.str());
  return !stopped_ && newest != newest_.end() && newest->second == number && entry != nullptr &&
         entry->agent.run == asked.run && entry->agent.phase == wd::Phase::up &&
         entry->agent.live.condition == wd::Condition::waiting_permission &&
         entry->prompt.id == asked.prompt && entry->prompt.detail == asked.detail;
}

void PolicyAnswer::tell(const AgentName& agent, const wd::Answer& asked, const Error& why) {
  const std::string what = shown({.id = asked.prompt, .detail = asked.detail});
  parts_.events.add(agent.str(), "answer_failed",
                    fmt::format("{}: the policy on_permission: {}", what, describe(why)));
  parts_.notifier.tell(
      "permission", agent.str(),
      fmt::format("{}; the policy on_permission could not answer it: {}", what, describe(why)));
}

}  // namespace agentmesh::daemon
