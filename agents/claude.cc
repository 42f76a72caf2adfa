#include "agents/claude.h"

#include "agents/claude_signs.h"
#include "agents/custom.h"
#include "agents/terminal_link.h"
#include "base/json.h"
#include "base/text.h"

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {

using nlohmann::json;

namespace {

constexpr std::string_view kSandboxHook = "/opt/agentmesh/hook";
constexpr std::string_view kHostHook = R"("${AGENTMESH_PROGRAM:-agentmesh}" hook)";  // a shell reads it
constexpr std::string_view kNoToken = "agentmesh";  // a model that needs none still gets the header
constexpr int kPromptSeconds = 24 * 3600;           // the hook that asks waits so long for a person
constexpr int kHookSeconds = 5;
constexpr std::array<std::string_view, 1> kAllowKeys = {"1"};
constexpr std::array<std::string_view, 1> kDenyKeys = {"Escape"};

constexpr std::array<std::string_view, 7> kHooks = {
    "SessionStart", "UserPromptSubmit",   "PreToolUse", "PostToolUse",
    "Stop",         "PostToolUseFailure", "StopFailure"};

// --resume ends with exit code 1 when the conversation has no message yet, because then there is no
// transcript, and --session-id when there is one; --continue when there is no conversation. So the shell
// looks first. $1 is the conversation, empty for the last one; the transcripts' folder is named after the
// working folder.
constexpr std::string_view kResume = R"(id=$1; program=$2; shift 2
slug=$(pwd -P | sed 's/[^A-Za-z0-9]/-/g')
folder="${CLAUDE_CONFIG_DIR:-$HOME/.claude}/projects/$slug"
if [ -z "$id" ]; then
  for file in "$folder"/*.jsonl; do
    if [ -s "$file" ]; then set -- --continue "$@"; break; fi
  done
elif [ -s "$folder/$id.jsonl" ]; then
  set -- --resume "$id" "$@"
else
  set -- --session-id "$id" "$@"
fi
exec "$program" "$@")";

json hook_entry(const LaunchRequest& request, bool waits) {
  const std::string program =
      std::string(request.place == Place::sandbox ? kSandboxHook : kHostHook) + " claude";
  return {{"type", "command"},
          {"command", waits ? program + " --wait" : program},
          {"timeout", waits ? kPromptSeconds : kHookSeconds}};
}

// As base URL Claude Code takes what stands before "/v1".
std::string without_version(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  if (url.ends_with("/v1")) url.resize(url.size() - 3);
  return url;
}

// What answers the first start's dialogs: theme, login, trust.
std::string first_run_state() {
  return dump_json({{"hasCompletedOnboarding", true},
                    {"hasSeenAutoDefaultNotice", true},
                    {"projects", {{"/workspace", {{"hasTrustDialogAccepted", true}}}}}});
}

void set_environment(const LaunchRequest& request, LaunchPlan& plan) {
  plan.env = common_environment(request);
  plan.env["DISABLE_AUTOUPDATER"] = "1";
  if (!request.provider.base_url.empty()) {
    plan.env["ANTHROPIC_BASE_URL"] = without_version(request.provider.base_url);
    if (request.provider.token_env.empty()) plan.env["ANTHROPIC_AUTH_TOKEN"] = kNoToken;
  }
  if (request.place != Place::sandbox) return;
  plan.env["IS_SANDBOX"] = "1";  // else bypass mode is refused to root
  plan.env["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] = "1";
}

Result<> check(const LaunchRequest& request) {
  if (request.place == Place::host && request.permissions == Permissions::open) {
    return fail(ErrorCode::invalid, "runner", "claude asks for permission outside a sandbox",
                "use a sandbox, or the permissions of its own configuration");
  }
  if (!request.provider.token_env.empty() && request.provider.token_env != "ANTHROPIC_AUTH_TOKEN") {
    return fail(ErrorCode::invalid, "runner", "claude takes its token from ANTHROPIC_AUTH_TOKEN alone");
  }
  if (request.conversation == Conversation::continue_session && !is_uuid(request.session_id)) {
    return fail(ErrorCode::invalid, "runner", "a conversation to continue needs its id, a UUID");
  }
  return {};
}

}  // namespace

std::string claude_settings(const LaunchRequest& request) {
  json settings{{"hooks", json::object()}};
  const auto entry = [&](bool waits) {
    return json::array({{{"hooks", json::array({hook_entry(request, waits)})}}});
  };
  for (const std::string_view event : kHooks) settings["hooks"][event] = entry(false);
  settings["hooks"]["PermissionRequest"] = entry(true);
  if (request.permissions == Permissions::open) settings["skipDangerousModePermissionPrompt"] = true;
  return dump_json(settings);
}

const RunnerFacts& ClaudeAdapter::facts() const {
  static const RunnerFacts facts{
      .runner = "claude",
      .memory_bytes = 2ULL << 30,     // 200 to 300 MB idle, the tools on top
      .ready_limit = Millis{60'000},  // 0.6 to 4 s measured, 2 cores shared by many
      .own_delivery = false,
      .own_answer = true,
      .tells_permission = true,
      .enter_wait = Millis{150},
      .allow_keys = kAllowKeys,
      .deny_keys = kDenyKeys,
      .shows_composer = true,
      .brackets_pastes = true,
      .key_after_paste = "Home"};
  return facts;
}

Result<LaunchPlan> ClaudeAdapter::plan(const LaunchRequest& request) const {
  if (auto checked = check(request); !checked) return pass(checked.error());
  LaunchPlan plan;
  const std::string program = request.command.empty() ? "claude" : request.command;
  if (request.conversation == Conversation::fresh) {
    plan.argv = {program};
  } else {
    const bool named = request.conversation == Conversation::continue_session;
    plan.argv = {"/bin/sh", "-c", std::string(kResume), "agentmesh", named ? request.session_id : "",
                 program};
  }
  plan.argv.insert(plan.argv.end(), {"--settings", claude_settings(request)});
  if (request.permissions == Permissions::open)
    plan.argv.insert(plan.argv.end(), {"--permission-mode", "bypassPermissions"});
  if (request.permissions == Permissions::ask)
    plan.argv.insert(plan.argv.end(), {"--permission-mode", "default"});
  if (!request.model.empty()) plan.argv.insert(plan.argv.end(), {"--model", request.model});
  set_environment(request, plan);
  if (request.place == Place::sandbox) {
    plan.files.push_back({.path = ".claude.json", .content = first_run_state()});
    plan.emptied = {".claude/sessions"};
  }
  return plan;
}

bool ClaudeAdapter::takes_session(std::string_view id) const { return is_uuid(id); }

std::unique_ptr<Link> ClaudeAdapter::link(LinkContext context, SignalSink sink) const {
  auto signs = std::make_unique<ClaudeSigns>(context.session_id, context.clock, context.place);
  return make_terminal_link(
      std::move(context), std::move(sink),
      {.runner = "claude", .signs = std::move(signs), .status_folder = ".claude/sessions"});
}

}  // namespace agentmesh::agents
