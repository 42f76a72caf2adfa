#include "sandbox/docker_engine.h"

#include "base/pause.h"
#include "sandbox/docker_wire.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

namespace agentmesh::sandbox {
namespace {

constexpr Millis kExecPollFirst{2};
constexpr Millis kExecPollMost{50};
constexpr std::string_view kStartCure =
    "start Docker (sudo systemctl start docker) or set DOCKER_HOST=unix://PATH";
constexpr std::string_view kRightsCure = "sudo usermod -aG docker $USER, and log in again";

// The HTTP client's error as the engine's, with the cure.
Error of_engine(Error error, const std::string& socket) {
  error.stage = "engine";
  if (error.code == ErrorCode::denied) {
    error = Error{ErrorCode::unavailable, "engine", "no permission to use the engine's socket " + socket,
                  std::string(kRightsCure)};
  } else if (error.code == ErrorCode::unavailable) {
    error.what = "the container engine cannot be reached: " + error.what;
    error.hint = kStartCure;
  } else if (error.code == ErrorCode::timeout) {
    error.hint = "the engine may hang; what was asked may have happened";
  }
  return error;
}

std::string container_path(const std::string& id, std::string_view rest) {
  return "/containers/" + wire::encode(id) + std::string(rest);
}

// An empty id in the path would ask for something else.
bool names_nothing(std::string_view path) {
  return path.find("//") != path.npos || path.find("/?") != path.npos || path.ends_with('/');
}

bool is_success(int status) { return (status >= 200 && status < 300) || status == 304; }

// A missing thing is what the caller wanted.
Result<> gone(Result<net::HttpResponse> response) {
  if (response || response.error().code == ErrorCode::not_found) return {};
  return pass(std::move(response.error()));
}

Result<> done(Result<net::HttpResponse> response) {
  if (response) return {};
  return pass(std::move(response.error()));
}

template <class Parse>
auto read(const Result<net::HttpResponse>& response, Parse parse) -> decltype(parse(std::string_view())) {
  if (!response) return pass(response.error());
  return parse(std::string_view(response->body));
}

}  // namespace

DockerEngine::DockerEngine(net::HttpClient& http, EngineOptions options)
    : http_(http), options_(std::move(options)) {}

net::HttpRequest DockerEngine::request(std::string method) const {
  net::HttpRequest out;
  out.method = std::move(method);
  out.unix_socket = options_.socket;
  out.connect_timeout = std::max(options_.deadline, Millis{1});
  out.total_timeout = options_.deadline;
  out.max_response_bytes = wire::kMaxAnswerBytes;
  return out;
}

Task<> DockerEngine::negotiate() {
  auto get = request("GET");
  get.url = "http://engine/version";
  const auto response = co_await http_.send(std::move(get));
  if (!response) co_return pass(of_engine(response.error(), options_.socket));
  if (!is_success(response->status)) co_return pass(wire::error_from(response->status, response->body));
  const auto version = wire::version_from(response->body);
  if (!version) co_return pass(version.error());
  api_ = version->api;
  co_return Result<>{};
}

Task<net::HttpResponse> DockerEngine::exchange(net::HttpRequest request, std::string path) {
  if (names_nothing(path)) co_return fail(ErrorCode::invalid, "engine", "an empty id or name");
  if (api_.empty()) {
    if (auto ok = co_await negotiate(); !ok) co_return pass(std::move(ok.error()));
  }
  request.url = "http://engine/v" + api_ + path;
  auto response = co_await http_.send(std::move(request));
  if (!response) {
    if (response.error().code == ErrorCode::unavailable) api_.clear();  // another engine may come back
    co_return pass(of_engine(std::move(response.error()), options_.socket));
  }
  if (!is_success(response->status)) co_return pass(wire::error_from(response->status, response->body));
  co_return std::move(*response);
}

Task<net::HttpResponse> DockerEngine::call(std::string method, std::string path, std::string json_body) {
  auto out = request(std::move(method));
  if (!json_body.empty()) {
    out.headers.push_back({"Content-Type", "application/json"});
    out.body = std::move(json_body);
  }
  co_return co_await exchange(std::move(out), std::move(path));
}

Task<> DockerEngine::ping() {
  auto get = request("GET");
  get.url = "http://engine/_ping";
  const auto response = co_await http_.send(std::move(get));
  if (!response) co_return pass(of_engine(response.error(), options_.socket));
  if (!is_success(response->status)) co_return pass(wire::error_from(response->status, response->body));
  co_return Result<>{};
}

Task<EngineVersion> DockerEngine::version() {
  auto get = request("GET");
  get.url = "http://engine/version";
  const auto response = co_await http_.send(std::move(get));
  if (!response) co_return pass(of_engine(response.error(), options_.socket));
  if (!is_success(response->status)) co_return pass(wire::error_from(response->status, response->body));
  auto version = wire::version_from(response->body);
  if (version) api_ = version->api;
  co_return version;
}

Task<EngineInfo> DockerEngine::info() { co_return read(co_await call("GET", "/info", ""), wire::info_from); }

Task<std::string> DockerEngine::create(std::string name, RunSpec spec) {
  co_return read(co_await call("POST", "/containers/create?name=" + wire::encode(name), create_json(spec)),
                 wire::id_from);
}

Task<> DockerEngine::start(std::string id) {
  auto response = co_await call("POST", container_path(id, "/start"), "");
  const bool no_container = !response && response.error().what.find("o such container") != std::string::npos;
  if (!response && response.error().code == ErrorCode::not_found && !no_container) {
    response.error().code = ErrorCode::invalid;  // a program or a device that is not there
  }
  co_return done(std::move(response));
}

Task<> DockerEngine::stop(std::string id, Millis grace) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(std::max(grace, Millis{0}));
  auto post = request("POST");
  post.total_timeout += seconds;
  co_return done(
      co_await exchange(std::move(post), container_path(id, fmt::format("/stop?t={}", seconds.count()))));
}

