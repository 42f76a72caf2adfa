#include "cli/control_socket.h"

#include "base/files.h"
#include "base/socket_address.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

namespace agentmesh::cli {
namespace {

constexpr std::size_t kReadBytes = 64 * 1024;

std::unexpected<Error> broken(const ControlRequest& request, std::string what) {
  const ErrorCode code = request.method == "GET" ? ErrorCode::unavailable : ErrorCode::timeout;
  return fail(code, "daemon", std::move(what), "agentmesh up");
}

std::unexpected<Error> hangs(const UniqueFd& fd) {
  const auto peer = peer_of(fd.get());
  if (!peer || peer->pid <= 0)
    return fail(ErrorCode::timeout, "daemon", "the daemon runs and does not answer");
  return fail(ErrorCode::timeout, "daemon",
              fmt::format("the daemon, pid {}, runs and does not answer", peer->pid),
              fmt::format("kill -CONT {0} if it was stopped, else kill -KILL {0}: agents go on", peer->pid));
}

// How long connecting and sending may wait for a daemon that takes nothing.
void limit_sending(const UniqueFd& fd, Millis limit) {
  const timeval time{.tv_sec = limit.count() / 1000, .tv_usec = limit.count() % 1000 * 1000};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

Result<UniqueFd> connect_to(const std::string& path, Millis limit) {
  const auto address = SocketAddress::of(path);
  if (!address) return fail(ErrorCode::invalid, "daemon", path + " is too long");
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return pass(os_error("daemon", "no socket", errno));
  limit_sending(fd, limit);
  if (::connect(fd.get(), address->get(), address->size()) == 0) return fd;
  if (errno == EAGAIN) return fail(ErrorCode::timeout, "daemon", path + " takes no connection");
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

// One of them; also when it is broken: reading tells.
bool readable(std::initializer_list<int> fds, Millis limit) {
  std::vector<pollfd> waits;
  for (const int fd : fds) waits.push_back({.fd = fd, .events = POLLIN, .revents = 0});
  int ready = 0;
  do {
    ready = ::poll(waits.data(), waits.size(), static_cast<int>(limit.count()));
  } while (ready < 0 && errno == EINTR);
  return ready != 0;
}

// An answer of any kind shows that its loop runs.
bool lives(const SentRequest& sent) {
  const Millis limit = sent.request.silence->answer;
  const auto other = connect_to(sent.request.socket, limit);
  if (!other) return readable({sent.fd.get()}, Millis{0});
  (void)send_all(*other, head_of({.method = "GET", .path = "/v1"}));
  return readable({sent.fd.get(), other->get()}, limit);
}

Result<void> await_bytes(const SentRequest& sent) {
  if (!sent.request.silence) return {};
  while (!readable({sent.fd.get()}, sent.request.silence->quiet)) {
    if (!lives(sent)) return hangs(sent.fd);
  }
  return {};
}

}  // namespace

Result<SentRequest> send_request(ControlRequest request) {
  auto fd = connect_to(request.socket, request.silence.value_or(kSilence).answer);
  if (!fd) return pass(fd.error());
  // A daemon that refuses a request by its head answers before it has read the body: the answer tells.
  (void)send_all(*fd, head_of(request) + request.body);
  return SentRequest{std::move(request), std::move(*fd)};
}

Result<ControlReply> read_reply(const SentRequest& sent, std::size_t most, HttpReply::OnData on_data) {
  HttpReply reply(most, std::move(on_data));
  std::array<char, kReadBytes> buffer;
  while (!reply.complete()) {
    if (auto came = await_bytes(sent); !came) return pass(came.error());
    const ssize_t count = ::read(sent.fd.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return broken(sent.request, fmt::format("reading its answer: {}", std::strerror(errno)));
    const auto taken = count == 0
                           ? reply.closed()
                           : reply.feed(std::string_view(buffer.data(), static_cast<std::size_t>(count)));
    if (!taken && count == 0) return broken(sent.request, taken.error().what);
    if (!taken) return pass(taken.error());
  }
  return ControlReply{reply.status(), reply.take_body()};
}

Result<ControlReply> exchange(ControlRequest request, std::size_t most, HttpReply::OnData on_data) {
  const auto sent = send_request(std::move(request));
  if (!sent) return pass(sent.error());
  return read_reply(*sent, most, std::move(on_data));
}

}  // namespace agentmesh::cli
