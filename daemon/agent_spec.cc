#include "daemon/agent_spec.h"

#include "agents/adapter.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/text.h"
#include "daemon/agent_environment.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::daemon {
namespace {

using nlohmann::json;

Result<void> no_secrets(const std::map<std::string, std::string>& env) {
  for (const auto& [key, value] : env) {
    const bool named = !key.empty() && key.find_first_of("= \n") == std::string::npos;
    if (!named)
      return fail(ErrorCode::invalid, "env", fmt::format("'{}' is not a variable's name", key), "KEY=VALUE");
    if (redact(value) == value) continue;
    return fail(ErrorCode::denied, "env",
                fmt::format("{} looks like a real secret, and none may enter a sandbox", key),
                "rule: no-secret-in-sandbox");
  }
  return {};
}

template <class T, class Check, class Read>
Result<void> take(const json& object, const char* key, std::optional<T>& into, Check check, Read read) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return {};
  if (!check(*found)) return fail(ErrorCode::invalid, "start", fmt::format("'{}' has the wrong type", key));
  auto value = read(*found);
  if (!value) return pass(value.error());
  into = *value;
  return {};
}

Result<void> take_text(const json& object, const char* key, std::optional<std::string>& into) {
  return take(
      object, key, into, [](const json& v) { return v.is_string(); },
      [](const json& v) -> Result<std::string> { return v.get<std::string>(); });
}

Result<void> take_numbers(const json& object, config::AgentSettings& into) {
  const auto is_text = [](const json& v) { return v.is_string(); };
  const auto cpus = [](const json& v) { return sandbox::parse_cpus(v.get<std::string>()); };
  const auto memory = [](const json& v) -> Result<std::uint64_t> {
    auto bytes = parse_size(v.get<std::string>());
    if (!bytes || *bytes >= sandbox::kMinMemoryBytes) return bytes;
    return fail(ErrorCode::invalid, "start", fmt::format("'{}' is too little", v.get<std::string>()),
                "at least " + format_size(sandbox::kMinMemoryBytes));
  };
  if (auto done = take(object, "cpus", into.cpus, is_text, cpus); !done) {
    return fail(ErrorCode::invalid, "start", "--sandbox-cpu: " + done.error().what, done.error().hint);
  }
  if (auto done = take(object, "memory", into.memory_bytes, is_text, memory); !done) {
    return fail(ErrorCode::invalid, "start", "--sandbox-memory: " + done.error().what, done.error().hint);
  }
  return take(
      object, "pids", into.pids, [](const json& v) { return v.is_number_integer(); },
      [](const json& v) -> Result<std::int64_t> { return v.get<std::int64_t>(); });
}

Result<void> take_mounts(const json& object, config::AgentSettings& into) {
  for (const json& item : object.value("mounts", json::array())) {
    if (!item.is_string()) return fail(ErrorCode::invalid, "start", "'mounts' must be a list of texts");
    into.mounts.push_back(item.get<std::string>());
  }
  return {};
}

Result<void> take_env(const json& object, config::AgentSettings& into) {
  const json env = object.value("env", json::object());
  if (!env.is_object()) return fail(ErrorCode::invalid, "start", "'env' must be an object");
  for (const auto& [key, value] : env.items()) {
    if (!value.is_string()) return fail(ErrorCode::invalid, "start", "'env' values must be texts");
    into.env[key] = value.get<std::string>();
  }
  return {};
}

Result<void> can_be_served(const config::AgentSettings& settings, const agents::RunnerFacts& facts) {
  if (!settings.serve_port) return {};
  if (!facts.serves) {
    return fail(ErrorCode::invalid, "start", fmt::format("the runner {} has no server", facts.runner),
                "leave --serve out, or choose --runner opencode");
  }
  if (*settings.network == "bridge") return {};
  return fail(
      ErrorCode::invalid, "start",
      fmt::format("nothing of the network '{}' can be published: --serve needs a way in", *settings.network),
      "add --network bridge");
}

