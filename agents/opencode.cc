#include "agents/opencode.h"

#include "agents/custom.h"
#include "agents/opencode_link.h"
#include "base/json.h"

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {

using nlohmann::json;

namespace {

// Providers opencode knows: another base URL is all they need. Any other speaks as OpenAI's does.
constexpr std::array<std::string_view, 8> kKnownProviders = {"anthropic", "openai", "google", "openrouter",
                                                             "mistral",   "groq",   "xai",    "opencode"};

struct ModelName {
  std::string provider;
  std::string model;
};

Result<ModelName> model_name(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == 0 || slash == std::string_view::npos || slash + 1 == text.size()) {
    return fail(ErrorCode::invalid, "runner",
                fmt::format("opencode's model must be PROVIDER/MODEL, not '{}'", text),
                "for example anthropic/claude-sonnet-4-5");
  }
  return ModelName{std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
}

json provider_entry(const ModelName& name, const Provider& provider) {
  json entry{{"options", {{"baseURL", provider.base_url}}}};
  if (!provider.token_env.empty()) entry["options"]["apiKey"] = "{env:" + provider.token_env + "}";
  if (std::ranges::find(kKnownProviders, name.provider) != kKnownProviders.end()) return entry;
  if (provider.token_env.empty()) entry["options"]["apiKey"] = "none";
  entry["npm"] = "@ai-sdk/openai-compatible";
  entry["name"] = name.provider;
  entry["models"] = {{name.model, {{"name", name.model}, {"tool_call", true}}}};
  return entry;
}

// It stands in the launch line as a word of its own.
bool is_session(std::string_view id) {
  return !id.empty() && id.size() <= kMaxSessionId && id.front() != '-' &&
         std::ranges::all_of(id,
                             [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-'; });
}

Result<std::vector<std::string>> terminal_argv(const LaunchRequest& request) {
  std::vector<std::string> argv{request.command.empty() ? "opencode" : request.command};
  if (request.http_port != 0)
    argv.insert(argv.end(), {"--port", std::to_string(request.http_port), "--hostname", "127.0.0.1"});
  if (!request.model.empty()) argv.insert(argv.end(), {"--model", request.model});
  if (request.conversation == Conversation::continue_last) argv.push_back("--continue");
  if (request.conversation == Conversation::continue_session) {
    if (!is_session(request.session_id))
      return fail(ErrorCode::invalid, "runner", "a session to continue needs its id");
    argv.insert(argv.end(), {"--session", request.session_id});
  }
  return argv;
}

// The server reads its password from its environment; a shell puts it there, so that the container's own
// environment, which everybody who may use the engine can read, does not hold it. Without the file it does
// not start.
std::vector<std::string> server_argv(const LaunchRequest& request) {
  constexpr std::string_view kScript =
      "OPENCODE_SERVER_PASSWORD=$(cat \"$1\") && [ -n \"$OPENCODE_SERVER_PASSWORD\" ] && "
      "export OPENCODE_SERVER_PASSWORD && shift && exec \"$@\"";
  return {"/bin/sh",
          "-c",
          std::string(kScript),
          "sh",
          request.password_file.string(),
          request.command.empty() ? "opencode" : request.command,
          "serve",
          "--port",
          std::to_string(request.http_port),
          "--hostname",
          "0.0.0.0"};
}

}  // namespace

Result<std::string> opencode_config(const LaunchRequest& request) {
  json config{{"$schema", "https://opencode.ai/config.json"}, {"autoupdate", false}, {"share", "disabled"}};
  if (request.permissions == Permissions::open) config["permission"] = {{"*", "allow"}};
  if (request.permissions == Permissions::ask) config["permission"] = {{"*", "ask"}};
  if (!request.model.empty()) {
    const auto name = model_name(request.model);
    if (!name) return pass(name.error());
    config["model"] = request.model;
    if (!request.provider.base_url.empty()) {
      config["small_model"] = request.model;
      config["provider"] = {{name->provider, provider_entry(*name, request.provider)}};
    }
  } else if (!request.provider.base_url.empty()) {
    return fail(ErrorCode::invalid, "runner", "a base URL needs a model that names its provider",
                "give --model PROVIDER/MODEL");
  }
  return dump_json(config);
}

const RunnerFacts& OpencodeAdapter::facts() const {
  // Who may speak to its server.
  static constexpr std::array<std::string_view, 2> kOwnVariables{"OPENCODE_SERVER_PASSWORD",
                                                                 "OPENCODE_SERVER_USERNAME"};
  static const RunnerFacts facts{.runner = "opencode",
                                 .memory_bytes = 4ULL << 30,     // about 1 GiB before its first tool runs
                                 .ready_limit = Millis{60'000},  // 3 to 13 s measured, 2 cores shared by many
                                 .own_delivery = true,
                                 .own_answer = true,
                                 .serves = true,
                                 .tells_permission = true,
                                 .enter_wait = Millis{150},
                                 .own_variables = kOwnVariables};
  return facts;
}

Result<LaunchPlan> OpencodeAdapter::plan(const LaunchRequest& request) const {
  if (request.place == Place::host && request.permissions == Permissions::open) {
    return fail(ErrorCode::invalid, "runner", "opencode asks for permission outside a sandbox",
                "use a sandbox, or the permissions of its own configuration");
  }
  if (request.place == Place::host && request.http_port != 0 && request.http_password.empty()) {
    return fail(ErrorCode::invalid, "runner", "opencode's server on the host's loopback needs a password");
  }
  const auto config = opencode_config(request);
  if (!config) return pass(config.error());

  const bool served = request.surface == Surface::server;
  if (served &&
      (request.place != Place::sandbox || request.http_port == 0 || request.password_file.empty())) {
    return fail(ErrorCode::invalid, "runner",
                "opencode's server runs in a sandbox, with a port and a password");
  }
  const auto argv = served ? Result<std::vector<std::string>>(server_argv(request)) : terminal_argv(request);
  if (!argv) return pass(argv.error());
  LaunchPlan plan;
  plan.argv = *argv;
  plan.serves_http = request.http_port != 0;
  plan.env = common_environment(request);
  plan.env["OPENCODE_CONFIG_CONTENT"] = *config;
  plan.env["OPENCODE_DISABLE_AUTOUPDATE"] = "1";
  if (!request.http_password.empty()) plan.env["OPENCODE_SERVER_PASSWORD"] = request.http_password.reveal();
  if (request.place == Place::sandbox) {
    plan.env["OPENCODE_DISABLE_LSP_DOWNLOAD"] = "1";
    plan.env["OPENCODE_DISABLE_MODELS_FETCH"] = "1";
    if (request.http_port != 0) plan.env["AGENTMESH_HTTP_PORT"] = std::to_string(request.http_port);
  }
  return plan;
}

bool OpencodeAdapter::takes_session(std::string_view id) const { return is_session(id); }

std::unique_ptr<Link> OpencodeAdapter::link(LinkContext context, SignalSink sink) const {
  return make_opencode_link(std::move(context), std::move(sink));
}

}  // namespace agentmesh::agents
