#pragma once
// The Docker Engine API's texts and our values: pure functions, no connection. An answer that is not what the
// API says (not JSON, another type, half a message) is an Error `internal`, never an exception.

#include "base/result.h"
#include "sandbox/engine.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::sandbox::wire {

constexpr std::size_t kMaxAnswerBytes = 8 * 1024 * 1024;
constexpr std::size_t kMaxProgressLine = 256 * 1024;

// Answers.
Result<EngineVersion> version_from(std::string_view body);  // negotiates; invalid: too old or too new
Result<EngineInfo> info_from(std::string_view body);
Result<std::vector<ContainerSummary>> summaries_from(std::string_view body);
Result<ContainerDetails> details_from(std::string_view body);
Result<ImageDetails> image_from(std::string_view body);
Result<std::vector<ImageDetails>> images_from(std::string_view body);
Result<NetworkDetails> network_from(std::string_view body);
Result<std::vector<NetworkDetails>> networks_from(std::string_view body);
Result<std::string> id_from(std::string_view body);  // "Id" or "ID", not empty
Result<int> wait_code_from(std::string_view body);
struct ExecState {
  bool running = false;
  int exit_code = 0;
};
Result<ExecState> exec_state_from(std::string_view body);

// The Error of an answer of 300 or more, its text the engine's own.
Error error_from(int status, std::string_view body);

// Requests.
std::string encode(std::string_view text);       // percent-encoded for a query or one path part
std::string encode_path(std::string_view name);  // leaves / and : as image names need
std::string label_filter(const Labels& labels);  // encoded {"label":[...]}
std::string exec_json(const ExecRequest& request);
std::string network_json(const NetworkRequest& request);

// Lines of a stream that comes in pieces. A line over the limit is dropped whole and counted.
class LineSplitter {
 public:
  LineSplitter(std::size_t max_line, std::function<void(std::string_view)> line)
      : max_line_(max_line), line_(std::move(line)) {}
  void push(std::string_view data);
  void finish();  // what is left is a line too
  std::size_t dropped() const { return dropped_; }

 private:
  void end_line();
  std::size_t max_line_;
  std::function<void(std::string_view)> line_;
  std::string held_;
  bool dropping_ = false;
  std::size_t dropped_ = 0;
};

// One line of a pull, build or import.
struct ProgressLine {
  ImageProgress progress;
  std::string image_id;  // of the finished image, when the line tells it
};
Result<ProgressLine> progress_from(std::string_view line);  // an "error" line gives that error

// The engine's framing of a container without a terminal: 8 bytes (stream, 3 zero, length) before each piece.
enum class Stream { out, err };
class Demultiplexer {
 public:
  explicit Demultiplexer(std::function<void(Stream, std::string_view)> sink) : sink_(std::move(sink)) {}
  Result<> push(std::string_view data);

 private:
  std::function<void(Stream, std::string_view)> sink_;
  std::string header_;
  std::uint32_t left_ = 0;
  Stream stream_ = Stream::out;
};

// The newest `limit` bytes of what is pushed.
class Tail {
 public:
  explicit Tail(std::size_t limit) : limit_(limit) {}
  void push(std::string_view data);
  std::string take();

 private:
  std::size_t limit_;
  std::string held_;
};

}  // namespace agentmesh::sandbox::wire