Result<void> take_port(const json& object, config::AgentSettings& into) {
  const auto is_whole = [](const json& v) { return v.is_number_integer(); };
  const auto port = [](const json& v) -> Result<std::int64_t> {
    const auto number = v.get<std::int64_t>();
    if (number >= 1 && number <= 65'535) return number;
    return fail(ErrorCode::invalid, "start", fmt::format("'serve_port' is {}", number), "1 to 65535");
  };
  return take(object, "serve_port", into.serve_port, is_whole, port);
}

// What a flag asks of the container cannot be had without one.
Result<void> no_container_flags(const config::AgentSettings& flags) {
  const std::array<std::pair<bool, std::string_view>, 7> asked{{
      {flags.image.has_value(), "--sandbox-image"},
      {flags.cpus.has_value(), "--sandbox-cpu"},
      {flags.memory_bytes.has_value(), "--sandbox-memory"},
      {flags.pids.has_value(), "--sandbox-pids"},
      {flags.network.has_value(), "--network"},
      {!flags.mounts.empty(), "--mount"},
      {flags.serve_port.has_value(), "--serve"},
  }};
  for (const auto& [given, option] : asked) {
    if (given)
      return fail(ErrorCode::invalid, "start", fmt::format("{} has no meaning on the host", option),
                  "leave it out, or leave --no-sandbox out");
  }
  return {};
}

// A runner with rules of its own is not told to ask for nothing where no container bounds what it does.
Result<AgentSpec> on_host(AgentSpec spec, const config::AgentSettings& own) {
  spec.place = agents::Place::host;
  spec.image.clear();
  spec.cpus = 0;
  spec.memory_bytes = 0;
  spec.pids = 0;
  spec.network.clear();
  spec.mounts.clear();
  spec.serve_port = 0;
  spec.permissions = own.permissions.value_or("own");
  if (spec.permissions != "open" || spec.runner == "custom") return spec;
  return fail(ErrorCode::denied, "permissions",
              fmt::format("{} must not act unasked where no sandbox bounds it", spec.runner),
              "rule: open-needs-sandbox; use a sandbox, or --permissions ask or own");
}

Result<void> known_network(const std::string& network) {
  if (network == "none" || network == "bridge") return {};
  if (network == "egress") {
    return fail(ErrorCode::denied, "network",
                "the egress network needs the gateway, which this version does not have",
                "choose --network none (closed) or --network bridge (open to the internet)");
  }
  return fail(ErrorCode::invalid, "network", fmt::format("'{}' is not a network", network),
              "none, egress or bridge");
}

}  // namespace

json to_json(const AgentSpec& spec) {
  return json{{"place", to_string(spec.place)},
              {"runner", spec.runner},
              {"model", spec.model},
              {"model_url", spec.model_url},
              {"command", spec.command},
              {"workdir", spec.workdir},
              {"image", spec.image},
              {"cpus", spec.cpus},
              {"memory_bytes", spec.memory_bytes},
              {"pids", spec.pids},
              {"network", spec.network},
              {"permissions", spec.permissions},
              {"serve_port", spec.serve_port},
              {"mounts", spec.mounts},
              {"env", spec.env}};
}

Result<AgentSpec> spec_from_json(const json& row) {
  try {
    AgentSpec spec;
    // Rows before 0.2 have no place.
    if (row.value("place", "") == to_string(agents::Place::host)) spec.place = agents::Place::host;
    row.at("runner").get_to(spec.runner);
    row.at("model").get_to(spec.model);
    spec.model_url = row.value("model_url", "");  // rows before 0.2 have none
    row.at("command").get_to(spec.command);
    row.at("workdir").get_to(spec.workdir);
    row.at("image").get_to(spec.image);
    row.at("cpus").get_to(spec.cpus);
    row.at("memory_bytes").get_to(spec.memory_bytes);
    row.at("pids").get_to(spec.pids);
    row.at("network").get_to(spec.network);
    row.at("permissions").get_to(spec.permissions);
    spec.serve_port = row.value("serve_port", std::uint16_t{0});  // rows before 0.2 have none
    row.at("mounts").get_to(spec.mounts);
    row.at("env").get_to(spec.env);
    return spec;
  } catch (const json::exception& problem) {
    return fail(ErrorCode::invalid, "journal",
                fmt::format("an agent's specification cannot be read: {}", problem.what()));
  }
}

