#include "agents/codex_rpc.h"

#include "agents/byte_budget.h"
#include "agents/fields.h"
#include "base/json.h"
#include "base/offload.h"
#include "base/pause.h"
#include "base/spawn_logged.h"
#include "base/unique_fd.h"
#include "net/websocket.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <utility>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {

using boost::asio::awaitable;
using nlohmann::json;
using Steady = std::chrono::steady_clock;

namespace {

constexpr Millis kDeltaEvery{500};       // of the pieces of a text that is being made, one is heard
constexpr std::size_t kMethodEnd = 100;  // a message begins with its method
// The values are freed on the loop, wherever they were parsed.
constexpr JsonLimits kLimits{.bytes = kMaxCodexMessage, .depth = kMaxJsonDepth, .values = 100'000};

// Never looked at, and the most of the traffic.
constexpr std::array<std::string_view, 8> kUnwanted = {
    "turn/diff/updated",        "item/plan/delta",
    "item/reasoning/textDelta", "item/fileChange/patchUpdated",
    "command/exec/outputDelta", "item/fileChange/outputDelta",
    "thread/readState/changed", "rawResponseItem/completed"};

std::unexpected<Error> gone() {
  return fail(ErrorCode::unavailable, "codex", "the line to its server is gone");
}

}  // namespace

struct CodexRpc::Waiting {
  explicit Waiting(const boost::asio::any_io_executor& executor) : timer(executor) {}
  boost::asio::steady_timer timer;
  std::optional<Result<json>> answer;
};

std::shared_ptr<CodexRpc> CodexRpc::over(boost::asio::any_io_executor executor,
                                         std::shared_ptr<net::WebSocket> socket, Offload& offload,
                                         Millis max_parsing, Sink sink) {
  return std::shared_ptr<CodexRpc>(
      new CodexRpc(std::move(executor), std::move(socket), offload, max_parsing, std::move(sink)));
}

CodexRpc::CodexRpc(boost::asio::any_io_executor executor, std::shared_ptr<net::WebSocket> socket,
                   Offload& offload, Millis max_parsing, Sink sink)
    : executor_(std::move(executor)),
      socket_(std::move(socket)),
      offload_(offload),
      max_parsing_(max_parsing),
      sink_(std::move(sink)) {}

awaitable<void> CodexRpc::run() {
  const auto self = shared_from_this();
  ByteBudget budget({});
  while (true) {
    auto text = co_await socket_->receive();
    if (!text) break;
    const std::size_t size = text->size();
    if (!is_one_of_many(*text)) {
      auto message = co_await parsed(std::move(*text));
      if (!message && message.error().code == ErrorCode::unavailable) break;
      if (message && message->is_object()) take(std::move(*message));
    }
    const auto now = std::chrono::duration_cast<Millis>(Steady::now().time_since_epoch());
    const Millis wait = budget.charge(size, now);
    if (wait.count() > 0) co_await pause(wait);
  }
  socket_->drop();
  for (const auto& [id, waiting] : std::exchange(waiting_, {})) {
    waiting->answer = gone();
    waiting->timer.cancel();
  }
}

bool CodexRpc::is_one_of_many(std::string_view text) {
  if (!text.substr(0, kMethodEnd).contains(R"(elta",)")) return false;
  const auto now = Steady::now();
  if (now < next_delta_) return true;
  next_delta_ = now + kDeltaEvery;
  return false;
}

// The next message is read when this one was taken: their order is kept.
Task<json> CodexRpc::parsed(std::string text) {
  if (text.size() <= kMaxCodexOnLoop) co_return parse_json(text, "codex", kLimits);
  const auto parsing = std::make_shared<Waiting>(executor_);
  parsing->timer.expires_after(max_parsing_);
  // Not awaited in place: a cancelled line must not reach into another thread.
  spawn_logged(executor_, "codex",
               offload_.run([text = std::move(text)] { return parse_json(text, "codex", kLimits); }),
               [parsing](Result<json> message) {
                 parsing->answer = std::move(message);
                 parsing->timer.cancel();
               });
  boost::system::error_code woken;
  co_await parsing->timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, woken));
  if (parsing->answer) co_return std::move(*parsing->answer);
  co_return gone();
}

void CodexRpc::take(json message) {
  if (message.contains("method")) {
    sink_(message);
    return;
  }
  const auto id = whole_at(message, "id");
  const auto found = id ? waiting_.find(*id) : waiting_.end();
  if (found == waiting_.end()) return;
  if (message.contains("error")) {
    found->second->answer =
        fail(ErrorCode::denied, "codex",
             "codex refuses: " + one_line(text_at(object_at(message, "error"), "message")));
  } else {
    const auto result = message.find("result");
    found->second->answer =
        result != message.end() && result->is_object() ? std::move(*result) : json::object();
  }
  found->second->timer.cancel();
  waiting_.erase(found);
}

