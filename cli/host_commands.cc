// init, up, down, doctor, daemon, hub, version, completion, pane, hold.
#include "base/files.h"
#include "base/log.h"
#include "base/steady_clock.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/completion.h"
#include "cli/daemon_client.h"
#include "cli/hook_client.h"
#include "cli/output.h"
#include "cli/pane.h"
#include "config/load.h"
#include "daemon/daemon.h"
#include "host/holder.h"
#include "hub/server.h"

#include <iostream>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::cli {
namespace {

using nlohmann::json;

constexpr Millis kDownLimit{10'000};
constexpr Millis kDownPoll{10};

// The default file, with the hub filled in.
std::string config_text(const std::string& hub_url, const std::filesystem::path& key_file) {
  std::string text(config::default_toml());
  const auto replace = [&](std::string_view from, const std::string& to) {
    if (const std::size_t at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
  };
  if (!hub_url.empty()) replace("url = \"\"", fmt::format("url = \"{}\"", hub_url));
  if (!key_file.empty())
    replace("key = \"env:AGENTMESH_HUB_TOKEN\"", fmt::format("key = \"file:{}\"", key_file.string()));
  return text;
}

bool plain_url(const std::string& url) {
  const bool scheme = url.starts_with("http://") || url.starts_with("https://");
  return scheme && url.find_first_of("\"\\ \n\t") == std::string::npos;
}

// The daemon's end is the end of its lock. `answer` is what it said to the shutdown.
Result<void> await_end(const daemon::Home& where, const std::string& answer) {
  const auto deadline = std::chrono::steady_clock::now() + kDownLimit;
  while (true) {
    const auto lock = lock_file(where.lock());
    if (lock) return {};
    if (lock.error().code != ErrorCode::conflict) return pass(lock.error());
    if (std::chrono::steady_clock::now() >= deadline) break;
    std::this_thread::sleep_for(kDownPoll);
  }
  const json said = json::parse(answer, nullptr, false);
  const std::int64_t pid = said.is_object() ? said.value("pid", std::int64_t{0}) : 0;
  return fail(ErrorCode::timeout, "down",
              fmt::format("the daemon, pid {}, has not ended within {} s", pid, kDownLimit.count() / 1000),
              fmt::format("see {}, or kill {}", where.daemon_log().string(), pid));
}

}  // namespace

Result<int> run_init(const Arguments& arguments) {
  const auto where = home();
  if (!where) return pass(where.error());
  const std::string url = arguments.text("--hub");
  if (!url.empty() && !plain_url(url))
    return fail(ErrorCode::invalid, "init", fmt::format("'{}' is not a hub's URL", url), "http://HOST:PORT");
  if (arguments.has("--token") && url.empty()) return fail(ErrorCode::invalid, "init", "--token needs --hub");
  if (auto prepared = prepare_home(*where); !prepared) return pass(prepared.error());
  std::error_code ec;
  if (std::filesystem::exists(where->config(), ec) && !arguments.has("--force")) {
    return fail(ErrorCode::conflict, "init", where->config().string() + " exists", "--force overwrites it");
  }
  std::filesystem::path key_file;
  if (arguments.has("--token")) {
    std::string token = arguments.text("--token");
    if (token == "-") std::getline(std::cin, token);
    key_file = where->root / "hub.token";
    if (auto wrote = write_file(key_file, token + "\n", 0600); !wrote) return pass(wrote.error());
  }
  if (auto wrote = write_file(where->config(), config_text(url, key_file), 0600); !wrote)
    return pass(wrote.error());
  print(where->config().string() + "\n");
  return 0;
}

Result<int> run_up(const Arguments& arguments) {
  const auto where = home();
  if (!where) return pass(where.error());
  if (auto up = ensure_daemon(*where); !up) return pass(up.error());
  const auto status = get_json("/v1/status", IfDown::start);
  if (!status) return pass(status.error());
  print(arguments.json()
            ? status->dump() + "\n"
            : fmt::format("the daemon runs: pid {}, hub {}\n", (*status)["daemon"]["pid"].get<int>(),
                          (*status)["hub"]["url"].get<std::string>()));
  return 0;
}

Result<int> run_down(const Arguments& arguments) {
  const auto where = home();
  if (!where) return pass(where.error());
  // Agents can only be stopped by a daemon that runs.
  const IfDown if_down =
      arguments.has("--agents") && std::filesystem::exists(where->state_db()) ? IfDown::start : IfDown::fail;
  const auto answer =
      call("POST", "/v1/shutdown", json{{"agents", arguments.has("--agents")}}.dump(), if_down);
  if (!answer && answer.error().code == ErrorCode::unavailable) {
    print(arguments.json() ? "{\"stopped_agents\":0,\"pid\":null}\n" : "the daemon does not run\n");
    return 0;
  }
  if (!answer) return pass(answer.error());
  if (auto ended = await_end(*where, *answer); !ended) return pass(ended.error());
  print(arguments.json() ? *answer + "\n" : "the daemon has stopped\n");
  return 0;
}

Result<int> run_doctor(const Arguments& arguments) {
  const auto findings = get_json("/v1/doctor", IfDown::start);
  if (!findings) return pass(findings.error());
  bool healthy = true;
  std::vector<Row> rows;
  for (const json& finding : *findings) {
    const std::string status = finding["status"].get<std::string>();
    healthy = healthy && status != "problem";
    const std::string cure = finding["cure"].is_null() ? "" : "  -> " + finding["cure"].get<std::string>();
    rows.push_back({status, finding["check"].get<std::string>(), finding["what"].get<std::string>() + cure});
  }
  print(arguments.json() ? findings->dump() + "\n" : table(rows));
  return healthy ? 0 : 1;
}

Result<int> run_daemon_command(const Arguments&) {
  const auto where = home();
  if (!where) return pass(where.error());
  const auto config = config::load(where->config(), config::system_environment());
  if (!config) return pass(config.error());
  return daemon::run_daemon(*config, *where);
}

Result<int> run_hub(const Arguments& arguments) {
  const auto where = home();
  if (!where) return pass(where.error());
  const std::filesystem::path data =
      arguments.has("--data") ? std::filesystem::path(arguments.text("--data")) : where->root;
  const std::string listen = arguments.has("--listen") ? arguments.text("--listen") : "127.0.0.1:8440";
  const auto address = daemon::parse_listen(listen);
  if (!address) return pass(address.error());
  ::prctl(PR_SET_DUMPABLE, 0);
  ::umask(0077);
  log_to_stderr(LogLevel::info);
  if (auto made = make_dir(data, 0700); !made) return pass(made.error());
  const auto lock = lock_file(data / "hub.lock");
  if (!lock && lock.error().code != ErrorCode::conflict) return pass(lock.error());
  if (!lock) return fail(ErrorCode::conflict, "hub", "another hub runs on " + data.string());
  auto store = hub::open_sqlite_store((data / "hub.db").string());
  if (!store) return pass(store.error());
  const SteadyClock clock;
  boost::asio::io_context io(1);
  const auto key = hub::ensure_admin_key(**store, data / "hub.key", clock.now());
  if (!key) return pass(key.error());
  hub::HubServer server(
      io, **store, clock,
      {.address = address->first,
       .port = address->second,
       .plain_http = arguments.has("--insecure") ? hub::PlainHttp::anywhere : hub::PlainHttp::loopback_only});
  const auto port = server.start();
  if (!port) return pass(port.error());
  print(fmt::format("the hub listens on http://{}:{}; its admin key is in {}\n", address->first, *port,
                    (data / "hub.key").string()));
  if (auto written = flush_output(); !written) return pass(written.error());
  boost::asio::signal_set signals(io, SIGTERM, SIGINT);
  signals.async_wait([&](boost::system::error_code ec, int) {
    if (!ec) io.stop();
  });
  io.run();
  return 0;
}

Result<int> run_version(const Arguments& arguments) {
  print(arguments.json() ? json{{"version", AGENTMESH_VERSION}}.dump() + "\n"
                         : fmt::format("agentmesh {}\n", AGENTMESH_VERSION));
  return 0;
}

Result<int> run_completion(const Arguments& arguments) {
  const auto script = completion_script(arguments.text("SHELL"), commands());
  if (!script) return pass(script.error());
  print(*script);
  return 0;
}

Result<int> run_pane_command(const Arguments& arguments) {
  return run_pane({.engine_socket = arguments.text("--engine"),
                   .api_version = "",
                   .container = arguments.text("CONTAINER"),
                   .state_dir = arguments.text("--state")});
}

Result<int> run_hook_command(const Arguments& arguments) {
  return run_hook(arguments.text("RUNNER"), arguments.has("--wait") ? HookStay::wait : HookStay::leave);
}

Result<int> run_hold_command(const Arguments& arguments) {
  return host::run_holder(arguments.text("FOLDER"));
}

}  // namespace agentmesh::cli
