#include "cli/engine_call.h"

#include "base/socket_address.h"
#include "base/text.h"

#include <cerrno>
#include <poll.h>
#include <sys/socket.h>
#include <system_error>

#include <fmt/format.h>

namespace agentmesh::cli {
namespace {

std::unexpected<Error> unavailable(std::string what) {
  return fail(ErrorCode::unavailable, "engine", std::move(what), "is the Docker engine running?");
}

std::string reason(int error) { return std::generic_category().message(error); }

}  // namespace

Result<EngineCall> EngineCall::start(const std::string& engine_socket, std::string request) {
  const auto address = SocketAddress::of(engine_socket);
  if (!address) {
    return fail(ErrorCode::invalid, "engine", "'" + engine_socket + "' is not the path of a socket");
  }
  EngineCall call;
  call.request_ = std::move(request);
  call.fd_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!call.fd_.valid()) return unavailable("no socket: " + reason(errno));
  if (::connect(call.fd(), address->get(), address->size()) != 0) {
    return unavailable(fmt::format("cannot reach the engine at {}: {}", engine_socket, reason(errno)));
  }
  return call;
}

short EngineCall::wants() const { return request_.empty() ? POLLIN : POLLOUT; }

Result<> EngineCall::advance() {
  if (!request_.empty()) {
    const ssize_t put = ::send(fd(), request_.data(), request_.size(), MSG_NOSIGNAL);
    if (put > 0) request_.erase(0, static_cast<std::size_t>(put));
    if (put >= 0 || errno == EAGAIN || errno == EINTR) return {};
    return unavailable("the engine hung up: " + reason(errno));
  }
  char chunk[8192];
  const ssize_t got = ::recv(fd(), chunk, sizeof chunk, 0);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return {};
    return unavailable("the engine hung up: " + reason(errno));
  }
  ended_ = got == 0;
  if (ended_ && !head_done_) return unavailable("the engine hung up");
  const std::string_view bytes(chunk, static_cast<std::size_t>(got));
  if (head_done_) {
    body_ += bytes;
  } else {
    const Result<bool> complete = head_.feed(bytes);
    if (!complete) return pass(complete.error());
    head_done_ = *complete;
    if (head_done_) body_ = head_.take_rest();
  }
  if (body_.size() <= kMaxEngineAnswer) return {};
  return fail(ErrorCode::exhausted, "engine", "its answer is over 1 MiB");
}

std::string EngineCall::body() const { return head_.chunked() ? join_chunks(body_) : body_; }

std::string join_chunks(std::string_view coded) {
  std::string body;
  while (true) {
    const std::size_t end = coded.find("\r\n");
    if (end == std::string_view::npos) return body;
    const std::string_view line = coded.substr(0, end);
    const auto size = whole_number<std::size_t, 16>(trim(line.substr(0, line.find(';'))));
    if (!size || *size == 0) return body;
    coded.remove_prefix(end + 2);
    if (*size > coded.size()) return body + std::string(coded);
    body += coded.substr(0, *size);
    coded.remove_prefix(std::min(*size + 2, coded.size()));
  }
}

}  // namespace agentmesh::cli
