#include "sandbox/attach.h"

#include "base/text.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>

namespace agentmesh::sandbox {
namespace {

namespace asio = boost::asio;
using Socket = asio::local::stream_protocol::socket;

constexpr std::size_t kMaxSocketPath = 107;  // sockaddr_un

// Bytes that occur in no UTF-8 text, as the engine wants them: separated by commas.
constexpr std::string_view kDetachKeys = "%FF,%FE,%FF,%FE";

std::string versioned(const AttachTarget& target, std::string_view path) {
  const std::string prefix = target.api_version.empty() ? "" : "/v" + target.api_version;
  return fmt::format("{}/containers/{}{}", prefix, target.container, path);
}

std::string lower(std::string_view text) {
  std::string small(text);
  std::ranges::transform(small, small.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return small;
}

std::unexpected<Error> not_http() { return fail(ErrorCode::invalid, "engine", "its answer is not HTTP"); }

Error refusal(const AttachTarget& target, int status) {
  const std::string what = fmt::format("attach to {} was answered with status {}", target.container, status);
  if (status == 404) return {ErrorCode::not_found, "engine", "no container " + target.container, ""};
  if (status == 409) return {ErrorCode::conflict, "engine", what, "it may be paused or on its way out"};
  return {status < 500 ? ErrorCode::invalid : ErrorCode::unavailable, "engine", what, ""};
}

Error unreachable(const AttachTarget& target, const boost::system::error_code& error) {
  return {ErrorCode::unavailable, "engine",
          fmt::format("cannot reach the engine at {}: {}", target.engine_socket, error.message()),
          "is the Docker engine running?"};
}

}  // namespace

bool is_container_reference(std::string_view text) {
  const auto plain = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  const auto allowed = [&](char c) { return plain(c) || c == '_' || c == '.' || c == '-'; };
  return !text.empty() && text.size() <= 128 && plain(text.front()) && std::ranges::all_of(text, allowed);
}

std::string attach_request(const AttachTarget& target) {
  return fmt::format(
      "POST {}?stream=1&stdin=1&stdout=1&stderr=1&detachKeys={} HTTP/1.1\r\nHost: engine\r\n"
      "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n",
      versioned(target, "/attach"), kDetachKeys);
}

std::string plain_request(const AttachTarget& target, std::string_view method, std::string_view path) {
  return fmt::format("{} {} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                     method, versioned(target, path));
}

Result<bool> ResponseHead::feed(std::string_view bytes) {
  if (status_ != 0) {
    rest_ += bytes;
    return true;
  }
  const std::size_t seen = text_.size() < 3 ? 0 : text_.size() - 3;
  text_ += bytes;
  const std::size_t end = text_.find("\r\n\r\n", seen);
  if (end != std::string::npos && end <= kMaxResponseHead) return parse(end);
  if (text_.size() > kMaxResponseHead) {
    return fail(ErrorCode::exhausted, "engine", "the head of its answer is over 16 KiB");
  }
  const std::string_view start = "HTTP/1.";
  const std::size_t known = std::min(start.size(), text_.size());
  if (text_.compare(0, known, start.substr(0, known)) != 0) return not_http();
  return false;
}

// "HTTP/1.1 101 UPGRADED", then "Name: value" lines.
Result<bool> ResponseHead::parse(std::size_t end) {
  rest_ = text_.substr(end + 4);
  text_.resize(end);
  const auto lines = split(text_, '\n');
  const std::string_view first = lines.front();
  if (!first.starts_with("HTTP/1.") || first.size() < 12 || first[8] != ' ') return not_http();
  const auto [stop, error] = std::from_chars(first.data() + 9, first.data() + 12, status_);
  if (error != std::errc{} || stop != first.data() + 12 || status_ < 100) {
    status_ = 0;
    return not_http();
  }
  for (const std::string_view line : lines) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || lower(line.substr(0, colon)) != "transfer-encoding") continue;
    chunked_ = lower(trim(line.substr(colon + 1))) == "chunked";
  }
  return true;
}

class AttachStream::Impl {
 public:
  explicit Impl(asio::any_io_executor executor) : socket(executor), deadline(executor) {}

  Socket socket;
  asio::steady_timer deadline;
  std::string ahead;  // bytes that came with the response head
  bool late = false;

  // Closes the socket when the conversation takes too long, which ends every wait on it.
  void limit(Millis time) {
    deadline.expires_after(time);
    deadline.async_wait([this](boost::system::error_code error) {
      if (error) return;
      late = true;
      boost::system::error_code ignored;
      socket.close(ignored);
    });
  }
};

AttachStream::AttachStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AttachStream::~AttachStream() = default;

Task<std::unique_ptr<AttachStream>> AttachStream::open(asio::any_io_executor executor, AttachTarget target) {
  if (!is_container_reference(target.container)) {
    co_return fail(ErrorCode::invalid, "engine", "'" + plain_text(target.container) + "' is not a container");
  }
  if (target.engine_socket.empty() || target.engine_socket.size() > kMaxSocketPath) {
    co_return fail(ErrorCode::invalid, "engine",
                   "'" + target.engine_socket + "' is not the path of a socket");
  }
  auto impl = std::make_unique<Impl>(executor);
  impl->limit(kAttachDeadline);
  boost::system::error_code error;
  const auto token = [&error] { return asio::redirect_error(asio::use_awaitable, error); };
  const std::string request = attach_request(target);
  co_await impl->socket.async_connect(asio::local::stream_protocol::endpoint(target.engine_socket), token());
  if (!error) co_await asio::async_write(impl->socket, asio::buffer(request), token());
  ResponseHead head;
  Result<bool> complete = false;
  std::array<char, 4096> chunk{};
  while (!error && complete && !*complete) {
    const std::size_t size = co_await impl->socket.async_read_some(asio::buffer(chunk), token());
    if (!error) complete = head.feed({chunk.data(), size});
  }
  if (impl->late) co_return fail(ErrorCode::timeout, "engine", "no answer to attach within 30 s");
  if (!complete) co_return pass(complete.error());
  if (error) co_return pass(unreachable(target, error));
  if (head.status() != 101 && head.status() != 200) co_return pass(refusal(target, head.status()));
  impl->deadline.cancel();
  impl->ahead = head.take_rest();
  co_return std::unique_ptr<AttachStream>(new AttachStream(std::move(impl)));
}

Task<std::string> AttachStream::read(std::size_t limit) {
  if (!impl_->ahead.empty()) {
    std::string bytes = impl_->ahead.substr(0, limit);
    impl_->ahead.erase(0, bytes.size());
    co_return bytes;
  }
  std::string bytes(limit, '\0');
  boost::system::error_code error;
  bytes.resize(co_await impl_->socket.async_read_some(asio::buffer(bytes),
                                                      asio::redirect_error(asio::use_awaitable, error)));
  if (!error || error == asio::error::eof) co_return bytes;
  co_return fail(ErrorCode::unavailable, "engine", "the attach stream broke: " + error.message());
}

Task<> AttachStream::write(std::string bytes) {
  boost::system::error_code error;
  co_await asio::async_write(impl_->socket, asio::buffer(bytes),
                             asio::redirect_error(asio::use_awaitable, error));
  if (!error) co_return Result<>{};
  co_return fail(ErrorCode::unavailable, "engine", "the attach stream broke: " + error.message());
}

void AttachStream::close() {
  boost::system::error_code ignored;
  impl_->socket.close(ignored);
}

}  // namespace agentmesh::sandbox
