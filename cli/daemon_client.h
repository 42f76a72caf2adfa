#pragma once
// The command line's way to the daemon: HTTP on the control socket. The first command that needs the daemon
// starts it.

#include "base/result.h"
#include "cli/control_socket.h"
#include "daemon/home.h"

#include <functional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace agentmesh::cli {

// AGENTMESH_HOME. Errors: invalid.
Result<daemon::Home> home();

enum class IfDown { start, fail };

// Starts the daemon unless it answers. Errors: those the daemon gave for not starting, timeout (also: one
// runs and hangs).
Result<void> ensure_daemon(const daemon::Home& home);

// One exchange; the body of a 2xx answer. Errors: unavailable (no daemon, and IfDown::fail), or the daemon's
// own.
Result<std::string> call(std::string_view method, std::string path, std::string body, IfDown if_down);
Result<nlohmann::json> post_json(std::string path, const nlohmann::json& body);
Result<nlohmann::json> get_json(std::string path, IfDown if_down);

// `post_json` in two halves: what is asked of several agents is asked first and awaited then.
Result<SentRequest> ask(std::string_view method, std::string path, const nlohmann::json& body);
Result<nlohmann::json> answer_to(const SentRequest& sent);

enum class Lines { kept, followed };  // followed: however long none comes

// Reads a streamed answer line by line, until it ends or `line` fails: then that error.
Result<void> stream(std::string path, Lines lines, const std::function<Result<void>(std::string_view)>& line);

std::string percent_encode(std::string_view text);

}  // namespace agentmesh::cli
