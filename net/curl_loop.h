#pragma once
// libcurl's multi handle driven by Asio: libcurl says which sockets and which timer it waits for, this class
// waits and tells it. Internal to net/; curl's own header stays in the .cc files, hence the plain int codes.
// No curl function is called while curl is calling us (`inside`).

#include <functional>
#include <memory>
#include <unordered_map>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
typedef void CURL;  // as curl/curl.h has them
typedef void CURLM;

namespace agentmesh::net {

class CurlLoop : public std::enable_shared_from_this<CurlLoop> {
 public:
  // `finished` is called, never from inside curl's own callbacks, for each handle that ended.
  CurlLoop(boost::asio::any_io_executor executor, std::function<void(CURL*, int code)> finished);
  ~CurlLoop();
  CurlLoop(const CurlLoop&) = delete;
  CurlLoop& operator=(const CurlLoop&) = delete;

  bool add(CURL* easy);
  void remove(CURL* easy);
  bool inside() const { return depth_ > 0; }

 private:
  struct Watch;
  static int on_socket(CURL* easy, int socket, int what, void* self, void* watch);
  static int on_timer(CURLM* multi, long timeout_ms, void* self);

  bool watch(int socket, int what);
  void unwatch(int socket);
  void arm(const std::shared_ptr<Watch>& watch);
  void act(int socket, int events);
  void collect();

  boost::asio::any_io_executor executor_;
  boost::asio::steady_timer timer_;
  std::function<void(CURL*, int code)> finished_;
  std::unordered_map<int, std::shared_ptr<Watch>> watches_;
  CURLM* multi_ = nullptr;
  int depth_ = 0;
};

}  // namespace agentmesh::net
