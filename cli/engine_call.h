#pragma once
// One request to the engine over its Unix socket, driven by poll(2). For the pane relay, which must stay
// small: everything else talks to the engine through sandbox/. It never blocks and holds at most
// kMaxEngineAnswer bytes.

#include "base/result.h"
#include "base/unique_fd.h"
#include "sandbox/attach.h"

#include <optional>
#include <string>

namespace agentmesh::cli {

constexpr std::size_t kMaxEngineAnswer = 1024 * 1024;

class EngineCall {
 public:
  // Errors: unavailable.
  static Result<EngineCall> start(const std::string& engine_socket, std::string request);

  int fd() const { return fd_.get(); }
  // What to poll for: POLLOUT until the request is sent, POLLIN after.
  short wants() const;
  // To be called when poll says so. Errors: unavailable (the engine hung up early), invalid, exhausted.
  Result<> advance();

  bool has_head() const { return head_done_; }
  int status() const { return head_.status(); }
  bool ended() const { return ended_; }  // the engine closed the connection
  std::string body() const;              // of an ended call
  // For a hijacked stream: the socket, and the bytes that came with the head. The call is over then.
  UniqueFd take_socket() { return std::move(fd_); }
  std::string take_rest() { return std::move(body_); }

 private:
  UniqueFd fd_;
  std::string request_;
  sandbox::ResponseHead head_;
  std::string body_;
  bool head_done_ = false;
  bool ended_ = false;
};

// The bytes of a body in chunked transfer coding; stops at the first malformed chunk.
std::string join_chunks(std::string_view coded);

}  // namespace agentmesh::cli
