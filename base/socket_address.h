#pragma once
// The address of a Unix socket: its path, which has little room. And who is at its other end.

#include <optional>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>

namespace agentmesh {

constexpr std::size_t kMaxSocketPath = sizeof(sockaddr_un::sun_path) - 1;  // bytes: 107

class SocketAddress {
 public:
  // None: the path is empty or over kMaxSocketPath.
  static std::optional<SocketAddress> of(std::string_view path);
  // Of what has that name in a folder that is open: shorter than the folder's own path.
  static std::optional<SocketAddress> in(int folder, std::string_view name);
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  socklen_t size() const { return sizeof address_; }

 private:
  SocketAddress() = default;
  sockaddr_un address_{};
};

// Of a connected Unix socket; none: the kernel does not tell.
std::optional<ucred> peer_of(int socket);

}  // namespace agentmesh
