#include "daemon/kill.h"

#include "base/log.h"
#include "base/spawn_logged.h"

#include <memory>
#include <signal.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace agentmesh::daemon {
namespace {

namespace asio = boost::asio;

Task<> killed(sandbox::Engine& engine, std::string id) {
  auto done = co_await engine.kill(std::move(id), SIGKILL);
  const bool ended = !done && done.error().code == ErrorCode::conflict;  // it does not run: that was the aim
  if (ended) co_return Result<void>{};
  co_return done;
}

// A container that has ended meanwhile may refuse it: what counts is how the kill ends.
asio::awaitable<void> lift(sandbox::Engine& engine, std::string id) {
  log_info("engine", "{} does not end: it is given all processors", id);
  if (const auto done = co_await engine.lift_cpu_limit(id); !done) {
    log_info("engine", "its processor limit stays: {}", describe(done.error()));
  }
}

asio::awaitable<void> lift_later(sandbox::Engine& engine, std::string id,
                                 std::shared_ptr<asio::steady_timer> patience) {
  boost::system::error_code cancelled;
  co_await patience->async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
  if (!cancelled) co_await lift(engine, std::move(id));
}

}  // namespace

Task<> kill_container(sandbox::Engine& engine, std::string id, Millis patience) {
  const auto executor = co_await asio::this_coro::executor;
  const auto late = std::make_shared<asio::steady_timer>(executor, patience);
  spawn_logged(executor, "kill", lift_later(engine, id, late));
  auto done = co_await killed(engine, id);
  late->cancel();
  // Another error than the engine's own would meet the next request too.
  if (done || done.error().code != ErrorCode::internal) co_return done;
  co_await lift(engine, id);
  co_return co_await killed(engine, std::move(id));
}

}  // namespace agentmesh::daemon
