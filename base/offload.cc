#include "base/offload.h"

#include <boost/asio/thread_pool.hpp>

namespace agentmesh {
namespace {

constexpr std::size_t kThreads = 2;  // one long walk does not hold the next

}  // namespace

struct Offload::Pool {
  boost::asio::thread_pool threads{kThreads};
};

Offload::Offload() = default;

Offload::~Offload() {
  if (pool_) pool_->threads.join();
}

boost::asio::any_io_executor Offload::executor() {
  if (!pool_) pool_ = std::make_unique<Pool>();
  return pool_->threads.get_executor();
}

}  // namespace agentmesh
