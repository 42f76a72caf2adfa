#include "agents/codex.h"

#include "agents/codex_link.h"
#include "agents/custom.h"
#include "base/json.h"
#include "base/text.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {

namespace {

// $0 is the program, the words are its settings; those of permissions have a variable of their own, because a
// TUI that resumes a conversation refuses them. The server comes back when it ends, and the TUI finds it
// again by itself; the run ends with the TUI. A home without conversations has no last one.
constexpr std::string_view kStart =
    R"(command -v "$0" >/dev/null || { echo "$0: not found" >&2; exit 127; }
at=$AGENTMESH_CODEX_AT
case $at in
unix:*) socket=${at#unix://} log=${socket%/*}/codex-app-server.log ;;
*) socket="" log=/tmp/codex-app-server.log ;;
esac
listens() {
  if [ -n "$socket" ]; then [ -S "$socket" ]; else socat -u OPEN:/dev/null "TCP:${at#ws://}" 2>/dev/null; fi
}
[ -z "$socket" ] || rm -f "$socket"
while :; do
  "$0" "$@" $AGENTMESH_CODEX_RULES app-server --listen "$at" >"$log" 2>&1
  sleep 1
  [ -z "$socket" ] || rm -f "$socket"
done </dev/null &
tries=0
until listens || [ $tries -ge 200 ]; do
  sleep 0.05
  tries=$((tries + 1))
done
if [ -n "${AGENTMESH_RESUME-}" ] && [ -d "${CODEX_HOME:-$HOME/.codex}/sessions" ]; then
  exec "$0" "$@" resume "$AGENTMESH_RESUME" --remote "$at"
fi
exec "$0" "$@" $AGENTMESH_CODEX_RULES --remote "$at")";

// Models for which Codex asks at its start whether a newer one is wanted, and the answer that it is not.
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kOlderModels = {{
    {"gpt-5.5", "gpt-6-sol"},
    {"gpt-5.6-sol", "gpt-6-sol"},
    {"gpt-5.6-terra", "gpt-6-sol"},
    {"gpt-5.6-luna", "gpt-6-luna"},
}};

constexpr std::array<std::string_view, 1> kAllowKeys = {"y"};
constexpr std::array<std::string_view, 1> kDenyKeys = {"Escape"};

// JSON's way to write a text is TOML's, but for control characters, which plan() refuses.
std::string toml_text(std::string_view text) { return dump_json(nlohmann::json(text)); }

