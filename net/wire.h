#pragma once
// The text of an answer on the wire. Pure.

#include "net/server.h"

#include <cstdint>
#include <optional>
#include <string>

namespace agentmesh::net {

enum class AfterReply { keep, close };

// The status line and header, with the blank line. `length` absent: a body without a known end.
std::string reply_head(const Reply& reply, std::optional<std::size_t> length, AfterReply after);
std::string chunk(std::string_view data);  // of a chunked body; "" gives the end

}  // namespace agentmesh::net
