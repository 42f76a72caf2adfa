#include "cli/control_socket.h"

#include "base/files.h"
#include "base/unique_fd.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/format.h>

namespace agentmesh::cli {
namespace {

constexpr std::size_t kReadBytes = 64 * 1024;

std::unexpected<Error> broken(const ControlRequest& request, std::string what) {
  const ErrorCode code = request.method == "GET" ? ErrorCode::unavailable : ErrorCode::timeout;
  return fail(code, "daemon", std::move(what), "agentmesh up");
}

Result<UniqueFd> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail(ErrorCode::invalid, "daemon", path + " is too long");
  path.copy(address.sun_path, path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return pass(os_error("daemon", "no socket", errno));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  const bool denied = errno == EACCES || errno == EPERM;
  return fail(denied ? ErrorCode::denied : ErrorCode::unavailable, "daemon",
              fmt::format("{}: {}", path, std::strerror(errno)), "agentmesh up");
}

Result<void> send_all(const UniqueFd& fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return pass(os_error("daemon", "the request cannot be sent", errno));
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

std::string head_of(const ControlRequest& request) {
  std::string head =
      fmt::format("{} {} HTTP/1.1\r\nHost: agentmesh\r\nConnection: close\r\n", request.method, request.path);
  if (request.body.empty()) return head + "\r\n";
  return head +
         fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", request.body.size());
}

}  // namespace

Result<ControlReply> exchange(const ControlRequest& request, std::size_t most, HttpReply::OnData on_data) {
  const auto fd = connect_to(request.socket);
  if (!fd) return pass(fd.error());
  // A daemon that refuses a request by its head answers before it has read the body: the answer tells.
  (void)send_all(*fd, head_of(request) + request.body);
  HttpReply reply(most, std::move(on_data));
  std::array<char, kReadBytes> buffer;
  while (!reply.complete()) {
    const ssize_t count = ::read(fd->get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return broken(request, fmt::format("reading its answer: {}", std::strerror(errno)));
    const auto taken = count == 0
                           ? reply.closed()
                           : reply.feed(std::string_view(buffer.data(), static_cast<std::size_t>(count)));
    if (!taken && count == 0) return broken(request, taken.error().what);
    if (!taken) return pass(taken.error());
  }
  return ControlReply{reply.status(), reply.take_body()};
}

}  // namespace agentmesh::cli
