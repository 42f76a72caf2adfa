#include "daemon/answering.h"

#include "base/pause.h"
#include "base/text.h"
#include "daemon/same_prompt.h"

#include <fmt/format.h>

namespace agentmesh::daemon {
namespace {

namespace asio = boost::asio;
namespace wd = agentmesh::watchdog;

constexpr Millis kTaken{5'000};  // from the last key to a prompt that is gone: a title comes within 1.5 s
constexpr Millis kStill{100};    // between two pictures that must be alike before a key is pressed
constexpr int kLooks = 10;
constexpr Millis kNamed{
    1'000};  // a status file says that something is asked; the hook that knows what comes soon

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

// The one that the answer is for, once its name is known where its runner gives it one.
Task<OpenPrompt> Answering::open_prompt(AgentName agent, const Answer& asked) {
  const auto find = [&] { return parts_.supervisor.find(agent.str()); };
  const auto nameless = [&] {
    const Entry* entry = find();
    const auto adapter =
        entry == nullptr ? nullptr : agents::find_adapter(entry->spec.runner).value_or(nullptr);
    return asks(entry) && entry->prompt.id.empty() && adapter != nullptr && adapter->facts().own_answer;
  };
  if (nameless()) co_await parts_.supervisor.until(kNamed, [&] { return !nameless(); });
  const Entry* entry = find();
  if (!asks(entry)) co_return not_asked(agent);
  const OpenPrompt& open = entry->prompt;
  if (asked.prompt.value_or(open.id) == open.id && asked.detail.value_or(open.detail) == open.detail)
    co_return open;
  co_return fail(
      ErrorCode::conflict, "permission",
      fmt::format("the prompt '{}' is not open", asked.prompt->empty() ? *asked.detail : *asked.prompt),
      fmt::format("agentmesh explain {}", agent.str()));
}

Task<OpenPrompt> Answering::answer(AgentName agent, Answer asked) {
  const auto open = co_await open_prompt(agent, asked);
  if (!open) co_return pass(open.error());
  Entry* entry = parts_.supervisor.find(agent.str());
  const bool allows = asked.verdict != agents::PermissionAnswer::deny;
  if (allows && asked.if_cut == IfCut::refuse && is_cut(open->detail)) {
    co_return fail(
        ErrorCode::denied, "permission", "what is asked is too long to be shown whole",
        fmt::format("read it in its terminal: agentmesh attach {0}; then: agentmesh approve {0} --yes",
                    agent.str()));
  }
  const std::uint64_t prompts = entry->prompts;
  auto done = co_await entry->link->answer(open->id, asked.verdict, asked.reason);
  if (!done && done.error().code == ErrorCode::invalid)
    done = co_await by_keys(agent, asked.verdict, prompts);
  if (!done) co_return pass(done.error());
  parts_.events.add(agent.str(), allows ? "approved" : "denied",
                    asked.reason.empty() ? shown(*open) : fmt::format("{}: {}", shown(*open), asked.reason));
  co_return *open;
}

// What the pane shows when it does not change: two readings in a row that are alike. Errors: conflict,
// Tmux's.
Task<agents::ScreenReading> Answering::still_screen(AgentName agent, tmux::PaneId pane) {
  std::optional<agents::ScreenReading> before;
  for (int look = 0; look < kLooks; ++look) {
    const auto picture = co_await parts_.tmux.capture(pane, 0, tmux::Rendering::colour);
    if (!picture) co_return pass(picture.error());
    const Entry* entry = parts_.supervisor.find(agent.str());
    if (!asks(entry)) co_return not_asked(agent);
    auto reading = reading_of(*entry, *picture);
    if (before == reading) co_return reading;
    before = std::move(reading);
    co_await pause(kStill);
  }
  co_return fail(ErrorCode::conflict, "permission", "the screen does not stand still");
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
    const auto reading = co_await still_screen(agent, id);
    if (!reading) co_return describe(reading.error());
    Entry* now = parts_.supervisor.find(agent.str());
    if (!asks(now) || now->prompts != prompts) co_return "the prompt is gone";
    if (reading->meaning != agents::ScreenMeaning::permission)
      co_return "the screen does not show the prompt";
    // A status file that names no prompt has no words of it.
    const bool worded = !now->prompt.id.empty() || now->prompt.source != "status";
    const bool both = worded && !now->prompt.detail.empty() && !reading->detail.empty();
    if (both && !same_prompt(now->prompt.detail, reading->detail))
      co_return fmt::format("the screen shows another prompt: {}", reading->detail);
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
