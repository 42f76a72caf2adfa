// start, attach, nudge, approve, deny, stop, restart, list, status, explain, logs, crashes, events.
#include "base/json.h"
#include "base/process.h"
#include "base/secret.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/daemon_client.h"
#include "cli/log_follow.h"
#include "cli/output.h"
#include "daemon/agent_spec.h"
#include "daemon/crash_report.h"
#include "tmux/tmux.h"

#include <thread>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::cli {
namespace {

using nlohmann::json;

constexpr int kUndelivered = 6;
constexpr std::int64_t kServePort = 3001;
constexpr std::int64_t kMostPids = 4'194'304;  // the kernel's PID_MAX_LIMIT
constexpr std::chrono::milliseconds kFollowPoll{250};
constexpr std::int64_t kSomeLines = 200;

Result<std::string> agent_path(const Arguments& arguments, std::string_view suffix) {
  const auto name = AgentName::parse(arguments.text("NAME"));
  if (!name) return pass(name.error());
  return fmt::format("/v1/agents/{}{}", name->str(), suffix);
}

// The name comes as an argument or as --name, not both.
Result<AgentName> start_name(const Arguments& arguments) {
  if (arguments.has("NAME") && arguments.has("--name")) {
    return fail(ErrorCode::invalid, "usage", "the name is given twice", "as an argument or with --name");
  }
  if (!arguments.has("NAME") && !arguments.has("--name")) {
    return fail(ErrorCode::invalid, "usage", "no name", "agentmesh start NAME");
  }
  return AgentName::parse(arguments.has("NAME") ? arguments.text("NAME") : arguments.text("--name"));
}

bool is_variable_name(std::string_view text) {
  const auto letter = [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  const auto fits = [&](char c) { return letter(c) || std::isdigit(static_cast<unsigned char>(c)) != 0; };
  return !text.empty() && letter(text.front()) && std::all_of(text.begin(), text.end(), fits);
}

Result<json> env_of(const Arguments& arguments) {
  json env = json::object();
  for (const std::string& pair : arguments.list("--env")) {
    const std::size_t equals = pair.find('=');
    const std::string key = pair.substr(0, equals);
    if (!is_variable_name(key)) {
      return fail(ErrorCode::invalid, "start",
                  fmt::format("--env: '{}' is not KEY or KEY=VALUE", one_line(pair)));
    }
    const char* ours = std::getenv(key.c_str());
    if (equals == std::string::npos && ours == nullptr) {
      return fail(ErrorCode::invalid, "start", fmt::format("--env: {} is not set here", one_line(key)),
                  "--env KEY=VALUE");
    }
    env[key] = equals == std::string::npos ? std::string(ours) : pair.substr(equals + 1);
  }
  return env;
}

// Absolute, because the daemon's current folder is another.
std::string absolute(const std::string& path) {
  std::error_code ec;
  return std::filesystem::absolute(path.empty() ? "." : path, ec).lexically_normal().string();
}

Result<std::int64_t> number_of(const Arguments& arguments, const std::string& option, std::int64_t most) {
  const std::string text = arguments.text(option);
  if (const auto number = whole_number<std::int64_t>(text, 1, most)) return *number;
  return fail(ErrorCode::invalid, "usage",
              fmt::format("{}: '{}' is not a number from 1 to {}", option, one_line(text), most));
}

Result<void> take_serve(const Arguments& arguments, json& settings) {
  if (!arguments.has("--serve")) {
    if (!arguments.has("--serve-port")) return {};
    return fail(ErrorCode::invalid, "usage", "--serve-port without --serve", "add --serve");
  }
  if (arguments.has("--attach")) {
    return fail(ErrorCode::invalid, "usage", "a server has no terminal to attach to",
                "leave --attach out; agentmesh attach NAME says how to connect");
  }
  settings["serve_port"] = kServePort;
  if (!arguments.has("--serve-port")) return {};
  const auto port = number_of(arguments, "--serve-port", 65'535);
  if (!port) return pass(port.error());
  settings["serve_port"] = *port;
  return {};
}

Result<json> settings_of(const Arguments& arguments) {
  constexpr std::array<std::pair<const char*, const char*>, 10> kTexts{{
      {"--runner", "runner"},
      {"--permissions", "permissions"},
      {"--model", "model"},
      {"--model-url", "model_url"},
      {"--command", "command"},
      {"--sandbox-image", "image"},
      {"--sandbox-cpu", "cpus"},
      {"--sandbox-memory", "memory"},
      {"--network", "network"},
      {"--workdir", "workdir"},
  }};
  json settings = json::object();
  for (const auto& [option, key] : kTexts) {
    if (arguments.has(option)) settings[key] = arguments.text(option);
  }
  if (settings.contains("workdir")) settings["workdir"] = absolute(settings["workdir"].get<std::string>());
  if (arguments.has("--sandbox-pids")) {
    const auto pids = number_of(arguments, "--sandbox-pids", kMostPids);
    if (!pids) return pass(pids.error());
    settings["pids"] = *pids;
  }
  if (auto served = take_serve(arguments, settings); !served) return pass(served.error());
  if (arguments.has("--mount")) settings["mounts"] = arguments.list("--mount");
  auto env = env_of(arguments);
  if (!env) return env;
  settings["env"] = std::move(*env);
  if (arguments.has("--sandbox") || arguments.has("--no-sandbox"))
    settings["sandbox"] = arguments.has("--sandbox");
  // The daemon checks again; here a mistake costs no daemon.
  if (auto checked = daemon::settings_from_json(settings); !checked) return pass(checked.error());
  return settings;
}

// A server has no terminal of ours: how a person reaches it.
void print_connection(const json& agent) {
  const std::string name = text_of(agent, "name");
  const std::string url = text_of(agent, "serve_url");
  print(fmt::format("{} is served at {} for the user opencode\n", name, url));
  print(
      table({{"its password", "agentmesh status " + name + " --password"},
             {"a terminal",
              fmt::format("OPENCODE_SERVER_PASSWORD=\"$(agentmesh status {} --password)\" opencode attach {}",
                          name, url)}}));
}

// From the file, so that it crosses no socket; our user alone may read it.
Result<int> print_password(const Arguments& arguments) {
  const auto name = AgentName::parse(arguments.text("NAME"));
  if (!name) return pass(name.error());
  const auto where = home();
  if (!where) return pass(where.error());
  const auto password = resolve_secret("file:" + where->agent_password(*name).string());
  if (!password && password.error().code == ErrorCode::not_found)
    return fail(ErrorCode::not_found, "status", fmt::format("{} has no server", name->str()),
                "agentmesh start --serve");
  if (!password) return pass(password.error());
  print(password->reveal() + "\n");
  return 0;
}

Result<int> attach_to(const json& agent, bool read_only) {
  if (!text_of(agent, "serve_url").empty()) {
    print_connection(agent);
    return 0;
  }
  const auto tmux = find_program("tmux");
  if (!tmux) return fail(ErrorCode::unavailable, "tmux", "tmux is not installed", "apt-get install tmux");
  const std::string session = agent["tmux"]["session"].get<std::string>();
  if (agent["tmux"]["pane"].is_null()) {
    return fail(ErrorCode::conflict, "attach",
                fmt::format("{} has no terminal: it is {}", text_of(agent, "name"), text_of(agent, "status")),
                fmt::format("agentmesh start {0}, or agentmesh crashes {0}", text_of(agent, "name")));
  }
  if (::isatty(STDIN_FILENO) == 0)
    return fail(ErrorCode::invalid, "attach", "standard input is not a terminal", "run it in a terminal");
  std::vector<std::string> words{tmux->string(), "-L", agent["tmux"]["socket"].get<std::string>()};
  const char* inside = std::getenv("TMUX");
  const bool same_server =
      inside != nullptr && std::string_view(inside).find("/" + words[2] + ",") != std::string_view::npos;
  if (same_server) {
    words.insert(words.end(), {"switch-client", "-t", "=" + session + ":"});
  } else {
    ::unsetenv("TMUX");
    words.insert(words.end(), {"attach-session", "-t", "=" + session});
  }
  if (read_only) words.insert(words.begin() + 4, "-r");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  (void)flush_output();
  ::execv(argv[0], argv.data());
  return fail(ErrorCode::internal, "attach", "cannot run tmux");
}

void print_agent(const json& agent) {
  std::vector<Row> rows;
  const auto line = [&](std::string key, std::string value) {
    if (!value.empty()) rows.push_back({std::move(key), std::move(value)});
  };
  const json& box = agent["sandbox"];
  line("name", text_of(agent, "name"));
  line("status",
       coloured_status(text_of(agent, "status")) + " for " + age_of(text_of(agent, "status_since")));
  line("reason", text_of(agent, "reason"));
  line("runner", text_of(agent, "runner") +
                     (text_of(agent, "model").empty() ? "" : " with " + text_of(agent, "model")));
  line("workdir", text_of(agent, "workdir"));
  if (box.is_null()) {
    line("sandbox", "none: on the host, not limited");
  } else {
    line("container", text_of(box, "container_name"));
    line("image", text_of(box, "image"));
    line("limits", fmt::format("{} cpus, {}, {} pids, network {}", box["cpus"].get<double>(),
                               format_size(box["memory_bytes"].get<std::uint64_t>()),
                               box["pids"].get<std::int64_t>(), text_of(box, "network")));
  }
  line("restarts",
       fmt::format("{} of {} within {}", agent["restarts"]["count"].get<int>(),
                   agent["restarts"]["limit"].get<int>(),
                   format_duration(std::chrono::seconds(agent["restarts"]["window_s"].get<std::int64_t>()))));
  line("next restart", text_of(agent["restarts"], "next_at"));
  if (agent["exit"].is_object())
    line("last exit", text_of(agent["exit"], "text") + ", " + text_of(agent["exit"], "reason"));
  line("inbox", fmt::format("{} waiting, {} delivered", agent["inbox"]["pending"].get<int>(),
                            agent["inbox"]["delivered"].get<int>()));
  line("server", text_of(agent, "serve_url"));
  if (!text_of(agent["tmux"], "session").empty())
    line("terminal", fmt::format("tmux -L {} attach -t ={}", text_of(agent["tmux"], "socket"),
                                 text_of(agent["tmux"], "session")));
  print(table(rows));
}

void print_host(const json& status) {
  const json& daemon = status["daemon"];
  const json& engine = status["engine"];
  const json& tmux = status["tmux"];
  const json& hub = status["hub"];
  std::string agents = fmt::format("{}", status["agents"]["total"].get<int>());
  for (const auto& [name, count] : status["agents"]["by_status"].items())
    agents += fmt::format(", {} {}", count.get<int>(), name);
  print(table({
      {"daemon",
       fmt::format("version {} pid {} up {} using {}", text_of(daemon, "version"), daemon["pid"].get<int>(),
                   format_duration(std::chrono::seconds(daemon["uptime_s"].get<std::int64_t>())),
                   format_size(daemon["rss_bytes"].get<std::uint64_t>()))},
      {"home", text_of(daemon, "home")},
      {"engine", engine["reachable"].get<bool>()
                     ? fmt::format("{} at {}", text_of(engine, "version"), text_of(engine, "socket"))
                     : "cannot be reached at " + text_of(engine, "socket")},
      {"tmux", tmux["server_pid"].is_null()
                   ? "cannot be reached"
                   : fmt::format("{} on socket {}", text_of(tmux, "version"), text_of(tmux, "socket"))},
      {"hub", fmt::format("{} {}{}", text_of(hub, "url"), hub["embedded"].get<bool>() ? "(embedded) " : "",
                          hub["connected"].get<bool>() ? "connected" : "not connected")},
      {"agents", agents},
  }));
}

Result<int> print_json_text(const Result<std::string>& text) {
  if (!text) return pass(text.error());
  print(*text + "\n");
  return 0;
}

Result<int> answer_permission(const Arguments& arguments, const char* verdict) {
  const auto path = agent_path(arguments, "/permission");
  if (!path) return pass(path.error());
  const auto answer = post_json(*path, {{"answer", verdict},
                                        {"reason", arguments.text("--reason")},
                                        {"prompt", arguments.text("--prompt")},
                                        {"yes", arguments.has("--yes")}});
  if (!answer) return pass(answer.error());
  if (arguments.json()) {
    print(answer->dump() + "\n");
    return 0;
  }
  const std::string prompt = text_of(*answer, "prompt");
  print(fmt::format("{}: {} {}{}\n", arguments.text("NAME"), verdict, text_of(*answer, "detail"),
                    prompt.empty() ? "" : fmt::format(" (prompt {})", prompt)));
  return 0;
}

Result<SentRequest> ask_stop(const std::string& text, const json& body) {
  const auto name = AgentName::parse(text);
  if (!name) return pass(name.error());
  return ask("POST", fmt::format("/v1/agents/{}/stop", name->str()), body);
}

// All are asked before one is waited for, so that they end at the same time.
std::vector<Result<SentRequest>> ask_stops(const std::vector<std::string>& names, const json& body) {
  std::vector<Result<SentRequest>> asked;
  for (const std::string& name : names) asked.push_back(ask_stop(name, body));
  return asked;
}

// In the order of the names. The worst exit code.
int tell_stops(const std::vector<std::string>& names, const std::vector<Result<SentRequest>>& asked,
               ErrorForm form) {
  json stopped = json::array();
  int worst = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    auto agent = asked[i] ? answer_to(*asked[i]) : pass(asked[i].error());
    if (!agent) {
      print_error(agent.error(), form);
      worst = std::max(worst, exit_code_of(agent.error().code));
      if (agent.error().stage == "daemon")
        break;  // it hangs or has gone: what became of the others is not known
      continue;
    }
    if (form == ErrorForm::text) print(fmt::format("{} is {}\n", names[i], text_of(*agent, "status")));
    stopped.push_back(std::move(*agent));
  }
  if (form == ErrorForm::json) print(stopped.dump() + "\n");
  return worst;
}

}  // namespace

Result<int> run_start(const Arguments& arguments) {
  const auto name = start_name(arguments);
  if (!name) return pass(name.error());
  if (arguments.has("--sandbox") && arguments.has("--no-sandbox")) {
    return fail(ErrorCode::invalid, "usage", "--sandbox and --no-sandbox exclude each other");
  }
  auto settings = settings_of(arguments);
  if (!settings) return pass(settings.error());
  const auto agent = post_json(
      "/v1/agents", {{"name", name->str()}, {"settings", *settings}, {"current_folder", absolute("")}});
  if (!agent) return pass(agent.error());
  if (arguments.json()) {
    print(agent->dump() + "\n");
  } else {
    const std::string url = text_of(*agent, "serve_url");
    const json& box = (*agent)["sandbox"];
    print(fmt::format("{} is {} {}{}\n", name->str(), text_of(*agent, "status"),
                      box.is_null() ? "on the host" : "in " + text_of(box, "container_name"),
                      url.empty() ? "" : ", served at " + url));
  }
  if (!arguments.has("--attach")) return 0;
  return attach_to(*agent, false);
}

Result<int> run_attach(const Arguments& arguments) {
  const auto path = agent_path(arguments, "");
  if (!path) return pass(path.error());
  const auto agent = get_json(*path, IfDown::start);
  if (!agent) return pass(agent.error());
  return attach_to(*agent, arguments.has("--read-only"));
}

Result<int> run_nudge(const Arguments& arguments) {
  const auto path = agent_path(arguments, "/nudge");
  if (!path) return pass(path.error());
  json body{{"defer", arguments.has("--defer")}};
  if (arguments.has("MESSAGE")) body["message"] = arguments.text("MESSAGE");
  if (arguments.has("--wait")) {
    const auto wait = parse_duration(arguments.text("--wait"));
    if (!wait) return pass(wait.error());
    body["wait_ms"] = wait->count();
  }
  const auto answer = post_json(*path, body);
  if (!answer) return pass(answer.error());
  const std::string result = text_of(*answer, "result");
  const bool arrived = result == "delivered" || result == "queued";
  if (arguments.json()) {
    print(answer->dump() + "\n");
  } else if (arrived) {
    print(result + "\n");
  } else {
    print_error(
        Error{ErrorCode::conflict, "nudge",
              fmt::format("{}: {}", result == "unknown" ? "not known whether it arrived" : "not delivered",
                          text_of(*answer, "why")),
              fmt::format("agentmesh explain {}", arguments.text("NAME"))},
        ErrorForm::text);
  }
  if (arrived) return 0;
  return result == "unknown" ? exit_code_of(ErrorCode::timeout) : kUndelivered;
}

Result<int> run_approve(const Arguments& arguments) { return answer_permission(arguments, "allow"); }

Result<int> run_deny(const Arguments& arguments) { return answer_permission(arguments, "deny"); }

Result<int> run_stop(const Arguments& arguments) {
  std::vector<std::string> names = arguments.list("NAME");
  if (names.empty() != arguments.has("--all"))
    return fail(ErrorCode::invalid, "usage", "name the agents, or --all", "agentmesh stop --help");
  if (arguments.has("--all")) {
    const auto agents = get_json("/v1/agents", IfDown::start);
    if (!agents) return pass(agents.error());
    for (const json& agent : *agents) names.push_back(text_of(agent, "name"));
  }
  json body{{"force", arguments.has("--force")}};
  if (arguments.has("--timeout")) {
    const auto timeout = parse_duration(arguments.text("--timeout"));
    if (!timeout) return pass(timeout.error());
    body["timeout_ms"] = timeout->count();
  }
  return tell_stops(names, ask_stops(names, body), arguments.json() ? ErrorForm::json : ErrorForm::text);
}

Result<int> run_restart(const Arguments& arguments) {
  const auto path = agent_path(arguments, "/restart");
  if (!path) return pass(path.error());
  const auto agent = post_json(*path, json::object());
  if (!agent) return pass(agent.error());
  print(arguments.json() ? agent->dump() + "\n"
                         : fmt::format("{} is {}\n", text_of(*agent, "name"), text_of(*agent, "status")));
  return 0;
}

Result<int> run_list(const Arguments& arguments) {
  const std::string path = arguments.has("--all") ? "/v1/agents?all=1" : "/v1/agents";
  if (arguments.json()) return print_json_text(call("GET", path, "", IfDown::start));
  const auto agents = get_json(path, IfDown::start);
  if (!agents) return pass(agents.error());
  std::vector<Row> rows{{"NAME", "STATUS", "SINCE", "RUNNER", "RESTARTS", "INBOX", "REASON"}};
  for (const json& agent : *agents) {
    rows.push_back(
        {text_of(agent, "name"), coloured_status(text_of(agent, "status")),
         age_of(text_of(agent, "status_since")), text_of(agent, "runner"),
         fmt::format("{}/{}", agent["restarts"]["count"].get<int>(), agent["restarts"]["limit"].get<int>()),
         std::to_string(agent["inbox"]["pending"].get<int>()), text_of(agent, "reason")});
  }
  print(table(rows));
  return 0;
}

Result<int> run_status(const Arguments& arguments) {
  if (arguments.has("--password") && !arguments.has("NAME"))
    return fail(ErrorCode::invalid, "usage", "whose password?", "agentmesh status NAME --password");
  if (arguments.has("--password")) return print_password(arguments);
  std::string path = "/v1/status";
  if (arguments.has("NAME")) {
    const auto named = agent_path(arguments, "");
    if (!named) return pass(named.error());
    path = *named;
  }
  if (arguments.json()) return print_json_text(call("GET", path, "", IfDown::start));
  const auto answer = get_json(path, IfDown::start);
  if (!answer) return pass(answer.error());
  arguments.has("NAME") ? print_agent(*answer) : print_host(*answer);
  return 0;
}

Result<int> run_explain(const Arguments& arguments) {
  const auto path = agent_path(arguments, "/explain");
  if (!path) return pass(path.error());
  if (arguments.json()) return print_json_text(call("GET", *path, "", IfDown::start));
  const auto answer = get_json(*path, IfDown::start);
  if (!answer) return pass(answer.error());
  std::vector<Row> rows;
  for (const char* key : {"name", "status", "status_since", "reason", "wanted", "phase", "phase_since",
                          "condition", "last_activity", "next_wake", "session_id"}) {
    if (!text_of(*answer, key).empty()) rows.push_back({key, text_of(*answer, key)});
  }
  const json& signal = (*answer)["signal"];
  rows.push_back(
      {"decided by",
       signal.is_null()
           ? "no signal yet"
           : fmt::format("{} from {} {} ago {}", text_of(signal, "kind"), text_of(signal, "source"),
                         format_duration(std::chrono::seconds(signal["age_s"].get<std::int64_t>())),
                         text_of(signal, "detail"))});
  if (const std::string prompt = text_of(*answer, "prompt"); !prompt.empty())
    rows.push_back({"prompt", prompt});
  print(table(rows));
  return 0;
}

namespace {

Result<void> tell_new(const json& shown, std::string news, bool as_json) {
  if (!news.empty() && as_json) {
    news.pop_back();
    news = json{{"agent", shown["agent"]}, {"run", shown["run"]}, {"text", news}}.dump() + "\n";
  }
  print(news);
  return flush_output();
}

std::string logs_path(const std::string& agent, std::size_t lines) {
  return fmt::format("{}/logs?tail={}", agent, lines);
}

// Until the agent is stopped or given up: a run that ends is followed by the next one.
Result<int> follow_logs(const std::string& agent, std::size_t lines, bool as_json) {
  LogFollow follow(lines);
  json shown{{"agent", nullptr}, {"run", nullptr}};
  for (IfDown if_down = IfDown::start;; if_down = IfDown::fail) {
    // The state first: what a run that is over has printed is read after its end.
    const auto known = get_json(agent, if_down);
    if (!known) return pass(known.error());
    const std::string status = text_of(*known, "status");
    const bool over = status == "stopped" || status == "failed";
    const std::size_t asked = follow.begun() ? kFollowedLines : std::max(lines, kFollowedLines);
    auto now = get_json(logs_path(agent, asked), IfDown::fail);
    const bool gone = !now && now.error().code == ErrorCode::not_found && (follow.begun() || !over);
    const bool hidden = !now && follow.begun() && !over && may_pass(now.error());
    if (!now && !gone && !hidden) return pass(now.error());
    std::string news;
    if (now) {
      shown = std::move(*now);
      const json& run = shown["run"];
      const auto number = run.is_number() ? std::optional(run.get<std::int64_t>()) : std::nullopt;
      news = follow.look(number, text_of(shown, "text"));
    }
    if (gone || over) news += follow.rest();
    if (auto told = tell_new(shown, std::move(news), as_json); !told) return pass(told.error());
    if (over) return 0;
    std::this_thread::sleep_for(kFollowPoll);
  }
}

}  // namespace

Result<int> run_logs(const Arguments& arguments) {
  const auto agent = agent_path(arguments, "");
  if (!agent) return pass(agent.error());
  const auto lines =
      arguments.has("--tail") ? number_of(arguments, "--tail", tmux::kMaxCaptureLines) : kSomeLines;
  if (!lines) return pass(lines.error());
  const auto count = static_cast<std::size_t>(*lines);
  if (arguments.has("-f")) return follow_logs(*agent, count, arguments.json());
  const auto answer = get_json(logs_path(*agent, count), IfDown::start);
  if (!answer) return pass(answer.error());
  const std::string text = text_of(*answer, "text");
  if (arguments.json()) print(answer->dump() + "\n");
  if (!arguments.json() && !text.empty()) print(text + "\n");
  return 0;
}

Result<int> run_crashes(const Arguments& arguments) {
  std::string path = "/v1/crashes?last=" + std::string(arguments.has("--last") ? "1" : "0");
  if (arguments.has("NAME")) {
    const auto name = AgentName::parse(arguments.text("NAME"));
    if (!name) return pass(name.error());
    path += "&agent=" + name->str();
  }
  if (arguments.json()) return print_json_text(call("GET", path, "", IfDown::start));
  const auto crashes = get_json(path, IfDown::start);
  if (!crashes) return pass(crashes.error());
  if (arguments.has("--last") || crashes->size() == 1) {
    for (const json& crash : *crashes) print(daemon::crash_text(crash));
    return 0;
  }
  std::vector<Row> rows{{"AT", "AGENT", "RUN", "REASON", "DETAIL"}};
  for (const json& crash : *crashes) {
    rows.push_back({text_of(crash, "at"), text_of(crash, "agent"), std::to_string(crash["run"].get<int>()),
                    text_of(crash, "reason"), text_of(crash, "reason_text")});
  }
  print(table(rows));
  return 0;
}

Result<int> run_events(const Arguments& arguments) {
  std::string path = "/v1/events?follow=" + std::string(arguments.has("-f") ? "1" : "0");
  if (arguments.has("--since")) path += "&since=" + percent_encode(arguments.text("--since"));
  const bool as_json = arguments.json();
  const Lines lines = arguments.has("-f") ? Lines::followed : Lines::kept;
  auto done = stream(path, lines, [as_json](std::string_view line) -> Result<void> {
    if (as_json) {
      print(std::string(line) + "\n");
    } else if (const auto event = parse_json(line, "events")) {
      print(fmt::format("{}  {:<16} {:<20} {}\n", text_of(*event, "at"),
                        text_of(*event, "agent").empty() ? "-" : text_of(*event, "agent"),
                        text_of(*event, "name"), text_of(*event, "reason")));
    }
    return flush_output();
  });
  if (!done) return pass(done.error());
  return 0;
}

}  // namespace agentmesh::cli
