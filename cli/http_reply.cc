#include "cli/http_reply.h"

#include "base/text.h"

#include <algorithm>
#include <strings.h>

#include <fmt/format.h>

namespace agentmesh::cli {
namespace {

constexpr std::size_t kMaxLine = 1024;  // of a chunk's size or a trailer
constexpr std::string_view kLineEnd = "\r\n";

std::unexpected<Error> not_http(std::string_view what) {
  return fail(ErrorCode::internal, "daemon", fmt::format("its answer is not HTTP: {}", what),
              "is another program's socket in the daemon's place?");
}

bool same_word(std::string_view one, std::string_view other) {
  return one.size() == other.size() && ::strncasecmp(one.data(), other.data(), one.size()) == 0;
}

}  // namespace

HttpReply::HttpReply(std::size_t most, OnData on_data) : most_(most), on_data_(std::move(on_data)) {}

Result<void> HttpReply::feed(std::string_view bytes) {
  if (complete()) return {};
  pending_ += bytes;
  while (true) {
    const auto moved = step();
    if (!moved) return pass(moved.error());
    if (!*moved) return {};
  }
}

Result<void> HttpReply::closed() {
  if (stage_ == Stage::until_close) stage_ = Stage::done;
  if (complete()) return {};
  return fail(ErrorCode::unavailable, "daemon", "it closed the connection in the middle of its answer",
              "agentmesh up");
}

// False: more bytes are needed, or it is complete.
Result<bool> HttpReply::step() {
  switch (stage_) {
    case Stage::head:
      return read_head();
    case Stage::sized:
    case Stage::until_close:
    case Stage::chunk_data:
      return read_data();
    case Stage::chunk_size:
      return read_chunk_size();
    case Stage::chunk_end:
      return skip_line(Stage::chunk_size);
    case Stage::trailer:
      return skip_line(Stage::trailer);
    case Stage::done:
      return false;
  }
  return false;
}

Result<bool> HttpReply::read_head() {
  const std::size_t end = pending_.find("\r\n\r\n");
  if (std::min(end, pending_.size()) > kMaxReplyHead) {
    return fail(ErrorCode::exhausted, "daemon",
                fmt::format("its answer's head is over {} bytes", kMaxReplyHead));
  }
  if (end == std::string::npos) return false;
  const std::string head = pending_.substr(0, end);
  pending_.erase(0, end + 4);
  const bool known = head.starts_with("HTTP/1.") && head.size() >= 12;
  const auto status = known ? whole_number<int>(head.substr(9, 3), 200, 599) : std::nullopt;
  if (!status) return not_http("a bad status line");
  status_ = *status;
  stage_ = Stage::until_close;
  for (std::size_t at = head.find(kLineEnd); at != std::string::npos;) {
    const std::size_t next = head.find(kLineEnd, at + 2);
    if (auto read = read_field(std::string_view(head).substr(at + 2, next - at - 2)); !read)
      return pass(read.error());
    at = next;
  }
  if (status_ == 204 || (stage_ == Stage::sized && left_ == 0)) stage_ = Stage::done;
  return true;
}

Result<void> HttpReply::read_field(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return not_http("a header without a colon");
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trim(line.substr(colon + 1));
  if (same_word(name, "transfer-encoding")) {
    if (!same_word(value, "chunked")) return not_http("an unknown transfer encoding");
    stage_ = Stage::chunk_size;
  }
  if (same_word(name, "content-length") && stage_ != Stage::chunk_size) {
    const auto length = whole_number<std::size_t>(value);
    if (!length) return not_http("a bad length");
    left_ = *length;
    stage_ = Stage::sized;
  }
  return {};
}

Result<bool> HttpReply::read_data() {
  if (pending_.empty()) return false;
  const std::size_t count = stage_ == Stage::until_close ? pending_.size() : std::min(left_, pending_.size());
  if (auto given = give(std::string_view(pending_).substr(0, count)); !given) return pass(given.error());
  pending_.erase(0, count);
  if (stage_ == Stage::until_close) return false;
  left_ -= count;
  if (left_ == 0) stage_ = stage_ == Stage::sized ? Stage::done : Stage::chunk_end;
  return true;
}

Result<bool> HttpReply::read_chunk_size() {
  const std::size_t end = pending_.find(kLineEnd);
  if (std::min(end, pending_.size()) > kMaxLine) return not_http("a chunk's size is too long");
  if (end == std::string::npos) return false;
  const std::string line = pending_.substr(0, end);
  const auto size = whole_number<std::size_t, 16>(trim(std::string_view(line).substr(0, line.find(';'))));
  if (!size) return not_http("a bad length");
  pending_.erase(0, end + 2);
  left_ = *size;
  stage_ = *size == 0 ? Stage::trailer : Stage::chunk_data;
  return true;
}

// The end of a chunk is an empty line; so is the end of the trailer.
Result<bool> HttpReply::skip_line(Stage next) {
  const std::size_t end = pending_.find(kLineEnd);
  if (std::min(end, pending_.size()) > kMaxLine) return not_http("a line is too long");
  if (end == std::string::npos) return false;
  if (next == Stage::chunk_size && end != 0) return not_http("a chunk is longer than its size");
  pending_.erase(0, end + 2);
  stage_ = next == Stage::trailer && end == 0 ? Stage::done : next;
  return true;
}

Result<void> HttpReply::give(std::string_view data) {
  if (on_data_ && status_ / 100 == 2) return on_data_(data);
  if (body_.size() + data.size() > most_) {
    return fail(ErrorCode::exhausted, "daemon", fmt::format("its answer is over {} bytes", most_));
  }
  body_ += data;
  return {};
}

}  // namespace agentmesh::cli
