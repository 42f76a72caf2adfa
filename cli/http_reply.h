#pragma once
// One HTTP/1.1 answer read out of bytes as they come: what the command line needs to speak to the daemon on a
// blocking socket, because loading the HTTP client of the daemon costs more than the whole exchange. Pure: it
// opens nothing. It knows Content-Length, chunks and an end by closing; no trailers but to skip them.

#include "base/result.h"

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace agentmesh::cli {

constexpr std::size_t kMaxReplyHead = 64 * 1024;  // bytes before the body; the daemon sends a few hundred

class HttpReply {
 public:
  // Takes the body of a 2xx answer as it comes. An Error ends the exchange with that Error.
  using OnData = std::function<Result<void>(std::string_view)>;

  // Without `on_data`, and for every other status, the body is collected: `most` bytes, then exhausted.
  HttpReply(std::size_t most, OnData on_data);

  // Errors: internal (not HTTP), exhausted (head or body over its limit), those of on_data. Bytes after the
  // answer's end are ignored.
  Result<void> feed(std::string_view bytes);
  // The peer closed. Errors: unavailable, when the answer was not complete.
  Result<void> closed();

  bool complete() const { return stage_ == Stage::done; }
  int status() const { return status_; }
  std::string take_body() { return std::move(body_); }

 private:
  enum class Stage { head, sized, until_close, chunk_size, chunk_data, chunk_end, trailer, done };

  Result<bool> step();
  Result<bool> read_head();
  Result<void> read_field(std::string_view line);
  Result<bool> read_data();
  Result<bool> read_chunk_size();
  Result<bool> skip_line(Stage next);
  Result<void> give(std::string_view data);

  std::size_t most_;
  OnData on_data_;
  Stage stage_ = Stage::head;
  int status_ = 0;
  std::size_t left_ = 0;  // bytes of the body or chunk still to come
  std::string pending_;
  std::string body_;
};

}  // namespace agentmesh::cli
