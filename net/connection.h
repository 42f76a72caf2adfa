#pragma once
// One connection of the server: reads requests one after another, hands each to its route, writes the answer.
// For net/server.cc alone. Owned by its coroutine; the server keeps a list to stop them.

#include "net/router.h"
#include "net/server.h"
#include "net/websocket_accept.h"

#include <memory>

#include <boost/asio/awaitable.hpp>

namespace agentmesh::net {

class ConnectionStop {
 public:
  virtual ~ConnectionStop() = default;
  // Ends what is idle or without end; a request under way finishes, as the last.
  virtual void stop_softly() = 0;
  virtual void drop() = 0;
};

class Connection : public ConnectionStop {
 public:
  // Returns when the connection has ended. Never throws.
  virtual boost::asio::awaitable<void> run() = 0;
};

// `router` and `limits` must outlive it.
std::shared_ptr<Connection> make_connection(StreamSocket socket, Peer peer, const Router& router,
                                            const ServerLimits& limits);

}  // namespace agentmesh::net
