#pragma once
// The one outbound HTTP client: libcurl's multi interface driven by the io_context; no thread but the one
// libcurl starts for a moment to look a host name up. The process ignores SIGPIPE. Owned by main (one per
// process), shared by everyone who speaks HTTP to somebody else. Connections are kept and used again. It
// never follows a redirect, never retries an answer it has seen a byte of, never decompresses, and ignores
// the proxy environment for Unix sockets.
//
// curl_global_init runs once, with the first client. libcurl 7.88 sets OpenSSL up there whatever flags it
// is given, so CURL_GLOBAL_DEFAULT is used; it costs about a millisecond and no thread.

#include "base/clock.h"
#include "base/result.h"
#include "base/task.h"
#include "net/limits.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

namespace agentmesh::net {

struct HttpHeader {
  std::string name;
  std::string value;
};

enum class Flow { more, stop };

// Where a body that does not fit in memory comes from.
struct HttpUpload {
  // Fills the span, returns the bytes written; 0 is the end. An Error ends the request with that Error.
  // Called on the loop's thread: it must not block longer than a read of a local file.
  std::function<Result<std::size_t>(std::span<char>)> pull;
  std::optional<std::uint64_t> bytes;  // absent: sent chunked
};

struct HttpRequest {
  std::string method = "GET";
  std::string url;          // http:// or https://
  std::string unix_socket;  // path; empty: TCP
  std::vector<HttpHeader> headers;
  std::string body;
  std::optional<HttpUpload> upload;  // instead of body
  Millis connect_timeout{10'000};
  Millis total_timeout{30'000};  // 0: none
  Millis stall_limit{0};         // no byte in either direction for so long; 0: none
  // At most so many bytes of the answer are read in a second, on the average of some seconds: the peer has to
  // wait. 0: as they come.
  std::size_t receive_per_second = 0;
  std::size_t max_response_bytes = kMaxResponseBytes;
  // Told the status when the header is complete, before any data. Must not destroy the client.
  std::function<void(int status)> on_head;
  // Takes the body of a 2xx answer as it comes (max_response_bytes does not count then); Flow::stop ends the
  // request with success. The body of another status is collected as usual. Must not destroy the client.
  std::function<Flow(std::string_view)> on_data;
};

struct HttpResponse {
  int status = 0;
  std::vector<HttpHeader> headers;  // names in lower case, in the order received
  std::string body;                 // empty when on_data took it
  bool stopped = false;             // on_data said stop

  // The first header of that lower-case name; empty when there is none.
  std::string_view header(std::string_view name) const;
};

// A file as the body, read as it is sent. Errors: not_found, denied, invalid (not a regular file).
Result<HttpUpload> upload_file(const std::string& path);

class HttpClient {
 public:
  explicit HttpClient(boost::asio::any_io_executor executor);
  // Requests under way end with `unavailable`.
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Success is any complete answer, whatever its status. Errors, stage "http":
  //   unavailable  cannot resolve or connect (nothing was sent), or the answer to a GET or HEAD broke off
  //   denied       the Unix socket may not be opened by this user
  //   timeout      a limit passed, or the answer to another method broke off: the outcome is not known
  //   exhausted    the answer is over its limit
  //   invalid      the request cannot be made (URL, method, header)
  //   internal     the peer does not speak HTTP
  // Cancelling the coroutine, or destroying its frame, drops the connection of the request.
  Task<HttpResponse> send(HttpRequest request);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace agentmesh::net
