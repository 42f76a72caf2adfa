#pragma once
// Whether a port of 127.0.0.1 can be listened on now. Nothing is reserved: another may take it the next
// moment.

#include <cstdint>

namespace agentmesh::daemon {

bool loopback_port_is_free(std::uint16_t port);

}  // namespace agentmesh::daemon
