#pragma once
// How the coroutines of a Link run: their owner lives as long as they do, and ends them. Internal to agents/.

#include <memory>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>

namespace agentmesh::agents {

// Starts `work` and keeps `owner` until it has ended. It is ended early by emitting `stop`, which `owner`
// holds.
void run_for(std::shared_ptr<void> owner, const boost::asio::any_io_executor& executor,
             boost::asio::awaitable<void> work, boost::asio::cancellation_signal& stop);

}  // namespace agentmesh::agents
