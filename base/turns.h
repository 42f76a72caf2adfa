#pragma once
// One at a time for each key: who takes a turn that is taken waits, in the order of the calls; a turn ends
// with its object. For coroutines of one thread. A turn may outlive the Turns it was taken from.

#include <deque>
#include <map>
#include <memory>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace agentmesh {

template <class Key>
class Turns {
  using Line = std::deque<std::shared_ptr<boost::asio::steady_timer>>;  // of those who wait
  using Lines = std::map<Key, Line>;  // a line exists while somebody has the turn

 public:
  class [[nodiscard]] Turn {
   public:
    Turn(std::shared_ptr<Lines> lines, Key key) : lines_(std::move(lines)), key_(std::move(key)) {}
    Turn(Turn&& other) noexcept = default;
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (!lines_) return;
      const auto line = lines_->find(key_);
      if (line->second.empty()) {
        lines_->erase(line);
      } else {
        line->second.front()->cancel();
        line->second.pop_front();
      }
    }

   private:
    std::shared_ptr<Lines> lines_;
    Key key_;
  };

  explicit Turns(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}

  boost::asio::awaitable<Turn> take(Key key) {
    const auto lines = lines_;
    const auto [line, free] = lines->try_emplace(key);
    if (!free) {
      const auto called = std::make_shared<boost::asio::steady_timer>(
          executor_, boost::asio::steady_timer::time_point::max());
      line->second.push_back(called);
      boost::system::error_code cancelled;
      co_await called->async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, cancelled));
    }
    co_return Turn(lines, std::move(key));
  }

 private:
  boost::asio::any_io_executor executor_;
  std::shared_ptr<Lines> lines_ = std::make_shared<Lines>();
};

}  // namespace agentmesh
