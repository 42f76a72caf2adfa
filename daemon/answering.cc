#include "daemon/answering.h"

#include <fmt/format.h>

namespace agentmesh::daemon {
namespace {

namespace asio = boost::asio;
namespace wd = agentmesh::watchdog;

constexpr Millis kTaken{5'000};  // from the last key to a prompt that is gone: a title comes within 1.5 s

std::unexpected<Error> not_asked(const AgentName& agent) {
  return fail(ErrorCode::conflict, "permission", fmt::format("{} does not ask for permission", agent.str()),
              fmt::format("agentmesh explain {}", agent.str()));
}

bool asks(const Entry* entry) {
  return entry != nullptr && entry->link && entry->agent.phase == wd::Phase::up &&
         entry->agent.live.condition == wd::Condition::waiting_permission;
}

std::vector<std::string> keys_for(const Entry& entry, agents::PermissionAnswer verdict) {
  const auto adapter = agents::find_adapter(entry.spec.runner);
  if (!adapter) return {};
  const agents::RunnerFacts& facts = (*adapter)->facts();
  const auto keys = verdict == agents::PermissionAnswer::deny ? facts.deny_keys : facts.allow_keys;
  return {keys.begin(), keys.end()};
}

}  // namespace

Task<> Answering::answer(AgentName agent, agents::PermissionAnswer verdict, std::string reason,
                         std::optional<std::string> prompt) {
  Entry* entry = parts_.supervisor.find(agent.str());
  if (!asks(entry)) co_return not_asked(agent);
  if (prompt && *prompt != entry->prompt) {
    co_return fail(ErrorCode::conflict, "permission", fmt::format("the prompt '{}' is not open", *prompt),
                   fmt::format("agentmesh explain {}", agent.str()));
  }
  const std::uint64_t prompts = entry->prompts;
  auto done = co_await entry->link->answer(verdict, reason);
  if (!done && done.error().code == ErrorCode::invalid) done = co_await by_keys(agent, verdict, prompts);
  if (!done) co_return pass(done.error());
  parts_.events.add(agent.str(), verdict == agents::PermissionAnswer::deny ? "denied" : "approved", reason);
  co_return Result<>{};
}

Task<> Answering::by_keys(AgentName agent, agents::PermissionAnswer verdict, std::uint64_t prompts) {
  const Entry* entry = parts_.supervisor.find(agent.str());
  if (!asks(entry)) co_return not_asked(agent);
  const auto keys = keys_for(*entry, verdict);
  const auto pane = parts_.panes.pane_of(agent);
  if (keys.empty() || !pane || pane->dead) {
    co_return fail(ErrorCode::invalid, "permission",
                   fmt::format("{} takes no answer from here", entry->spec.runner),
                   fmt::format("answer in its terminal: agentmesh attach {}", agent.str()));
  }
  // Asked under the pane's lock, right before the first key.
  const auto shows_prompt = [this, agent, prompts,
                             id = pane->id]() -> asio::awaitable<std::optional<std::string>> {
    const auto picture = co_await parts_.tmux.capture(id, 0, tmux::Rendering::colour);
    if (!picture) co_return describe(picture.error());
    Entry* now = parts_.supervisor.find(agent.str());
    if (!asks(now) || now->prompts != prompts) co_return "the prompt is gone";
    if (reading_of(*now, *picture).meaning != agents::ScreenMeaning::permission)
      co_return "the screen does not show the prompt";
    now->typed_at = parts_.clock.now();
    co_return std::nullopt;
  };
  if (auto pressed = co_await parts_.deliverer.press(pane->id, keys, shows_prompt); !pressed) {
    co_return pass(pressed.error());
  }
  const bool taken = co_await parts_.supervisor.until(kTaken, [this, agent, prompts] {
    const Entry* now = parts_.supervisor.find(agent.str());
    return now == nullptr || now->prompts != prompts;
  });
  if (taken) co_return Result<>{};
  co_return fail(ErrorCode::timeout, "permission", "the keys were pressed, and the prompt is still open",
                 fmt::format("agentmesh attach {}", agent.str()));
}

}  // namespace agentmesh::daemon