Result<AgentSpec> resolve_spec(const config::Config& config, const std::string& name,
                               const config::AgentSettings& flags, const std::string& current_folder) {
  config::AgentSettings own = flags;
  if (const auto section = config.agents.find(name); section != config.agents.end())
    own = merge(own, section->second);
  config::AgentSettings settings = merge(merge(own, config.defaults), config::built_in());
  const agents::Place place = *settings.sandbox ? agents::Place::sandbox : agents::Place::host;
  if (auto allowed = allow_place(place, config); !allowed) return pass(allowed.error());
  const auto adapter = agents::find_adapter(*settings.runner);
  if (!adapter) return pass(adapter.error());
  if (auto checked = no_secrets(settings.env); !checked) return pass(checked.error());
  if (auto checked = check_environment(settings.env, *settings.runner, place); !checked)
    return pass(checked.error());
  const bool on_the_host = place == agents::Place::host;
  const auto fits = on_the_host ? no_container_flags(flags) : known_network(*settings.network);
  if (auto served = on_the_host ? Result<void>{} : can_be_served(settings, (*adapter)->facts()); !served)
    return pass(served.error());
  if (!fits) return pass(fits.error());
  if (!permissions_from(*settings.permissions)) {
    return fail(ErrorCode::invalid, "start", fmt::format("permissions cannot be '{}'", *settings.permissions),
                "open, ask or own");
  }
  if (!settings.workdir && !current_folder.empty()) settings.workdir = current_folder;
  if (!settings.workdir)
    return fail(ErrorCode::invalid, "start", "no workdir", "name one with --workdir DIR");
  AgentSpec spec{.runner = *settings.runner,
                 .model = settings.model.value_or(""),
                 .model_url = settings.model_url.value_or(""),
                 .command = settings.command.value_or(""),
                 .workdir = *settings.workdir,
                 .image = *settings.image,
                 .cpus = *settings.cpus,
                 .memory_bytes = settings.memory_bytes.value_or((*adapter)->facts().memory_bytes),
                 .pids = *settings.pids,
                 .network = *settings.network,
                 .permissions = *settings.permissions,
                 .serve_port = static_cast<std::uint16_t>(settings.serve_port.value_or(0)),
                 .mounts = settings.mounts,
                 .env = settings.env};
  if (place == agents::Place::host) return on_host(std::move(spec), own);
  return spec;
}

Result<config::AgentSettings> settings_from_json(const json& object) {
  constexpr std::array<std::string_view, 15> kKnown{
      "permissions", "runner", "model",   "model_url", "command", "workdir",    "image",  "cpus",
      "memory",      "pids",   "network", "mounts",    "env",     "serve_port", "sandbox"};
  if (!object.is_object()) return fail(ErrorCode::invalid, "start", "settings must be an object");
  for (const auto& [key, unused] : object.items()) {
    if (std::find(kKnown.begin(), kKnown.end(), key) == kKnown.end()) {
      return fail(ErrorCode::invalid, "start", fmt::format("unknown setting '{}'", key));
    }
  }
  config::AgentSettings settings;
  Result<void> done;
  const auto text = [&](const char* key, std::optional<std::string>& into) {
    if (done) done = take_text(object, key, into);
  };
  text("runner", settings.runner);
  text("model", settings.model);
  text("model_url", settings.model_url);
  text("command", settings.command);
  text("workdir", settings.workdir);
  text("image", settings.image);
  text("network", settings.network);
  text("permissions", settings.permissions);
  if (done) {
    done = take(
        object, "sandbox", settings.sandbox, [](const json& v) { return v.is_boolean(); },
        [](const json& v) -> Result<bool> { return v.get<bool>(); });
  }
  if (done) done = take_numbers(object, settings);
  if (done) done = take_port(object, settings);
  if (done) done = take_mounts(object, settings);
  if (done) done = take_env(object, settings);
  if (!done) return pass(done.error());
  return settings;
}

std::optional<agents::Permissions> permissions_from(std::string_view text) {
  if (text == "open") return agents::Permissions::open;
  if (text == "ask") return agents::Permissions::ask;
  if (text == "own") return agents::Permissions::own;
  return std::nullopt;
}

std::string_view to_string(agents::Place place) { return place == agents::Place::host ? "host" : "sandbox"; }

Result<void> allow_place(agents::Place place, const config::Config& config) {
  if (place == agents::Place::sandbox || !config.sandbox.required) return {};
  return fail(ErrorCode::denied, "start", "no agent may run on the host: a sandbox is required",
              "rule: sandbox-required ([sandbox] required in config.toml); leave --no-sandbox out");
}

std::string hash_of(const AgentSpec& spec) { return sha256_hex(to_json(spec).dump()); }

}  // namespace agentmesh::daemon
