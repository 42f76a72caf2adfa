#pragma once
// The request line that a holder understands: the engine's paths, so that the pane relay asks both alike.
// Pure.

#include "base/result.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace agentmesh::host {

constexpr std::size_t kMaxRequestHead = 8 * 1024;  // bytes

struct HolderRequest {
  std::string method;                        // "GET"
  std::string container;                     // id or name
  std::string action;                        // "json", "wait", ...; empty for /containers/ID itself
  std::map<std::string, std::string> query;  // not decoded: none of ours needs it

  // Errors: invalid (no number, or over `most`). The fallback when it is not there.
  Result<std::uint32_t> number(const std::string& key, std::uint32_t fallback, std::uint32_t most) const;
};

// "POST /v1.41/containers/ID/resize?h=24&w=80 HTTP/1.1" and what follows. Errors: invalid.
Result<HolderRequest> parse_request(std::string_view head);

}  // namespace agentmesh::host