Task<> DockerEngine::kill(std::string id, int signal) {
  co_return done(co_await call("POST", container_path(id, fmt::format("/kill?signal={}", signal)), ""));
}

// A quota of -1 lifts the limit that NanoCpus set; NanoCpus of 0 would change nothing.
Task<> DockerEngine::lift_cpu_limit(std::string id) {
  co_return done(co_await call("POST", container_path(id, "/update"), R"({"CpuQuota":-1})"));
}

Task<> DockerEngine::remove(std::string id) {
  co_return gone(co_await call("DELETE", container_path(id, "?force=1&v=1"), ""));
}

Task<std::vector<ContainerSummary>> DockerEngine::list(Labels labels) {
  co_return read(co_await call("GET", "/containers/json?all=1&filters=" + wire::label_filter(labels), ""),
                 wire::summaries_from);
}

Task<ContainerDetails> DockerEngine::inspect(std::string id) {
  co_return read(co_await call("GET", container_path(id, "/json"), ""), wire::details_from);
}

Task<int> DockerEngine::wait(std::string id) {
  auto post = request("POST");
  post.total_timeout = Millis{0};
  co_return read(co_await exchange(std::move(post), container_path(id, "/wait?condition=not-running")),
                 wire::wait_code_from);
}

Task<std::string> DockerEngine::logs(std::string id, LogsRequest wanted) {
  const auto details = co_await inspect(id);
  if (!details) co_return pass(details.error());
  wire::Tail tail(wanted.max_bytes);
  wire::Demultiplexer frames([&](wire::Stream, std::string_view text) { tail.push(text); });
  Result<> framed;
  auto get = request("GET");
  get.on_data = [&](std::string_view data) {
    if (details->terminal) {
      tail.push(data);
    } else {
      framed = frames.push(data);
    }
    return framed ? net::Flow::more : net::Flow::stop;
  };
  const auto path = container_path(id, fmt::format("/logs?stdout=1&stderr=1&tail={}", wanted.tail_lines));
  const auto response = co_await exchange(std::move(get), path);
  if (!response) co_return pass(response.error());
  if (!framed) co_return pass(framed.error());
  co_return tail.take();
}

Task<> DockerEngine::resize(std::string id, TerminalSize size) {
  const auto path = container_path(id, fmt::format("/resize?h={}&w={}", size.rows, size.columns));
  co_return done(co_await call("POST", path, ""));
}

Task<std::string> DockerEngine::exec_create(std::string id, const ExecRequest& wanted) {
  co_return read(co_await call("POST", container_path(id, "/exec"), wire::exec_json(wanted)), wire::id_from);
}

Task<ExecResult> DockerEngine::exec(std::string id, ExecRequest wanted) {
  const auto until = std::chrono::steady_clock::now() + wanted.deadline;
  const auto exec_id = co_await exec_create(id, wanted);
  if (!exec_id) co_return pass(exec_id.error());
  ExecResult result;
  wire::Demultiplexer frames([&](wire::Stream stream, std::string_view text) {
    auto& kept = stream == wire::Stream::out ? result.out : result.err;
    const auto room = wanted.max_output_bytes - std::min(kept.size(), wanted.max_output_bytes);
    kept.append(text.substr(0, room));
    result.truncated = result.truncated || text.size() > room;
  });
  Result<> framed;
  auto post = request("POST");
  post.total_timeout = wanted.deadline;
  post.headers.push_back({"Content-Type", "application/json"});
  post.body = R"({"Detach":false,"Tty":false})";
  post.on_data = [&](std::string_view data) {
    framed = frames.push(data);
    return framed ? net::Flow::more : net::Flow::stop;
  };
  const auto path = "/exec/" + wire::encode(*exec_id);
  const auto response = co_await exchange(std::move(post), path + "/start");
  if (!response) co_return pass(response.error());
  if (!framed) co_return pass(framed.error());
  // The streams end a moment before the engine knows the exit code.
  for (Millis delay = kExecPollFirst;; delay = std::min(2 * delay, kExecPollMost)) {
    const auto state = read(co_await call("GET", path + "/json", ""), wire::exec_state_from);
    if (!state) co_return pass(state.error());
    result.exit_code = state->exit_code;
    if (!state->running) co_return result;
    if (std::chrono::steady_clock::now() >= until) {
      co_return fail(ErrorCode::timeout, "engine",
                     "the program closed its output but still runs at the deadline");
    }
    co_await pause(delay);
  }
}

Task<std::vector<NetworkDetails>> DockerEngine::list_networks(Labels labels) {
  co_return read(co_await call("GET", "/networks?filters=" + wire::label_filter(labels), ""),
                 wire::networks_from);
}

Task<std::string> DockerEngine::create_network(NetworkRequest wanted) {
  auto response = co_await call("POST", "/networks/create", wire::network_json(wanted));
  // The engine says 403 for a subnet that overlaps another network's.
  if (!response && response.error().code == ErrorCode::denied) response.error().code = ErrorCode::conflict;
  co_return read(response, wire::id_from);
}

Task<> DockerEngine::remove_network(std::string name) {
  auto response = co_await call("DELETE", "/networks/" + wire::encode(name), "");
  if (!response && response.error().code == ErrorCode::denied) response.error().code = ErrorCode::conflict;
  co_return gone(std::move(response));
}

Task<NetworkDetails> DockerEngine::inspect_network(std::string name) {
  co_return read(co_await call("GET", "/networks/" + wire::encode(name), ""), wire::network_from);
}

}  // namespace agentmesh::sandbox
