#include "host/runs.h"

#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/pause.h"
#include "base/process.h"
#include "base/socket_address.h"
#include "base/spawn_logged.h"
#include "base/text.h"
#include "host/process_tree.h"

#include <csignal>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::host {
namespace {

namespace fs = std::filesystem;
namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxLog = 64 * 1024;
constexpr Millis kHolderStart{10'000};
constexpr Millis kCall{10'000};
constexpr Millis kRemoval{20'000};  // the holder gives up on a process after 10 s
constexpr Millis kKillCall{5'000};
constexpr Millis kGraceMargin{20'000};
constexpr Millis kPoll{5};  // for what tells nobody: a socket that appears, a lock that is released
constexpr Millis kFirstRetry{100};
constexpr Millis kLastRetry{5'000};
constexpr int kSweeps = 100;

// The holder needs nothing of our environment; the agent's comes with the launch.
std::map<std::string, std::string> holder_environment() {
  std::map<std::string, std::string> env;
  for (const auto& [name, value] : current_environment()) {
    if (name == "PATH" || name == "HOME" || name == "AGENTMESH_HOME") env[name] = value;
  }
  return env;
}

Error of_holder(Error error) {
  error.stage = "host";
  if (error.code == ErrorCode::unavailable) error.what = "the run's holder does not answer: " + error.what;
  return error;
}

std::string message_of(const net::HttpResponse& answer) {
  const auto body = parse_json(answer.body, "host");
  const std::string text = body && body->is_object() ? json_string(*body, "message", "").value_or("") : "";
  return text.empty() ? fmt::format("the holder answered with status {}", answer.status) : text;
}

// {"StatusCode":137,"Error":null}
std::optional<int> exit_code_in(const std::string& body) {
  const auto row = parse_json(body, "host");
  if (!row || !row->is_object()) return std::nullopt;
  const auto code = json_int(*row, "StatusCode", -1);
  return code && *code >= 0 ? std::optional(static_cast<int>(*code)) : std::nullopt;
}

ErrorCode code_of(int status) {
  if (status == 404) return ErrorCode::not_found;
  return status == 409 ? ErrorCode::conflict : ErrorCode::invalid;
}

}  // namespace

Runs::Runs(asio::any_io_executor executor, net::HttpClient& http, RunsOptions options, Ended ended)
    : executor_(std::move(executor)), http_(http), options_(std::move(options)), ended_(std::move(ended)) {}

Runs::~Runs() = default;

std::string Runs::id_of(const AgentName& agent, RunId run) const {
  return host::id_of({options_.owner, agent.str(), run});
}

fs::path Runs::socket_of(const std::string& id) const { return folder_of(id).socket(); }

std::optional<RunEnd> Runs::end_of(const std::string& id) const {
  const auto seen = folder_of(id).look();
  return seen ? seen->end : std::nullopt;
}

std::optional<Channel> Runs::channel_of(const std::string& id) const {
  const auto found = channels_.find(id);
  return found == channels_.end() ? std::nullopt : std::optional(found->second);
}

Task<net::HttpResponse> Runs::call(const std::string& method, const std::string& id,
                                   const std::string& action, Millis limit) {
  net::HttpRequest request;
  request.method = method;
  request.url = fmt::format("http://holder/containers/{}{}", id, action);
  request.unix_socket = socket_of(id).string();
  request.connect_timeout = kCall;
  request.total_timeout = limit;
  auto answer = co_await http_.send(std::move(request));
  if (!answer) co_return pass(of_holder(answer.error()));
  if (answer->status < 300) co_return std::move(*answer);
  co_return fail(code_of(answer->status), "host", message_of(*answer));
}

Result<> Runs::must_exist(const std::string& id) const {
  const auto seen = folder_of(id).look();
  if (seen && seen->state != RunState::nothing) return {};
  return fail(ErrorCode::not_found, "host", "no run " + id);
}

Task<std::string> Runs::create(AgentName agent, RunId run, HolderLaunch launch) {
  const RunIdentity identity{options_.owner, agent.str(), run};
  const RunFolder folder = folder_of(host::id_of(identity));
  if (folder.socket().native().size() > kMaxSocketPath) {
    co_return fail(
        ErrorCode::invalid, "host", "the path of AGENTMESH_HOME is too long for agents on the host",
        fmt::format("at most {} bytes", kMaxSocketPath - (folder.socket().native().size() -
                                                          options_.folder.parent_path().native().size())));
  }
  if (must_exist(folder.id())) {
    co_await learn_channel(folder.id());
    co_return folder.id();
  }
  if (auto cleared = folder.remove(); !cleared) co_return pass(cleared.error());
  if (auto made = folder.make(identity); !made) co_return pass(made.error());
  making_.insert(folder.id());
  launch.env[std::string(kRunVariable)] = folder.id();
  launch.env[std::string(kProgramVariable)] = options_.program;
  const auto pid = start_detached({.argv = {options_.program, "hold", folder.path().string()},
                                   .env = holder_environment(),
                                   .output = folder.log(),
                                   .input = to_text(launch)});
  Result<> ready;
  if (pid) {
    ready = co_await until_holder_answers(folder.id(), *pid);
  } else {
    ready = pass(pid.error());
  }
  making_.erase(folder.id());
  if (!ready) co_return pass(ready.error());
  channels_[folder.id()] = {launch.http_port, launch.http_password};
  co_return folder.id();
}

Task<> Runs::until_holder_answers(std::string id, int pid) {
  const auto ended = std::make_shared<bool>(false);
  spawn_logged(executor_, "host", reap(executor_, pid), [ended](const Result<>&) { *ended = true; });
  const auto deadline = Clock::now() + kHolderStart;
  while (!*ended && Clock::now() < deadline) {
    if (fs::exists(socket_of(id)) && co_await call("GET", id, "/json", kCall)) co_return Result<>{};
    co_await pause(kPoll);
  }
  const auto said = read_file(folder_of(id).log(), kMaxLog);
  co_return fail(ErrorCode::internal, "host",
                 "the run's holder did not start: " + one_line(said ? *said : "it said nothing"));
}

Task<> Runs::start(std::string id) {
  if (auto known = must_exist(id); !known) co_return known;
  const auto seen = folder_of(id).look();
  if (seen && seen->state == RunState::exited) co_return Result<>{};
  const auto done = co_await call("POST", id, "/start", kCall);
  if (!done) co_return pass(done.error());
  if (seen) watch(folder_of(id), seen->identity);
  co_return Result<>{};
}

Task<> Runs::stop(std::string id, Millis grace) {
  if (auto known = must_exist(id); !known) co_return known;
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(grace).count();
  const auto done = co_await call("POST", id, fmt::format("/stop?t={}", seconds), grace + kGraceMargin);
  const auto seen = folder_of(id).look();
  if (done || (seen && seen->state == RunState::exited)) co_return Result<>{};
  co_return pass(done.error());
}

Task<> Runs::kill(std::string id) {
  if (auto known = must_exist(id); !known) co_return known;
  const auto done = co_await call("POST", id, "/kill", kKillCall);
  if (done || done.error().code == ErrorCode::conflict) co_return Result<>{};
  kill_holder(id);
  co_return Result<>{};
}

// The lock names its holder.
void Runs::kill_holder(const std::string& id) const {
  const auto pid = folder_of(id).holder();
  if (pid) signal_process(*pid, SIGKILL, [&] { return folder_of(id).holder() == pid; });
}

asio::awaitable<bool> Runs::until_holder_gone(std::string id, Millis limit) {
  const auto deadline = Clock::now() + limit;
  while (folder_of(id).holder()) {
    if (Clock::now() > deadline) co_return false;
    co_await pause(kPoll);
  }
  co_return true;
}

Task<> Runs::remove(std::string id) {
  const RunFolder folder = folder_of(id);
  std::error_code ec;
  if (!id.starts_with(kIdPrefix) || !fs::exists(folder.path(), ec)) co_return Result<>{};
  if (folder.holder()) {
    const auto done = co_await call("DELETE", id, "", kRemoval);
    if (!done) log_error(done.error());
    const bool ended = co_await until_holder_gone(id, done ? kKillCall : Millis{0});
    if (!ended) kill_holder(id);
    if (!ended && !co_await until_holder_gone(id, kKillCall)) {
      co_return fail(ErrorCode::unavailable, "host", "the holder of " + id + " cannot be ended");
    }
  }
  co_await sweep(id);
  channels_.erase(id);
  co_return folder.remove();
}

// What a killed holder left running. A process that started without its environment cannot be found.
asio::awaitable<void> Runs::sweep(std::string id) {
  const std::string variable = fmt::format("{}={}", kRunVariable, id);
  for (int i = 0; i < kSweeps; ++i) {
    const auto left = carriers_of(variable, "/proc");
    if (left.empty()) co_return;
    for (const pid_t pid : left)
      signal_process(pid, SIGKILL, [&] { return carries(pid, variable, "/proc"); });
    co_await pause(kPoll);
  }
  log_error(Error{ErrorCode::internal, "host", "processes of " + id + " cannot be ended", ""});
}

Task<std::vector<RunSeen>> Runs::list() {
  std::vector<std::string> ids;
  std::error_code ec;
  std::error_code gone;
  for (fs::directory_iterator at(options_.folder, ec), end; !ec && at != end; at.increment(ec)) {
    const std::string id = at->path().filename().string();
    if (id.starts_with(kGonePrefix)) fs::remove_all(at->path(), gone);
    if (id.starts_with(kIdPrefix) && !making_.contains(id)) ids.push_back(id);
  }
  if (ec && ec != std::errc::no_such_file_or_directory) {
    co_return pass(os_error("host", "cannot read " + options_.folder.string(), ec.value()));
  }
  std::vector<RunSeen> found;
  for (const std::string& id : ids) {
    auto seen = folder_of(id).look();
    if (!seen || seen->state == RunState::nothing) {
      if (auto removed = co_await remove(id); !removed) log_error(removed.error());
      continue;
    }
    if (seen->state != RunState::exited) co_await learn_channel(id);
    if (seen->state == RunState::running) watch(folder_of(id), seen->identity);
    found.push_back(std::move(*seen));
  }
  co_return found;
}

// A holder that does not answer is asked again by the next list().
asio::awaitable<void> Runs::learn_channel(std::string id) {
  if (channels_.contains(id)) co_return;
  const auto answer = co_await call("GET", id, "/link", kCall);
  const auto row = answer ? parse_json(answer->body, "host") : pass(answer.error());
  if (!row || !row->is_object()) co_return;
  const auto port = json_int(*row, "http_port", 0);
  const auto password = json_string(*row, "http_password", "");
  if (port && password && *port >= 0 && *port <= 65'535)
    channels_[id] = {static_cast<std::uint16_t>(*port), Secret(*password)};
}

Task<std::string> Runs::logs(std::string id, std::uint32_t lines) {
  auto answer = co_await call("GET", id, fmt::format("/logs?tail={}", lines), kCall);
  if (!answer) co_return pass(answer.error());
  co_return std::move(answer->body);
}

void Runs::watch(const RunFolder& folder, const RunIdentity& identity) {
  if (watched_.insert(folder.id()).second) spawn_logged(executor_, "host", watch_loop(folder.id(), identity));
}

asio::awaitable<void> Runs::watch_loop(std::string id, RunIdentity identity) {
  const std::weak_ptr<int> guard = alive_;
  Millis retry = kFirstRetry;
  while (!guard.expired()) {
    const auto told = co_await call("POST", id, "/wait", Millis{0});
    if (guard.expired()) co_return;
    std::optional<int> code = told ? exit_code_in(told->body) : std::nullopt;
    const auto seen = folder_of(id).look();
    if (!code && !seen) break;  // it was removed
    if (!code && seen->state == RunState::exited) {
      co_await sweep(id);
      if (guard.expired()) co_return;
      code = seen->exit_code;
    }
    if (code) {
      ended_(identity, *code);
      break;
    }
    co_await pause(retry);
    retry = std::min(2 * retry, kLastRetry);
  }
  if (!guard.expired()) watched_.erase(id);
}

}  // namespace agentmesh::host
