#include "agents/gemini.h"

#include "agents/custom.h"
#include "agents/gemini_signs.h"
#include "agents/terminal_link.h"
#include "base/json.h"
#include "base/text.h"

#include <algorithm>
#include <array>
#include <cctype>

#include <nlohmann/json.hpp>

namespace agentmesh::agents {

using nlohmann::json;

namespace {

constexpr std::string_view kHook = "/opt/agentmesh/hook gemini";
constexpr int kHookMs = 5'000;
constexpr std::string_view kKeyName = "GEMINI_API_KEY";
constexpr std::string_view kNoKey = "agentmesh";  // a model that needs none still gets the header
constexpr std::array<std::string_view, 1> kAllowKeys = {"1"};
constexpr std::array<std::string_view, 1> kDenyKeys = {"Escape"};

// Not SessionStart: until it has ended, what is typed is only queued.
constexpr std::array<std::string_view, 5> kHooks = {"BeforeAgent", "AfterAgent", "BeforeTool", "AfterTool",
                                                    "Notification"};

// --resume ends with exit code 42 when there is no such conversation, and there is none before its first
// message (nor may its id be used again). So the shell looks first. $1 is the conversation, empty for the
// last one of the working folder.
constexpr std::string_view kResume = R"sh(id=$1; shift; root=$(pwd -P)
spoken() {
  for file in "$HOME"/.gemini/tmp/*/chats/session-*.jsonl; do
    [ "$(cat "${file%/chats/*}/.project_root" 2>/dev/null)" = "$root" ] || continue
    case $(head -n 1 "$file") in *"\"sessionId\":\"$id"*) ;; *) continue ;; esac
    if grep -q '^{"id":"[^"]*","timestamp":"[^"]*","type":"user"' "$file"; then return 0; fi
  done
  return 1
}
if spoken; then set -- "$@" --resume "${id:-latest}"; fi
exec "$@")sh";

// As base URL Gemini CLI takes what stands before the API's version.
std::string without_version(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  for (const std::string_view version : {"/v1", "/v1beta"}) {
    if (url.ends_with(version)) url.resize(url.size() - version.size());
  }
  return url;
}

bool has_key(const LaunchRequest& request) {
  return !request.provider.base_url.empty() || !request.provider.token_env.empty();
}

Result<> check(const LaunchRequest& request) {
  if (request.place == Place::host && request.permissions == Permissions::open) {
    return fail(ErrorCode::invalid, "runner", "gemini asks for permission outside a sandbox",
                "use a sandbox, or the permissions of its own configuration");
  }
  if (!request.provider.token_env.empty() && request.provider.token_env != kKeyName) {
    return fail(ErrorCode::invalid, "runner", "gemini takes its key from GEMINI_API_KEY alone");
  }
  if (request.conversation == Conversation::continue_session && !is_uuid(request.session_id)) {
    return fail(ErrorCode::invalid, "runner", "a conversation to continue needs its id, a UUID");
  }
  return {};
}

void set_environment(const LaunchRequest& request, LaunchPlan& plan) {
  plan.env = common_environment(request);
  if (!request.provider.base_url.empty()) {
    plan.env["GOOGLE_GEMINI_BASE_URL"] = without_version(request.provider.base_url);
    if (request.provider.token_env.empty()) plan.env[std::string(kKeyName)] = kNoKey;
  }
  // Else it starts itself a second time: 150 MB more, with a heap of half the machine's memory.
  if (request.place == Place::sandbox) plan.env["GEMINI_CLI_NO_RELAUNCH"] = "true";
}

// What it reads as a path behind an "@": it ends at these, and at a full stop that a blank follows.
constexpr std::string_view kPathEnds = " \t\n\r,;!?()[]{}";
constexpr std::string_view kBlanks = " \t\n\r";

// The path of nothing but "/", "." and ".." that the text begins with; empty: another one, or none.
std::string_view sure_path(std::string_view text) {
  std::string path;
  std::size_t at = 0;
  for (; at < text.size() && !kPathEnds.contains(text[at]); ++at) {
    const bool escaped = text[at] == '\\' && at + 1 < text.size();
    const char c = text[escaped ? at + 1 : at];
    if (c != '/' && c != '.') return {};
    const std::string_view rest = text.substr(at + 1);
    if (!escaped && c == '.' && (rest.empty() || kBlanks.contains(rest.front()))) break;
    path += c;
    at += escaped ? 1 : 0;
  }
  for (const std::string_view part : split(path, '/')) {
    if (part.size() > 2) return {};
  }
  return text.substr(0, at);
}

}  // namespace

std::optional<std::string> GeminiAdapter::misread(std::string_view message) const {
  for (std::size_t at = message.find('@'); at != std::string_view::npos; at = message.find('@', at + 1)) {
    if (at > 0 && message[at - 1] == '\\') continue;
    const std::string_view path = sure_path(message.substr(at + 1));
    if (!path.empty()) return std::string(message.substr(at, path.size() + 1));
  }
  return std::nullopt;
}

std::string gemini_settings(const LaunchRequest& request) {
  json settings{{"general", {{"enableAutoUpdate", false}, {"enableAutoUpdateNotification", false}}},
                {"privacy", {{"usageStatisticsEnabled", false}}},
                // Else a file with "word" in its name takes the place of "@word", and 300 of them take 20 s.
                {"context", {{"fileFiltering", {{"enableRecursiveFileSearch", false}}}}},
                {"hooksConfig", {{"notifications", false}}},
                {"hooks", json::object()}};
  if (has_key(request)) settings["security"]["auth"]["selectedType"] = "gemini-api-key";
  const json hook{{"type", "command"}, {"name", "agentmesh"}, {"command", kHook}, {"timeout", kHookMs}};
  for (const std::string_view event : kHooks) settings["hooks"][event] = {{{"hooks", {hook}}}};
  return dump_json(settings);
}

const RunnerFacts& GeminiAdapter::facts() const {
  static const RunnerFacts facts{.runner = "gemini",
                                 .memory_bytes = 2ULL << 30,     // about 260 MB idle, the tools on top
                                 .ready_limit = Millis{60'000},  // 3 to 10 s measured, 2 cores shared by many
                                 .own_delivery = false,
                                 .own_answer = false,
                                 .tells_permission = true,
                                 .enter_wait = Millis{500},
                                 .allow_keys = kAllowKeys,
                                 .deny_keys = kDenyKeys,
                                 .shows_composer = true,
                                 .brackets_pastes = true,
                                 .limit_dialog_stays = true,
                                 .key_after_paste = "Space"};  // it cuts blanks off
  return facts;
}

Result<LaunchPlan> GeminiAdapter::plan(const LaunchRequest& request) const {
  if (auto checked = check(request); !checked) return pass(checked.error());
  LaunchPlan plan;
  if (request.conversation != Conversation::fresh) {
    const bool named = request.conversation == Conversation::continue_session;
    plan.argv = {"/bin/sh", "-c", std::string(kResume), "agentmesh", named ? request.session_id : ""};
  }
  plan.argv.push_back(request.command.empty() ? "gemini" : request.command);
  if (request.permissions == Permissions::open)
    plan.argv.insert(plan.argv.end(), {"--approval-mode", "yolo"});
  if (request.permissions == Permissions::ask)
    plan.argv.insert(plan.argv.end(), {"--approval-mode", "default"});
  if (!request.model.empty()) plan.argv.insert(plan.argv.end(), {"--model", request.model});
  set_environment(request, plan);
  if (request.place == Place::sandbox) {
    plan.argv.push_back("--skip-trust");
    plan.files = {{".gemini/settings.json", gemini_settings(request)}};
  }
  return plan;
}

bool GeminiAdapter::takes_session(std::string_view id) const { return is_uuid(id); }

std::unique_ptr<Link> GeminiAdapter::link(LinkContext context, SignalSink sink) const {
  auto signs = std::make_unique<GeminiSigns>(context.clock);
  return make_terminal_link(std::move(context), std::move(sink),
                            {.runner = "gemini", .signs = std::move(signs), .busy_paints = 1});
}

}  // namespace agentmesh::agents
