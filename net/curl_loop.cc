#include "net/curl_loop.h"

#include "net/curl_library.h"

#include <utility>
#include <vector>

namespace agentmesh::net {

namespace asio = boost::asio;

namespace {

constexpr long kIdleConnections = 64;

class Depth {
 public:
  explicit Depth(int& depth) : depth_(depth) { ++depth_; }
  ~Depth() { --depth_; }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;

 private:
  int& depth_;
};

}  // namespace

// A socket of curl's: curl closes it, we only wait for it.
struct CurlLoop::Watch {
  explicit Watch(const asio::any_io_executor& executor) : descriptor(executor) {}
  ~Watch() { descriptor.release(); }
  asio::posix::stream_descriptor descriptor;
  int wanted = CURL_POLL_NONE;
  bool reading = false;
  bool writing = false;
  bool gone = false;
};

CurlLoop::CurlLoop(asio::any_io_executor executor, std::function<void(CURL*, int code)> finished)
    : executor_(std::move(executor)), timer_(executor_), finished_(std::move(finished)) {
  static const CURLcode global = curl().global_init(CURL_GLOBAL_DEFAULT);
  if (global != CURLE_OK) return;
  multi_ = curl().multi_init();
  curl().multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlLoop::on_socket);
  curl().multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl().multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlLoop::on_timer);
  curl().multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl().multi_setopt(multi_, CURLMOPT_MAXCONNECTS, kIdleConnections);
}

CurlLoop::~CurlLoop() {
  curl().multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, nullptr);
  if (multi_ != nullptr) curl().multi_cleanup(multi_);
}

bool CurlLoop::add(CURL* easy) {
  const Depth depth(depth_);
  return multi_ != nullptr && curl().multi_add_handle(multi_, easy) == CURLM_OK;
}

void CurlLoop::remove(CURL* easy) {
  const Depth depth(depth_);
  curl().multi_remove_handle(multi_, easy);
}

int CurlLoop::on_socket(CURL*, int socket, int what, void* self, void*) {
  auto* loop = static_cast<CurlLoop*>(self);
  if (what != CURL_POLL_REMOVE) return loop->watch(socket, what) ? 0 : -1;
  loop->unwatch(socket);
  return 0;
}

int CurlLoop::on_timer(CURLM*, long timeout_ms, void* self) {
  auto* loop = static_cast<CurlLoop*>(self);
  loop->timer_.cancel();
  if (timeout_ms < 0) return 0;
  loop->timer_.expires_after(std::chrono::milliseconds(timeout_ms));
  loop->timer_.async_wait([weak = loop->weak_from_this()](boost::system::error_code ec) {
    const auto alive = weak.lock();
    if (alive && !ec) alive->act(CURL_SOCKET_TIMEOUT, 0);
  });
  return 0;
}

bool CurlLoop::watch(int socket, int what) {
  auto& watch = watches_[socket];
  if (!watch) {
    watch = std::make_shared<Watch>(executor_);
    boost::system::error_code ec;
    watch->descriptor.assign(socket, ec);
    if (ec) return watches_.erase(socket), false;
  }
  watch->wanted = what;
  arm(watch);
  return true;
}

void CurlLoop::unwatch(int socket) {
  const auto found = watches_.find(socket);
  if (found == watches_.end()) return;
  found->second->gone = true;
  found->second->descriptor.release();
  watches_.erase(found);
}

void CurlLoop::arm(const std::shared_ptr<Watch>& watch) {
  const auto wait = [this, &watch](bool& waiting, auto kind, int wanted, int event) {
    if (waiting || (watch->wanted & wanted) == 0) return;
    waiting = true;
    const auto socket = watch->descriptor.native_handle();
    watch->descriptor.async_wait(kind, [weak = weak_from_this(), watch, &waiting, wanted, event,
                                        socket](boost::system::error_code ec) {
      waiting = false;
      const auto alive = weak.lock();
      if (!alive || ec || watch->gone || (watch->wanted & wanted) == 0) return;
      alive->act(socket, event);
      if (!watch->gone) alive->arm(watch);
    });
  };
  wait(watch->reading, asio::posix::stream_descriptor::wait_read, CURL_POLL_IN, CURL_CSELECT_IN);
  wait(watch->writing, asio::posix::stream_descriptor::wait_write, CURL_POLL_OUT, CURL_CSELECT_OUT);
}

void CurlLoop::act(int socket, int events) {
  {
    const Depth depth(depth_);
    int running = 0;
    curl().multi_socket_action(multi_, socket, events, &running);
  }
  collect();
}

void CurlLoop::collect() {
  std::vector<std::pair<CURL*, int>> ended;
  int left = 0;
  while (const CURLMsg* message = curl().multi_info_read(multi_, &left)) {
    if (message->msg == CURLMSG_DONE) ended.emplace_back(message->easy_handle, message->data.result);
  }
  for (const auto& [easy, code] : ended) finished_(easy, code);
}

}  // namespace agentmesh::net
