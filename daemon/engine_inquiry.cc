#include "daemon/engine_inquiry.h"

#include "base/spawn_logged.h"
#include "base/waiters.h"

#include <chrono>

namespace agentmesh::daemon {
namespace {

namespace asio = boost::asio;
using Steady = std::chrono::steady_clock;

}  // namespace

// Shared with the question under way, whose answer may come after the inquiry's end.
struct EngineInquiry::State {
  std::optional<EngineFacts> last;
  std::optional<Steady::time_point> asked;  // the question under way
  Waiters waiting;
};

asio::awaitable<EngineFacts> facts_of(sandbox::Engine& engine) {
  EngineFacts facts;
  auto version = co_await engine.version();
  if (!version) co_return facts;
  facts.version = std::move(*version);
  if (auto info = co_await engine.info()) facts.info = std::move(*info);
  co_return facts;
}

EngineInquiry::EngineInquiry(asio::io_context& io, Ask ask, Patience patience)
    : io_(io), ask_(std::move(ask)), patience_(patience), state_(std::make_shared<State>()) {}

void EngineInquiry::begin() {
  if (state_->asked) return;
  state_->asked = Steady::now();
  spawn_logged(io_, "engine", ask_(), [state = state_](Result<EngineFacts> facts) {
    state->last = facts ? std::move(*facts) : EngineFacts{};
    state->asked.reset();
    state->waiting.wake();
  });
}

asio::awaitable<EngineFacts> EngineInquiry::facts() {
  const auto state = state_;
  begin();
  const auto asked = *state->asked;
  const auto limit = state->last ? Steady::now() + patience_.later : asked + patience_.first;
  const bool hung = Steady::now() - asked >= patience_.first;
  if (!hung) co_await state->waiting.wait_until(limit);
  const bool answered = state->asked != asked;
  if (answered || Steady::now() - asked < patience_.first) co_return state->last.value_or(EngineFacts{});
  co_return EngineFacts{};
}

}  // namespace agentmesh::daemon