bool is_plain(std::string_view text) {
  return std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

bool is_session(std::string_view id) {
  return !id.empty() && id.size() <= 64 && id.front() != '-' && std::ranges::all_of(id, [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
  });
}

std::vector<std::string> provider_settings(const Provider& provider) {
  std::string entry =
      fmt::format(R"({{name="agentmesh",base_url={},wire_api="responses")", toml_text(provider.base_url));
  if (!provider.token_env.empty()) entry += fmt::format(",env_key={}", toml_text(provider.token_env));
  return {R"(model_provider="agentmesh")", fmt::format("model_providers.agentmesh={}}}", entry)};
}

std::vector<std::string> settings(const LaunchRequest& request) {
  std::vector<std::string> all = {"check_for_update_on_startup=false", "analytics.enabled=false",
                                  "notice.hide_rate_limit_model_nudge=true"};
  if (request.place == Place::sandbox) all.emplace_back(R"(projects={"/workspace"={trust_level="trusted"}})");
  if (!request.provider.base_url.empty())
    for (std::string& setting : provider_settings(request.provider)) all.push_back(std::move(setting));
  if (request.model.empty()) return all;
  all.push_back("model=" + toml_text(request.model));
  for (const auto& [older, newer] : kOlderModels) {
    if (request.model != older) continue;
    all.push_back(fmt::format("notice.model_migrations={{{}={}}}", toml_text(older), toml_text(newer)));
  }
  return all;
}

// Without a blank inside a word: they are split at blanks.
std::string rules(Permissions permissions) {
  switch (permissions) {
    case Permissions::open:
      return R"(-c approval_policy="never" -c sandbox_mode="danger-full-access")";
    case Permissions::ask:
      return R"(-c approval_policy="on-request" -c sandbox_mode="read-only")";
    case Permissions::own:
      break;
  }
  return "";
}

std::string resumed(const LaunchRequest& request) {
  if (request.conversation == Conversation::continue_last) return "--last";
  return request.conversation == Conversation::continue_session ? request.session_id : "";
}

// In a sandbox its own loopback, where the image's relay gives us http.sock; on the host, where others share
// the loopback and the server asks for no password, http.sock itself. Empty: it has no server.
std::string server_address(const LaunchRequest& request) {
  if (request.place == Place::host) return "unix://" + (request.run_dir / "http.sock").string();
  return request.http_port == 0 ? "" : fmt::format("ws://127.0.0.1:{}", request.http_port);
}

Result<> check(const LaunchRequest& request) {
  if (request.place == Place::host && request.permissions == Permissions::open) {
    return fail(ErrorCode::invalid, "runner", "codex asks for permission outside a sandbox",
                "use a sandbox, or the permissions of its own configuration");
  }
  if (!is_plain(request.model) || !is_plain(request.provider.base_url) ||
      !is_plain(request.provider.token_env) || !is_plain(request.command)) {
    return fail(ErrorCode::invalid, "runner", "a model, URL or program with a control character");
  }
  if (request.conversation == Conversation::continue_session && !is_session(request.session_id)) {
    return fail(ErrorCode::invalid, "runner", "a session to continue needs its id");
  }
  return {};
}

}  // namespace

const RunnerFacts& CodexAdapter::facts() const {
  static const RunnerFacts facts{.runner = "codex",
                                 .memory_bytes = 2ULL << 30,     // 390 MB with its server, before a tool
                                 .ready_limit = Millis{60'000},  // 2 to 5 s measured, two busy cores
                                 .own_delivery = true,
                                 .own_answer = true,
                                 .tells_permission = true,
                                 .enter_wait = Millis{150},
                                 .allow_keys = kAllowKeys,
                                 .deny_keys = kDenyKeys};
  return facts;
}

Result<LaunchPlan> CodexAdapter::plan(const LaunchRequest& request) const {
  if (auto checked = check(request); !checked) return pass(checked.error());
  const std::string program = request.command.empty() ? "codex" : request.command;
  LaunchPlan plan;
  plan.env = common_environment(request);
  const std::string at = server_address(request);
  if (!at.empty()) {
    plan.argv = {"/bin/sh", "-c", std::string(kStart), program};
    plan.env["AGENTMESH_CODEX_RULES"] = rules(request.permissions);
    plan.env["AGENTMESH_CODEX_AT"] = at;
    plan.serves_http = request.place == Place::sandbox;
    if (plan.serves_http) plan.env["AGENTMESH_HTTP_PORT"] = std::to_string(request.http_port);
  } else {
    plan.argv = {program, "--no-daemon"};
    for (const std::string_view word : split(rules(request.permissions), ' ')) {
      if (!word.empty()) plan.argv.emplace_back(word);
    }
  }
  for (std::string& setting : settings(request)) {
    plan.argv.insert(plan.argv.end(), {"-c", std::move(setting)});
  }
  const std::string resume = resumed(request);
  if (resume.empty()) return plan;
  if (!at.empty()) {
    plan.env["AGENTMESH_RESUME"] = resume;
  } else {
    plan.argv.insert(plan.argv.end(), {"resume", resume});
  }
  return plan;
}

bool CodexAdapter::takes_session(std::string_view id) const { return is_session(id); }

std::unique_ptr<Link> CodexAdapter::link(LinkContext context, SignalSink sink) const {
  return make_codex_link(std::move(context), std::move(sink));
}

}  // namespace agentmesh::agents
