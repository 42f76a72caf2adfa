#include "base/socket_address.h"

#include <fmt/format.h>

namespace agentmesh {

std::optional<SocketAddress> SocketAddress::of(std::string_view path) {
  if (path.empty() || path.size() > kMaxSocketPath) return std::nullopt;
  SocketAddress made;
  made.address_.sun_family = AF_UNIX;
  path.copy(made.address_.sun_path, path.size());
  return made;
}

std::optional<SocketAddress> SocketAddress::in(int folder, std::string_view name) {
  return of(fmt::format("/proc/self/fd/{}/{}", folder, name));
}

std::optional<ucred> peer_of(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
  return peer;
}

}  // namespace agentmesh
