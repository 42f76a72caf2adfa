#include "cli/daemon_client.h"

#include "base/files.h"
#include "base/json.h"
#include "base/process.h"
#include "base/text.h"
#include "cli/control_socket.h"
#include "config/load.h"
#include "net/server.h"

#include <sys/wait.h>
#include <thread>
#include <type_traits>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::cli {
namespace {

constexpr Millis kStartLimit{15'000};
constexpr Millis kStartPoll{5};
constexpr Millis kStartAgain{200};  // after one that found another daemon's lock: that one may be ending
constexpr std::size_t kMaxAnswer = 64 * 1024 * 1024;
constexpr std::size_t kMaxLine = 256 * 1024;

ControlRequest request_to(const daemon::Home& home, std::string_view method, std::string path) {
  return {.socket = home.socket().string(),
          .method = method,
          .path = std::move(path),
          .body = {},
          .silence = kSilence};
}

Error no_daemon(const Error& error) {
  if (error.code == ErrorCode::denied) {
    return Error{ErrorCode::denied, "daemon", "its socket belongs to another user",
                 "use an AGENTMESH_HOME of your own"};
  }
  if (error.code != ErrorCode::unavailable) return error;
  return Error{error.code, "daemon", "the daemon cannot be reached: " + error.what, "agentmesh up"};
}

// The body of a 2xx answer.
Result<std::string> body_of(Result<ControlReply> answer) {
  if (!answer) return pass(answer.error());
  if (answer->status / 100 != 2) return pass(net::error_from_reply(answer->status, answer->body));
  return std::move(answer->body);
}

Result<nlohmann::json> json_of(const Result<std::string>& text) {
  if (!text) return pass(text.error());
  return parse_json(*text, "daemon", {.bytes = kMaxAnswer, .depth = kMaxJsonDepth});
}

// Once more when no daemon ran and one was started.
template <class Attempt>
std::invoke_result_t<Attempt> with_daemon(const daemon::Home& home, IfDown if_down, Attempt attempt) {
  auto outcome = attempt();
  if (!outcome && outcome.error().code == ErrorCode::unavailable && if_down == IfDown::start) {
    if (auto up = ensure_daemon(home); !up) return pass(up.error());  // it says itself why not
    outcome = attempt();
  }
  if (!outcome) return pass(no_daemon(outcome.error()));
  return outcome;
}

// False: none runs. Errors: timeout, one runs and hangs.
Result<bool> answers(const daemon::Home& home) {
  const auto reply = exchange(request_to(home, "GET", "/v1/agents"), kMaxAnswer, nullptr);
  if (!reply && reply.error().code == ErrorCode::timeout) return pass(reply.error());
  return reply.has_value();
}

// What the daemon said before it ended: its last line, as an Error with the code of its exit.
Error early_end(const std::filesystem::path& output, int status) {
  const int exit = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
  ErrorCode code = ErrorCode::internal;
  for (ErrorCode candidate :
       {ErrorCode::invalid, ErrorCode::conflict, ErrorCode::unavailable, ErrorCode::denied}) {
    if (exit_code_of(candidate) == exit) code = candidate;
  }
  const auto text = read_file(output, 1024 * 1024);
  std::string line(text ? trim(*text) : "");
  line = line.substr(line.rfind('\n') + 1);
  constexpr std::string_view kPrefix = "agentmesh: ";
  if (!line.starts_with(kPrefix))
    return Error{code, "daemon", "it ended at once: " + line, "see " + output.string()};
  line.erase(0, kPrefix.size());
  const std::size_t colon = line.find(": ");
  if (colon == std::string::npos) return Error{code, "daemon", line, ""};
  return Error{code, line.substr(0, colon), line.substr(colon + 2), ""};
}

Result<pid_t> start_one(const std::filesystem::path& output) {
  ::unlink(output.c_str());
  return start_detached(
      {.argv = {own_program().string(), "daemon"}, .env = current_environment(), .output = output});
}

}  // namespace

Result<daemon::Home> home() {
  const auto root = config::home_folder(config::system_environment());
  if (!root) return pass(root.error());
  return daemon::Home{*root};
}

Result<void> ensure_daemon(const daemon::Home& home) {
  if (const auto up = answers(home); !up || *up) return up ? Result<void>{} : pass(up.error());
  if (auto prepared = prepare_home(home); !prepared) return prepared;
  const auto output = home.logs() / "daemon.out";
  const auto deadline = std::chrono::steady_clock::now() + kStartLimit;
  auto start_at = std::chrono::steady_clock::now();
  std::optional<pid_t> started;
  while (std::chrono::steady_clock::now() < deadline) {
    if (!started && std::chrono::steady_clock::now() >= start_at) {
      const auto pid = start_one(output);
      if (!pid) return pass(pid.error());
      started = *pid;
    }
    if (const auto up = answers(home); !up || *up) return up ? Result<void>{} : pass(up.error());
    int status = 0;
    if (started && ::waitpid(*started, &status, WNOHANG) == *started) {
      started.reset();
      start_at = std::chrono::steady_clock::now() + kStartAgain;
      const Error end = early_end(output, status);
      // Another command started one at the same moment and that one will answer, or one is just ending.
      if (end.code != ErrorCode::conflict || end.stage != "daemon") return pass(end);
    }
    std::this_thread::sleep_for(kStartPoll);
  }
  return fail(ErrorCode::timeout, "daemon", "it does not answer yet", "see " + home.daemon_log().string());
}

Result<SentRequest> ask(std::string_view method, std::string path, const nlohmann::json& body) {
  const auto where = home();
  if (!where) return pass(where.error());
  ControlRequest request = request_to(*where, method, std::move(path));
  request.body = dump_json(body);
  return with_daemon(*where, IfDown::start, [&] { return send_request(request); });
}

Result<nlohmann::json> answer_to(const SentRequest& sent) {
  auto answer = read_reply(sent, kMaxAnswer, nullptr);
  if (!answer) return pass(no_daemon(answer.error()));
  return json_of(body_of(std::move(answer)));
}

Result<std::string> call(std::string_view method, std::string path, std::string body, IfDown if_down) {
  const auto where = home();
  if (!where) return pass(where.error());
  ControlRequest request = request_to(*where, method, std::move(path));
  request.body = std::move(body);
  return body_of(with_daemon(*where, if_down, [&] { return exchange(request, kMaxAnswer, nullptr); }));
}

Result<nlohmann::json> post_json(std::string path, const nlohmann::json& body) {
  return json_of(call("POST", std::move(path), dump_json(body), IfDown::start));
}

Result<nlohmann::json> get_json(std::string path, IfDown if_down) {
  return json_of(call("GET", std::move(path), "", if_down));
}

Result<void> stream(std::string path, Lines lines,
                    const std::function<Result<void>(std::string_view)>& line) {
  const auto where = home();
  if (!where) return pass(where.error());
  if (auto up = ensure_daemon(*where); !up) return up;
  std::string pending;
  const auto take = [&](std::string_view bytes) -> Result<void> {
    pending += bytes;
    for (std::size_t end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
      if (auto taken = line(std::string_view(pending).substr(0, end)); !taken) return taken;
      pending.erase(0, end + 1);
    }
    if (pending.size() <= kMaxLine) return {};
    return fail(ErrorCode::exhausted, "daemon", fmt::format("a line is over {} bytes", kMaxLine));
  };
  ControlRequest request = request_to(*where, "GET", std::move(path));
  if (lines == Lines::followed) request.silence.reset();
  auto answer = exchange(std::move(request), kMaxAnswer, take);
  if (!answer) return pass(no_daemon(answer.error()));
  const auto ended = body_of(std::move(answer));
  return ended ? Result<void>{} : pass(ended.error());
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace agentmesh::cli
