#pragma once
// Runs one conversation to its end on an io_context, for tests.

#include "base/task.h"

#include <optional>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace agentmesh::test {

// The io_context stops when the task ends; what else is pending stays pending.
template <class T>
Result<T> run_task(boost::asio::io_context& io, Task<T> task) {
  std::optional<Result<T>> out;
  boost::asio::co_spawn(io, std::move(task), [&](std::exception_ptr error, Result<T> result) {
    if (error) std::rethrow_exception(error);
    out = std::move(result);
    io.stop();
  });
  io.restart();
  io.run();
  if (!out) return fail(ErrorCode::internal, "test", "the loop ran dry before the task ended");
  return std::move(*out);
}

}  // namespace agentmesh::test
