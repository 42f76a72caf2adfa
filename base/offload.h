#pragma once
// Work that blocks (walking folders, hashing, copying) on a few threads of its own, so that the loop goes on.
// The one place where the program has threads; what runs there shares nothing with the loop: it takes its
// input by value and gives its output back as the value of the coroutine, on the loop. The threads are made
// with the first work. The destructor waits for what runs.

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace agentmesh {

class Offload {
 public:
  Offload();
  ~Offload();
  Offload(const Offload&) = delete;
  Offload& operator=(const Offload&) = delete;

  // Runs `work` there. An exception of it is thrown here.
  template <std::invocable Work>
  boost::asio::awaitable<std::invoke_result_t<Work>> run(Work work) {
    co_return co_await boost::asio::co_spawn(
        executor(),
        [work = std::move(work)]() mutable -> boost::asio::awaitable<std::invoke_result_t<Work>> {
          co_return work();
        },
        boost::asio::use_awaitable);
  }

 private:
  struct Pool;
  boost::asio::any_io_executor executor();
  std::unique_ptr<Pool> pool_;
};

}  // namespace agentmesh
