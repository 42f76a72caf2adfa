#pragma once
// The HTTP/1.1 server of the hub, the control socket and every other server of ours: routes to coroutines, on
// TCP and on a private Unix socket, with every limit named. It knows nothing of what it serves, keeps no
// state between requests, and answers each error as {"error":{"code","stage","message","hint"}}.

#include "base/clock.h"
#include "base/task.h"
#include "net/http_client.h"
#include "net/websocket.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include <boost/asio/io_context.hpp>

namespace agentmesh::net {

struct ServerLimits {
  std::size_t body_bytes = 1024 * 1024;  // 413 above
  std::size_t header_bytes = 8 * 1024;   // request line and header lines together: 431 above
  std::size_t target_bytes = 4 * 1024;   // 414 above
  Millis request{10'000};                // from the first byte of a request to its last: 408
  Millis idle{75'000};                   // between two requests of one connection: closed
  Millis write{30'000};                  // for the client to take a whole answer: dropped
  Millis stop_grace{5'000};              // for requests under way when the server stops
  std::size_t per_peer = 64;             // connections of one address (of all Unix clients together: `total`)
  std::size_t total = 4'096;             // connections in all
  std::size_t backlog_bytes = 1024 * 1024;  // of a stream whose client does not read: dropped
  WebSocketLimits websocket;
};

struct Peer {
  std::string address;       // "127.0.0.1", "::1"; "unix"
  std::optional<uid_t> uid;  // of a Unix client
};

struct ServerRequest {
  std::string method;                          // "GET"
  std::string path;                            // decoded, without the query
  std::map<std::string, std::string> query;    // decoded; of a name given twice, the last
  std::map<std::string, std::string> params;   // what {name} in the pattern matched, decoded
  std::map<std::string, std::string> headers;  // names in lower case; repeated ones joined by ", "
  std::string body;
  Peer peer;

  // The value, or "" when there is none.
  std::string_view header(std::string_view lower_case_name) const;
  std::string_view param(std::string_view name) const;
  std::optional<std::string> query_value(std::string_view name) const;
};

struct Reply {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::vector<HttpHeader> headers;  // a name or value with a control character is left out
};

// The status an Error is answered with: not_found 404, conflict 409, invalid 400, denied 403, exhausted 429,
// unavailable 503, timeout 504, internal 500.
int status_of(ErrorCode code);
Reply error_reply(const Error& error);
Reply error_reply(int status, const Error& error);
// The Error in an answer of this form; another body gives one made of the status.
Error error_from_reply(int status, std::string_view body);

// An answer that goes on until the handler returns, the client leaves or the server stops.
class ReplyStream {
 public:
  virtual ~ReplyStream() = default;
  // Sets what goes before the first byte; default 200 and application/x-ndjson. No effect after the first
  // send.
  virtual void begin(Reply head) = 0;
  // Queues a chunk; never waits. Errors: unavailable (the client left, the server stops), exhausted (the
  // client does not read: it has been dropped).
  virtual Result<void> send(std::string chunk) = 0;
  // Waits until everything queued was handed to the system. Errors: as send.
  virtual Task<> flush() = 0;
  // Waits until the client has left or the server stops; returns at once when that is so already.
  virtual boost::asio::awaitable<void> ended() = 0;
  virtual bool is_open() const = 0;
};

// An Error is answered with its status. An exception is answered 500, logged, and ends nothing else.
using Handler = std::function<Task<Reply>(ServerRequest)>;
// An Error before the first chunk is answered with its status; after it, the answer breaks off.
using StreamHandler = std::function<Task<>(ServerRequest, std::shared_ptr<ReplyStream>)>;
// Runs once the upgrade is done; the session is closed (1000, or 1011 on an Error) when it returns.
using WebSocketHandler = std::function<Task<>(ServerRequest, std::shared_ptr<WebSocket>)>;
// Decides before the upgrade: a Reply refuses.
using Admission = std::function<std::optional<Reply>(const ServerRequest&)>;

// Patterns are literal segments and {name}, which matches one segment that is not empty:
// "/v1/inbox/{id}/ack". A literal segment is preferred to {name}. A GET route answers HEAD too.
class Routes {
 public:
  Routes& add(std::string_view method, std::string_view pattern, Handler handler);
  Routes& add_stream(std::string_view method, std::string_view pattern, StreamHandler handler);
  Routes& add_websocket(std::string_view pattern, Admission admit, WebSocketHandler handler);

 private:
  friend class Router;
  struct Entry {
    std::string method;
    std::vector<std::string> segments;
    Handler handler;
    StreamHandler stream;
    Admission admit;
    WebSocketHandler websocket;
  };
  std::vector<Entry> entries_;
};

// What the handlers use must live until stopped() has returned, or until the io_context no longer runs.
class HttpServer {
 public:
  HttpServer(boost::asio::io_context& io, Routes routes, ServerLimits limits);
  // Drops everything at once; handlers under way are cancelled at what they wait for.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Listens on a numeric address; port 0 picks one. The port it listens on. Errors: invalid (the address),
  // conflict (the port is taken), denied.
  Result<std::uint16_t> listen_tcp(const std::string& address, std::uint16_t port);
  // Listens on a socket file of mode 0600. Only clients of this process's uid are served: another is refused
  // before a byte of it is read. A file left by a dead process is replaced. Errors: conflict (somebody
  // listens there, or it is not a socket), invalid (the path is too long), denied, not_found (its folder).
  Result<void> listen_unix(const std::string& path);

  // Takes no more connections, closes idle ones, ends streams and WebSockets (1001), lets requests under way
  // finish within stop_grace. Calling it again does nothing.
  void stop();
  // Returns when, after stop(), the last connection has ended.
  boost::asio::awaitable<void> stopped();
  std::size_t connections() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace agentmesh::net
