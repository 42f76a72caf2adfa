#pragma once
// Starts a coroutine that nobody awaits: the one way to do it. What escapes from it is logged under its
// stage, and the process goes on: a defect is never swallowed. Who waits for its value gets that defect as an
// Error. A flag that must not outlive a coroutine is put back by a Finally in its frame, which may be
// destroyed after everything it refers to: hence the Finally holds a weak pointer to its owner's life.

#include "base/log.h"
#include "base/result.h"

#include <exception>
#include <memory>
#include <string>
#include <utility>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>

namespace agentmesh {

// Logs it and says it as a value: internal. An end that was asked for, by cancelling, is no defect: it is
// unavailable, and not logged.
inline Error log_escaped(const std::string& stage, const std::exception_ptr& escaped) {
  Error error{ErrorCode::internal, stage, "an unexpected exception", ""};
  try {
    std::rethrow_exception(escaped);
  } catch (const boost::system::system_error& problem) {
    if (problem.code() == boost::asio::error::operation_aborted)
      return {ErrorCode::unavailable, stage, "ended early", ""};
    error.what += std::string(": ") + problem.what();
  } catch (const std::exception& problem) {
    error.what += std::string(": ") + problem.what();
  } catch (...) {
  }
  log_error(error);
  return error;
}

template <class T>
struct OutcomeOf {
  using type = Result<T>;
};
template <class T>
struct OutcomeOf<Result<T>> {
  using type = Result<T>;
};

// The completion handler that spawn_logged gives to co_spawn; by itself only to bind a cancellation slot to
// it. `then` is called once, with a Result of what the coroutine ends in.
template <class Then>
class Logged {
 public:
  Logged(std::string stage, Then then) : stage_(std::move(stage)), then_(std::move(then)) {}

  void operator()(const std::exception_ptr& escaped) {
    Result<> outcome;
    if (escaped) outcome = pass(log_escaped(stage_, escaped));
    then_(std::move(outcome));
  }
  template <class T>
  void operator()(const std::exception_ptr& escaped, T value) {
    using Outcome = typename OutcomeOf<T>::type;
    if (escaped) {
      then_(Outcome(pass(log_escaped(stage_, escaped))));
    } else {
      then_(Outcome(std::move(value)));
    }
  }

 private:
  std::string stage_;
  Then then_;
};

inline auto logged(std::string stage) {
  return Logged(std::move(stage), [](const Result<>&) {});
}

// `conversation` is an awaitable, or a function that makes one and lives as long.
template <class Executor, class Conversation, class Then>
void spawn_logged(Executor&& executor, std::string stage, Conversation conversation, Then then) {
  boost::asio::co_spawn(executor, std::move(conversation), Logged(std::move(stage), std::move(then)));
}

// Of a coroutine without a value.
template <class Executor, class Conversation>
void spawn_logged(Executor&& executor, std::string stage, Conversation conversation) {
  boost::asio::co_spawn(executor, std::move(conversation), logged(std::move(stage)));
}

// Runs `last` when it goes out of scope, unless its owner is gone by then.
template <class Last>
class [[nodiscard]] Finally {
 public:
  Finally(std::weak_ptr<int> owner, Last last) : owner_(std::move(owner)), last_(std::move(last)) {}
  Finally(const Finally&) = delete;
  Finally& operator=(const Finally&) = delete;
  ~Finally() {
    if (!owner_.expired()) last_();
  }

 private:
  std::weak_ptr<int> owner_;
  Last last_;
};

}  // namespace agentmesh
