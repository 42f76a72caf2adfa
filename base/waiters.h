#pragma once
// Coroutines of one thread that wait for a change. Who is woken looks by itself whether it is the change it
// waits for, and else waits again; a wake that nobody waits for is not remembered. A wait may outlive the
// Waiters it began with.

#include <chrono>
#include <list>
#include <memory>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

namespace agentmesh {

class Waiters {
 public:
  // Until the next wake().
  boost::asio::awaitable<void> wait();
  // The same, at most until the limit.
  boost::asio::awaitable<void> wait_until(std::chrono::steady_clock::time_point limit);
  // All who wait now go on, after the caller.
  void wake();

 private:
  using Waiting = std::list<boost::asio::steady_timer*>;
  std::shared_ptr<Waiting> waiting_ = std::make_shared<Waiting>();
};

}  // namespace agentmesh
