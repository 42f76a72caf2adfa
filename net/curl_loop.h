#pragma once
// libcurl's multi handle driven by Asio: libcurl says which sockets and which timer it waits for, this class
// waits and tells it. Internal to net/: only http_client.cc and http_transfer.cc include curl.
// No curl function is called while curl is calling us (`inside`).

#include <functional>
#include <memory>
#include <unordered_map>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <curl/curl.h>

namespace agentmesh::net {

class CurlLoop : public std::enable_shared_from_this<CurlLoop> {
 public:
  // `finished` is called, never from inside curl's own callbacks, for each handle that ended.
  CurlLoop(boost::asio::any_io_executor executor, std::function<void(CURL*, CURLcode)> finished);
  ~CurlLoop();
  CurlLoop(const CurlLoop&) = delete;
  CurlLoop& operator=(const CurlLoop&) = delete;

  bool add(CURL* easy);
  void remove(CURL* easy);
  bool inside() const { return depth_ > 0; }

 private:
  struct Watch;
  static int on_socket(CURL* easy, curl_socket_t socket, int what, void* self, void* watch);
  static int on_timer(CURLM* multi, long timeout_ms, void* self);

  bool watch(curl_socket_t socket, int what);
  void unwatch(curl_socket_t socket);
  void arm(const std::shared_ptr<Watch>& watch);
  void act(curl_socket_t socket, int events);
  void collect();

  boost::asio::any_io_executor executor_;
  boost::asio::steady_timer timer_;
  std::function<void(CURL*, CURLcode)> finished_;
  std::unordered_map<curl_socket_t, std::shared_ptr<Watch>> watches_;
  CURLM* multi_ = nullptr;
  int depth_ = 0;
};

}  // namespace agentmesh::net
