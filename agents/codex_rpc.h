#pragma once
// One connection to Codex's app-server: JSON-RPC in text messages, requests both ways. Internal to agents/.
// Its protocol is that of `codex app-server generate-ts`, 0.169.

#include "agents/codex_link.h"
#include "agents/codex_state.h"

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/any_io_executor.hpp>
#include <nlohmann/json_fwd.hpp>

namespace agentmesh::agents {

constexpr std::size_t kMaxCodexMessage = 16 * 1024 * 1024;  // the server's own limit
// Parsed on the loop; what is larger, beside it: at some 30 MB/s in two passes this is a pause of 20 ms, the
// largest message would be one of a second.
constexpr std::size_t kMaxCodexOnLoop = 256 * 1024;

class CodexRpc : public std::enable_shared_from_this<CodexRpc> {
 public:
  // Notifications and requests of the server's; never an answer.
  using Sink = std::function<void(const nlohmann::json&)>;

  // A message that is not parsed within `max_parsing` ends the line.
  static std::shared_ptr<CodexRpc> over(boost::asio::any_io_executor executor,
                                        std::shared_ptr<net::WebSocket> socket, Offload& offload,
                                        Millis max_parsing, Sink sink);

  // Reads until the connection ends; then every call that waits fails.
  boost::asio::awaitable<void> run();
  // The handshake; only the first time something is said.
  Task<> hello(Millis limit);
  // The server's, as it told in the handshake; empty: not known.
  const std::string& version() const { return version_; }
  // The answer's `result`. Errors: denied (the server refuses: nothing was done), timeout, unavailable.
  Task<nlohmann::json> call(std::string method, nlohmann::json params, Millis limit);
  // Answers a request of the server's, whose id is JSON. Errors: unavailable.
  Result<> reply(const std::string& id, const nlohmann::json& result);
  void drop();

 private:
  struct Waiting;

  CodexRpc(boost::asio::any_io_executor executor, std::shared_ptr<net::WebSocket> socket, Offload& offload,
           Millis max_parsing, Sink sink);
  Task<nlohmann::json> parsed(std::string text);
  void take(nlohmann::json message);
  bool is_one_of_many(std::string_view text);

  boost::asio::any_io_executor executor_;
  std::shared_ptr<net::WebSocket> socket_;
  Offload& offload_;
  Millis max_parsing_;
  Sink sink_;
  std::map<std::int64_t, std::shared_ptr<Waiting>> waiting_;
  std::chrono::steady_clock::time_point next_delta_{};
  std::int64_t last_id_ = 0;
  std::string version_;
  bool greeted_ = false;
};

// The way to the server over http.sock in the run folder; in a sandbox a link in its place is not followed.
CodexConnect codex_connect(std::filesystem::path run_dir, Place place);

// The `data` of an answer that is a list; empty when it is none.
const nlohmann::json& codex_list(const nlohmann::json& answer);

// The parameters that put a message into a conversation. One that was resumed has the permissions it began
// with: it gets those of this run, for this turn and those after it.
nlohmann::json codex_turn(const std::string& thread, const Message& message, Permissions permissions);

// What answers a request for permission. Errors: denied (only a person can answer it: no keys either).
Result<nlohmann::json> codex_reply(const CodexRequest& request, PermissionAnswer answer);

}  // namespace agentmesh::agents
