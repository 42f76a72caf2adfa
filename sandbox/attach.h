#pragma once
// The words of the engine's hijacked attach stream, a container's terminal as a two-way byte stream over the
// engine's Unix socket: the request and the parser of its answer. For a container with a terminal (Tty) what
// follows the answer's head are the program's own bytes. Pure: the pane relay sends and reads.

#include "base/result.h"

#include <cstddef>
#include <string>
#include <string_view>

namespace agentmesh::sandbox {

constexpr std::size_t kMaxResponseHead = 16 * 1024;  // bytes of status line and header fields

struct AttachTarget {
  std::string engine_socket;  // path
  std::string api_version;    // "1.41"; empty: the engine's own
  std::string container;      // id or name
};

// The target of a request: "/v1.41/containers/ID/attach?...". The detach sequence is made of bytes that no
// keyboard and no UTF-8 text sends: the engine would hold back the first byte of its default, ctrl-p.
std::string attach_request(const AttachTarget& target);
// One plain request whose connection closes after the answer, without a body.
std::string plain_request(const AttachTarget& target, std::string_view method, std::string_view path);
// Whether the text is safe in a request's path: [A-Za-z0-9][A-Za-z0-9_.-]{0,127}.
bool is_container_reference(std::string_view text);

// Reads a response head from pieces of any size. Owns what it was fed until the head is complete.
class ResponseHead {
 public:
  // Errors: exhausted (over kMaxResponseHead), invalid (not HTTP). True when the head is complete.
  Result<bool> feed(std::string_view bytes);
  int status() const { return status_; }
  bool chunked() const { return chunked_; }
  // What followed the head in the bytes fed so far.
  std::string take_rest() { return std::move(rest_); }

 private:
  Result<bool> parse(std::size_t end);

  std::string text_;
  std::string rest_;
  int status_ = 0;
  bool chunked_ = false;
};

}  // namespace agentmesh::sandbox
