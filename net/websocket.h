#pragma once
// One WebSocket conversation in text frames, the same on both ends. A session pings its peer, drops a silent
// one, and never holds more than its backlog for a peer that does not read. It knows nothing of what is said.

#include "base/clock.h"
#include "base/task.h"
#include "net/http_client.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::net {

struct WebSocketLimits {
  std::size_t message_bytes = 1024 * 1024;  // of one message received; larger ends the session (1009)
  std::size_t backlog_bytes = 1024 * 1024;  // waiting to be sent; one message may always wait
  Millis ping_every{25'000};
  Millis silence{60'000};  // nothing heard for so long, not even a pong: the peer is gone
  Millis connect{10'000};  // name, connection and handshake together
};

class WebSocket {
 public:
  virtual ~WebSocket() = default;

  // Queues one text message; never waits. Errors: unavailable (closed), exhausted (the backlog is full: the
  // session has been dropped).
  virtual Result<void> send(std::string text) = 0;
  // Waits until everything queued was handed to the system. Errors: unavailable.
  virtual Task<> flush() = 0;
  // The next text message. One reader at a time. Errors: unavailable (closed or gone, with what ended it),
  // conflict (there is a reader already),
  // invalid (a binary message or text that is not UTF-8), exhausted (a message over the limit). After an
  // error the session is closed.
  virtual Task<std::string> receive() = 0;
  // Says goodbye (code as of RFC 6455, reason at most 120 bytes) and ends; does not wait for the answer more
  // than a second. Calling it again does nothing.
  virtual void close(std::uint16_t code, std::string_view reason) = 0;
  // Waits until the session has ended, for whatever reason.
  virtual boost::asio::awaitable<void> ended() = 0;
  // Drops the connection now.
  virtual void drop() = 0;
  virtual bool is_open() const = 0;
};

// `url`: ws:// or http://. Errors: invalid (the URL; TLS is not spoken yet), denied (401, 403), not_found
// (404), unavailable (no connection, no time, another answer than an upgrade): nothing was said to the peer.
Task<std::shared_ptr<WebSocket>> connect_websocket(std::string url, std::vector<HttpHeader> headers,
                                                   WebSocketLimits limits);

// The same over a Unix socket, at most 107 bytes of path. Errors: as above.
Task<std::shared_ptr<WebSocket>> connect_websocket(std::filesystem::path socket, WebSocketLimits limits);

}  // namespace agentmesh::net
