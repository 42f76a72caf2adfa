#pragma once
// What the container engine says of itself, for `status`: asked anew each time, but an engine that hangs
// never holds the command line. One question is under way at a time; who asks meanwhile waits for its answer
// a little, and gets what was said last. Owned by the control socket; it asks through a function, and stores
// nothing else.

#include "base/clock.h"
#include "sandbox/engine.h"

#include <functional>
#include <memory>
#include <optional>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

namespace agentmesh::daemon {

struct EngineFacts {
  std::optional<sandbox::EngineVersion> version;  // none: it cannot be reached, or hangs
  std::optional<sandbox::EngineInfo> info;
};

// Version and info by two calls.
boost::asio::awaitable<EngineFacts> facts_of(sandbox::Engine& engine);

struct Patience {
  Millis first{
      1'000};        // as long as nothing is known yet; and an answer that takes longer makes the engine hung
  Millis later{40};  // with what was said last at hand. The command line's promise is 100 ms
};

class EngineInquiry {
 public:
  using Ask = std::function<boost::asio::awaitable<EngineFacts>()>;
  EngineInquiry(boost::asio::io_context& io, Ask ask, Patience patience);

  // Asks ahead, so that the first who wants to know finds an answer.
  void begin();
  // The newest answer, within Patience. Empty facts: no answer, or it hangs.
  boost::asio::awaitable<EngineFacts> facts();

 private:
  struct State;

  boost::asio::io_context& io_;
  Ask ask_;
  Patience patience_;
  std::shared_ptr<State> state_;
};

}  // namespace agentmesh::daemon
