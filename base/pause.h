#pragma once
// Lets time pass in a coroutine; one that is ended meanwhile ends here.

#include "base/clock.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace agentmesh {

inline boost::asio::awaitable<void> pause(Millis time) {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, time);
  co_await timer.async_wait(boost::asio::use_awaitable);
}

}  // namespace agentmesh
