#pragma once
// The queue behind a ReplyStream: chunks wait here for a client that reads slowly, up to the backlog. For
// net/connection.cc alone.

#include "base/waiters.h"
#include "net/server.h"
#include "net/websocket_accept.h"

#include <deque>
#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>

namespace agentmesh::net {

enum class Framing { chunked, until_close };

class QueuedStream final : public ReplyStream, public std::enable_shared_from_this<QueuedStream> {
 public:
  // `owner` keeps socket and limits alive.
  QueuedStream(StreamSocket& socket, std::shared_ptr<void> owner, const ServerLimits& limits,
               Framing framing);

  void begin(Reply head) override;
  Result<void> send(std::string data) override;
  Task<> flush() override;
  boost::asio::awaitable<void> ended() override;
  bool is_open() const override { return open_; }

  bool begun() const { return begun_; }
  // The client has left or the server stops: the handler is told; what is queued is still sent.
  void end();
  // Sends nothing more.
  void drop();
  // Queues the end of the answer and waits until the client took it, at most the write limit.
  boost::asio::awaitable<void> finish();

 private:
  void start();
  void push(std::string bytes);
  boost::asio::awaitable<void> write_loop();

  StreamSocket& socket_;
  std::shared_ptr<void> owner_;
  const ServerLimits& limits_;
  Framing framing_;
  Waiters writer_;
  Waiters others_;  // for the end, or for an empty queue
  Reply head_;
  std::deque<std::string> queue_;  // the front one is being written
  std::size_t queued_bytes_ = 0;
  bool begun_ = false;
  bool open_ = true;
  bool finished_ = false;
  bool dropped_ = false;
};

}  // namespace agentmesh::net