Task<json> CodexRpc::call(std::string method, json params, Millis limit) {
  const auto self = shared_from_this();
  const std::int64_t id = ++last_id_;
  const auto waiting = std::make_shared<Waiting>(executor_);
  if (auto sent = socket_->send(
          dump_json({{"id", id}, {"method", std::move(method)}, {"params", std::move(params)}}));
      !sent)
    co_return pass(sent.error());
  waiting_[id] = waiting;
  struct Done {
    std::map<std::int64_t, std::shared_ptr<Waiting>>& all;
    std::int64_t id;
    ~Done() { all.erase(id); }
  } done{waiting_, id};
  waiting->timer.expires_after(limit);
  boost::system::error_code woken;
  co_await waiting->timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, woken));
  if (waiting->answer) co_return std::move(*waiting->answer);
  co_return fail(ErrorCode::timeout, "codex", "its server does not answer");
}

Task<> CodexRpc::hello(Millis limit) {
  if (greeted_) co_return Result<>{};
  const json params{
      {"clientInfo", {{"name", "agentmesh"}, {"title", "agentmesh"}, {"version", AGENTMESH_VERSION}}},
      {"capabilities", {{"experimentalApi", true}, {"optOutNotificationMethods", kUnwanted}}}};
  const auto answer = co_await call("initialize", params, limit);
  if (!answer) co_return pass(answer.error());
  const std::string agent = text_at(*answer, "userAgent");  // "agentmesh/0.169.0 (Debian 12.0.0; x86_64)"
  version_ = version_of(std::string_view(agent).substr(agent.find('/') + 1));
  greeted_ = true;
  co_return socket_->send(dump_json({{"method", "initialized"}}));
}

Result<> CodexRpc::reply(const std::string& id, const json& result) {
  return socket_->send(fmt::format(R"({{"id":{},"result":{}}})", id, dump_json(result)));
}

void CodexRpc::drop() { socket_->drop(); }

// The agent owns the folder: what is not a socket, a link above all, is not followed out of the sandbox. On
// the host there is nothing to get out of, and the server itself makes a link.
CodexConnect codex_connect(std::filesystem::path run_dir, Place place) {
  const int follow = place == Place::sandbox ? O_NOFOLLOW : 0;
  const auto folder = std::make_shared<UniqueFd>(::open(run_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  return [folder, follow]() -> Task<std::shared_ptr<net::WebSocket>> {
    const UniqueFd socket(::openat(folder->get(), "http.sock", O_PATH | follow | O_CLOEXEC));
    struct stat status{};
    if (!socket.valid() || ::fstat(socket.get(), &status) != 0) {
      co_return fail(ErrorCode::unavailable, "codex",
                     fmt::format("cannot open http.sock: {}", std::strerror(errno)));
    }
    if (!S_ISSOCK(status.st_mode)) co_return fail(ErrorCode::denied, "codex", "http.sock is not a socket");
    const std::string path = fmt::format("/proc/self/fd/{}", socket.get());
    co_return co_await net::connect_websocket(
        std::filesystem::path(path),
        net::WebSocketLimits{.message_bytes = kMaxCodexMessage, .connect = Millis{2'000}});
  };
}

const json& codex_list(const json& answer) {
  static const json empty = json::array();
  const auto found = answer.is_object() ? answer.find("data") : answer.end();
  return answer.is_object() && found != answer.end() && found->is_array() ? *found : empty;
}

json codex_turn(const std::string& thread, const Message& message, Permissions permissions) {
  json input = json::array();
  input.push_back({{"type", "text"}, {"text", message.text}});
  json turn{{"threadId", thread}, {"clientUserMessageId", message.id}, {"input", std::move(input)}};
  if (permissions == Permissions::open) {
    turn["approvalPolicy"] = "never";
    turn["sandboxPolicy"] = {{"type", "dangerFullAccess"}};
  }
  if (permissions == Permissions::ask) {
    turn["approvalPolicy"] = "on-request";
    turn["sandboxPolicy"] = {{"type", "readOnly"}, {"networkAccess", false}};
  }
  return turn;
}

Result<json> codex_reply(const CodexRequest& request, PermissionAnswer answer) {
  const bool allow = answer != PermissionAnswer::deny;
  if (request.method == "item/permissions/requestApproval") {
    if (!allow) return json{{"permissions", json::object()}, {"scope", "turn"}};
    auto asked = parse_json(request.permissions, "codex");
    if (!asked) {
      return fail(ErrorCode::denied, "answer", "it asks for more than can be allowed from here",
                  "agentmesh attach");
    }
    return json{{"permissions", std::move(*asked)}, {"scope", "turn"}};
  }
  if (request.method == "item/commandExecution/requestApproval" ||
      request.method == "item/fileChange/requestApproval") {
    return json{{"decision", allow ? "accept" : "decline"}};
  }
  return fail(ErrorCode::denied, "answer", "only a person can answer this", "agentmesh attach");
}

}  // namespace agentmesh::agents
