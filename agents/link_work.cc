#include "agents/link_work.h"

#include "base/spawn_logged.h"

#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>

namespace agentmesh::agents {

namespace asio = boost::asio;

void run_for(std::shared_ptr<void> owner, const asio::any_io_executor& executor, asio::awaitable<void> work,
             asio::cancellation_signal& stop) {
  asio::co_spawn(
      executor,
      [](std::shared_ptr<void> self, asio::awaitable<void> inner) -> asio::awaitable<void> {
        co_await std::move(inner);
        (void)self;
      }(std::move(owner), std::move(work)),
      asio::bind_cancellation_slot(stop.slot(), logged("link")));
}

}  // namespace agentmesh::agents
