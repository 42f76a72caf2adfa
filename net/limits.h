#pragma once
// What the HTTP client accepts from the other side. The servers' limits are in net/server.h.

#include <cstddef>

namespace agentmesh::net {

constexpr std::size_t kMaxResponseHeaderBytes = 64 * 1024;  // all header lines of one answer
constexpr std::size_t kMaxResponseHeaders = 256;            // lines
constexpr std::size_t kMaxResponseBytes =
    8 * 1024 * 1024;  // a body that is collected, unless the request says otherwise
constexpr std::size_t kMaxErrorBodyBytes =
    64 * 1024;  // of a streamed request's error answer; the rest is dropped
constexpr std::size_t kMaxUrlBytes = 16 * 1024;

}  // namespace agentmesh::net
