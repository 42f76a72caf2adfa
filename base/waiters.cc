#include "base/waiters.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace agentmesh {

namespace asio = boost::asio;

asio::awaitable<void> Waiters::wait() { return wait_until(asio::steady_timer::time_point::max()); }

asio::awaitable<void> Waiters::wait_until(std::chrono::steady_clock::time_point limit) {
  const auto waiting = waiting_;
  asio::steady_timer timer(co_await asio::this_coro::executor, limit);
  struct Place {
    Waiting& all;
    Waiting::iterator mine;
    ~Place() { all.erase(mine); }
  } const place{*waiting, waiting->insert(waiting->end(), &timer)};
  co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
}

void Waiters::wake() {
  for (asio::steady_timer* timer : *waiting_) timer->cancel();
}

}  // namespace agentmesh
