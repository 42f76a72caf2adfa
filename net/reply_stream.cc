#include "net/reply_stream.h"

#include "base/spawn_logged.h"
#include "net/wire.h"

#include <chrono>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>

namespace agentmesh::net {
namespace {

namespace asio = boost::asio;
using Steady = std::chrono::steady_clock;
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

std::unexpected<Error> left() { return fail(ErrorCode::unavailable, "http", "the client has left"); }

}  // namespace

QueuedStream::QueuedStream(StreamSocket& socket, std::shared_ptr<void> owner, const ServerLimits& limits,
                           Framing framing)
    : socket_(socket), owner_(std::move(owner)), limits_(limits), framing_(framing) {
  head_.content_type = "application/x-ndjson";
}

void QueuedStream::begin(Reply head) {
  if (!begun_) head_ = std::move(head);
}

Result<void> QueuedStream::send(std::string data) {
  if (!open_) return left();
  if (data.empty()) return {};
  if (!queue_.empty() && queued_bytes_ + data.size() > limits_.backlog_bytes) {
    const auto what = fmt::format("the client left {} bytes unread", queued_bytes_);
    drop();
    return fail(ErrorCode::exhausted, "http", what);
  }
  start();
  push(framing_ == Framing::chunked ? chunk(data) : std::move(data));
  return {};
}

Task<> QueuedStream::flush() {
  const auto self = shared_from_this();
  while (open_ && !queue_.empty()) co_await others_.wait();
  if (!open_) co_return left();
  co_return Result<void>{};
}

asio::awaitable<void> QueuedStream::ended() {
  const auto self = shared_from_this();
  while (open_) co_await others_.wait();
}

void QueuedStream::end() {
  open_ = false;
  writer_.wake();
  others_.wake();
}

void QueuedStream::drop() {
  dropped_ = true;
  end();
}

asio::awaitable<void> QueuedStream::finish() {
  const auto self = shared_from_this();
  if (dropped_) co_return;
  start();
  if (framing_ == Framing::chunked) push(chunk(""));
  finished_ = true;
  const auto limit = Steady::now() + limits_.write;
  while (!queue_.empty() && !dropped_ && Steady::now() < limit) co_await others_.wait_until(limit);
}

void QueuedStream::start() {
  if (std::exchange(begun_, true)) return;
  std::string body = std::move(head_.body);
  if (framing_ == Framing::chunked) {
    head_.headers.push_back({"Transfer-Encoding", "chunked"});
    if (!body.empty()) body = chunk(body);
  }
  push(reply_head(head_, std::nullopt, AfterReply::close) + body);
  spawn_logged(socket_.get_executor(), "http", write_loop());
}

void QueuedStream::push(std::string bytes) {
  queued_bytes_ += bytes.size();
  queue_.push_back(std::move(bytes));
  writer_.wake();
}

asio::awaitable<void> QueuedStream::write_loop() {
  const auto self = shared_from_this();
  while (!dropped_) {
    if (!queue_.empty()) {
      const auto [ec, bytes] = co_await asio::async_write(socket_, asio::buffer(queue_.front()), kTuple);
      queued_bytes_ -= queue_.front().size();
      queue_.pop_front();
      if (ec) drop();
      if (queue_.empty()) others_.wake();
    } else if (finished_) {
      co_return;
    } else {
      co_await writer_.wait();
    }
  }
}

}  // namespace agentmesh::net
