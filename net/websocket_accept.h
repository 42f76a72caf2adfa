#pragma once
// The server's half of the upgrade: for net/connection.cc alone.

#include "net/websocket.h"

#include <memory>
#include <string>
#include <vector>

#include <boost/asio/generic/stream_protocol.hpp>

namespace agentmesh::net {

using StreamSocket = boost::asio::generic::stream_protocol::socket;

struct UpgradeRequest {
  std::string target;
  std::vector<HttpHeader> headers;  // as received
};

// Answers the upgrade and starts the session. Errors: invalid, unavailable; an answer has been sent.
Task<std::shared_ptr<WebSocket>> accept_websocket(StreamSocket socket, UpgradeRequest request,
                                                  WebSocketLimits limits);

}  // namespace agentmesh::net
