#pragma once
// Waiting in tests without sleeping: the loop runs until a condition holds or a limit has passed.

#include "base/clock.h"

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace agentmesh::test {

// True as soon as `condition` holds. It is looked at after every handler, at least every 2 ms.
template <class Condition>
bool eventually(boost::asio::io_context& io, Millis limit, Condition condition) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    if (io.stopped()) io.restart();
    io.run_one_for(std::chrono::milliseconds(2));
  }
  return true;
}

// Runs a coroutine to its end. Throws when it takes longer than `limit`, or throws what it threw.
template <class T>
T complete(boost::asio::io_context& io, boost::asio::awaitable<T> work, Millis limit) {
  struct Outcome {
    std::optional<T> value;
    std::exception_ptr problem;
  };
  const auto outcome = std::make_shared<Outcome>();
  boost::asio::co_spawn(io, std::move(work), [outcome](std::exception_ptr problem, T value) {
    outcome->problem = problem;
    outcome->value = std::move(value);
  });
  if (!eventually(io, limit, [&] { return outcome->value.has_value(); })) {
    throw std::runtime_error("the coroutine did not end within the limit");
  }
  if (outcome->problem) std::rethrow_exception(outcome->problem);
  return std::move(*outcome->value);
}

inline void complete(boost::asio::io_context& io, boost::asio::awaitable<void> work, Millis limit) {
  bool done = false;
  std::exception_ptr thrown;
  boost::asio::co_spawn(io, std::move(work), [&](std::exception_ptr problem) {
    thrown = problem;
    done = true;
  });
  if (!eventually(io, limit, [&] { return done; })) std::terminate();
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace agentmesh::test
