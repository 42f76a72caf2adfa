#pragma once
// Starts a coroutine that nobody awaits. What escapes from it is logged under its stage: a defect is never
// swallowed. A flag that must not outlive a coroutine is put back by a Finally in its frame, which may be
// destroyed after everything it refers to: hence the Finally holds a weak pointer to its owner's life.

#include "base/log.h"

#include <exception>
#include <memory>
#include <string>
#include <utility>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>

namespace agentmesh {

// Nothing when nothing escaped.
inline void log_escaped(std::string_view stage, const std::exception_ptr& escaped) {
  if (!escaped) return;
  try {
    std::rethrow_exception(escaped);
  } catch (const std::exception& problem) {
    log_error(stage, "an unexpected exception: {}", problem.what());
  } catch (...) {
    log_error(stage, "an unexpected exception");
  }
}

template <class Executor>
void spawn_logged(Executor& executor, std::string stage, boost::asio::awaitable<void> conversation) {
  boost::asio::co_spawn(
      executor, std::move(conversation),
      [stage = std::move(stage)](const std::exception_ptr& escaped) { log_escaped(stage, escaped); });
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
