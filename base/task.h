#pragma once
// A conversation with the outside world: a coroutine that ends in a value or an Error. One thread runs them
// all, so there is no lock. What must survive kill -9 is never a Task: it is a persisted state (watchdog/).

#include "base/result.h"

#include <boost/asio/awaitable.hpp>

namespace agentmesh {

template <class T = void>
using Task = boost::asio::awaitable<Result<T>>;

}  // namespace agentmesh
