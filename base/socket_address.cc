#include "base/socket_address.h"

namespace agentmesh {

std::optional<SocketAddress> SocketAddress::of(std::string_view path) {
  if (path.empty() || path.size() > kMaxSocketPath) return std::nullopt;
  SocketAddress made;
  made.address_.sun_family = AF_UNIX;
  path.copy(made.address_.sun_path, path.size());
  return made;
}

}  // namespace agentmesh
