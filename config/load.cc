#include "config/load.h"

#include "base/files.h"
#include "base/ids.h"
#include "base/text.h"
#include "config/webhook_url.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>
#include <toml++/toml.h>

namespace agentmesh::config {
namespace {

namespace fs = std::filesystem;

// Where a value stands, for its error message.
struct Place {
  std::string source;  // the file's name, or the environment variable's
  std::int64_t line = 0;
  std::string key;

  std::unexpected<Error> wrong(std::string_view what, std::string_view hint) const {
    const std::string where = line > 0 ? fmt::format("{}:{}", source, line) : source;
    return fail(ErrorCode::invalid, "config", fmt::format("{}: {} {}", where, key, what), std::string(hint));
  }
};

struct Value {
  const toml::node& node;
  const Place& place;
  const Environment& environment;
};

// "${VAR}" anywhere in a text.
Result<std::string> expand(std::string text, const Value& value) {
  for (std::size_t at = text.find("${"); at != std::string::npos; at = text.find("${", at)) {
    const std::size_t end = text.find('}', at);
    if (end == std::string::npos) return value.place.wrong("has '${' without '}'", "");
    const std::string name = text.substr(at + 2, end - at - 2);
    const auto found = value.environment(name);
    if (!found) return value.place.wrong(fmt::format("names ${{{}}}, which is not set", name), "");
    text.replace(at, end - at + 1, *found);
    at += found->size();
  }
  return text;
}

Result<std::string> text_of(const Value& value) {
  const auto text = value.node.value_exact<std::string>();
  if (!text) return value.place.wrong("must be a text in quotes", "");
  return expand(*text, value);
}

Result<std::int64_t> whole_of(const Value& value, std::int64_t lowest, std::int64_t highest) {
  const auto number = value.node.value_exact<std::int64_t>();
  if (!number || *number < lowest || *number > highest) {
    return value.place.wrong(fmt::format("must be a whole number from {} to {}", lowest, highest), "");
  }
  return *number;
}

using Apply = std::function<Result<void>(Config&, const Value&)>;
using ApplyAgent = std::function<Result<void>(AgentSettings&, const Value&)>;

template <class Section>
Apply text(Section Config::* section, std::string Section::* field) {
  return [=](Config& config, const Value& value) -> Result<void> {
    auto found = text_of(value);
    if (!found) return pass(found.error());
    config.*section.*field = *found;
    return {};
  };
}

Result<std::string> one_of(const Value& value, const std::vector<std::string>& allowed) {
  auto found = text_of(value);
  if (!found || std::find(allowed.begin(), allowed.end(), *found) != allowed.end()) return found;
  return value.place.wrong(fmt::format("cannot be '{}'", *found),
                           fmt::format("one of: {}", fmt::join(allowed, ", ")));
}

template <class Section>
Apply choice(Section Config::* section, std::string Section::* field, std::vector<std::string> allowed) {
  return [=](Config& config, const Value& value) -> Result<void> {
    auto found = one_of(value, allowed);
    if (!found) return pass(found.error());
    config.*section.*field = *found;
    return {};
  };
}

template <class Section, class Field>
Apply duration(Section Config::* section, Field Section::* field, Millis lowest) {
  return [=](Config& config, const Value& value) -> Result<void> {
    auto found = text_of(value);
    if (!found) return pass(found.error());
    const auto parsed = parse_duration(*found);
    if (!parsed || *parsed < lowest) {
      return value.place.wrong(
          fmt::format("cannot be '{}'", *found),
          fmt::format("a duration of at least {} ms, like 250ms, 30s, 5m or 2h", lowest.count()));
    }
    config.*section.*field = *parsed;
    return {};
  };
}

template <class Section>
Apply whole(Section Config::* section, std::int64_t Section::* field, std::int64_t lowest,
            std::int64_t highest) {
  return [=](Config& config, const Value& value) -> Result<void> {
    const auto found = whole_of(value, lowest, highest);
    if (!found) return pass(found.error());
    config.*section.*field = *found;
    return {};
  };
}

Result<std::uint64_t> size_of(const Value& value) {
  auto found = text_of(value);
  if (!found) return pass(found.error());
  const auto parsed = parse_size(*found);
  if (!parsed) return value.place.wrong(fmt::format("cannot be '{}'", *found), parsed.error().hint);
  return *parsed;
}

Result<void> apply_crash_bytes(Config& config, const Value& value) {
  const auto bytes = size_of(value);
  if (!bytes) return pass(bytes.error());
  if (*bytes < kMinCrashBytes)
    return value.place.wrong("is too little for one report", "at least " + format_size(kMinCrashBytes));
  config.crash.max_bytes = *bytes;
  return {};
}

Result<std::vector<std::string>> list_of(const Value& value) {
  const toml::array* array = value.node.as_array();
  if (array == nullptr) return value.place.wrong("must be a list of texts", "");
  std::vector<std::string> items;
  for (const toml::node& node : *array) {
    auto item = text_of(Value{node, value.place, value.environment});
    if (!item) return pass(item.error());
    items.push_back(*item);
  }
  return items;
}

template <class T>
Result<void> assign(Result<T> found, auto& into) {
  if (!found) return pass(found.error());
  into = *found;
  return {};
}

// true or false; in an environment variable as a word.
template <class Section>
Apply yes_or_no(Section Config::* section, bool Section::* field) {
  return [=](Config& config, const Value& value) -> Result<void> {
    const auto word = value.place.line == 0 ? value.node.value_exact<std::string>() : std::nullopt;
    const auto found =
        word == "true" || word == "false" ? std::optional(word == "true") : value.node.value_exact<bool>();
    if (!found) return value.place.wrong("must be true or false", "");
    config.*section.*field = *found;
    return {};
  };
}

Result<void> apply_notices(Config& config, const Value& value) {
  auto found = list_of(value);
  if (!found) return pass(found.error());
  const std::vector<std::string> known(kNotices.begin(), kNotices.end());
  for (const std::string& notice : *found) {
    if (std::find(known.begin(), known.end(), notice) != known.end()) continue;
    return value.place.wrong(fmt::format("cannot have '{}'", one_line(notice)),
                             fmt::format("any of: {}", fmt::join(known, ", ")));
  }
  config.notify.on = std::move(*found);
  return {};
}

Result<void> apply_notify_command(Config& config, const Value& value) {
  auto words = list_of(value);
  if (!words) return pass(words.error());
  const auto has_nul = [](const std::string& word) { return word.contains('\0'); };
  if (std::any_of(words->begin(), words->end(), has_nul)) return value.place.wrong("has a NUL character", "");
  if (!words->empty() && words->front().empty())
    return value.place.wrong("has no program", "[\"program\", \"argument\"]");
  config.notify.command = std::move(*words);
  return {};
}

Result<void> apply_webhook(Config& config, const Value& value) {
  auto url = text_of(value);
  if (!url) return pass(url.error());
  if (!url->empty()) {
    const auto origin = webhook_origin(*url);
    if (!origin) return value.place.wrong(origin.error().what, origin.error().hint);
  }
  config.notify.webhook = std::move(*url);
  return {};
}

Result<void> apply_notify_secret(Config& config, const Value& value) {
  auto reference = text_of(value);
  if (!reference) return pass(reference.error());
  if (!reference->empty() && !reference->starts_with("env:") && !reference->starts_with("file:"))
    return value.place.wrong("names where the secret is, it is not the secret", "env:NAME or file:PATH");
  config.notify.secret = std::move(*reference);
  return {};
}

ApplyAgent agent_text(std::optional<std::string> AgentSettings::* field) {
  return [=](AgentSettings& settings, const Value& value) { return assign(text_of(value), settings.*field); };
}

Result<void> apply_cpus(AgentSettings& settings, const Value& value) {
  const auto number = value.node.value<double>();
  if (!number || !(*number > 0)) return value.place.wrong("must be a number above 0", "like 0.5 or 2");
  settings.cpus = *number;
  return {};
}

Result<void> apply_env(AgentSettings& settings, const Value& value) {
  const toml::table* table = value.node.as_table();
  if (table == nullptr) return value.place.wrong("must be a table of NAME = \"value\"", "");
  for (const auto& [key, node] : *table) {
    auto text = text_of(Value{node, value.place, value.environment});
    if (!text) return pass(text.error());
    settings.env[std::string(key.str())] = *text;
  }
  return {};
}

// From the environment it comes as a text.
Result<bool> truth_of(const Value& value) {
  if (const auto truth = value.node.value_exact<bool>()) return *truth;
  const auto text = value.node.value_exact<std::string>();
  if (text && value.place.line == 0 && (*text == "true" || *text == "false")) return *text == "true";
  return value.place.wrong("must be true or false", "");
}

ApplyAgent agent_choice(std::optional<std::string> AgentSettings::* field, std::vector<std::string> allowed) {
  return [=](AgentSettings& settings, const Value& value) -> Result<void> {
    auto found = one_of(value, allowed);
    if (!found) return pass(found.error());
    settings.*field = *found;
    return {};
  };
}

const std::map<std::string, ApplyAgent>& agent_keys() {
  static const std::map<std::string, ApplyAgent> keys{
      {"runner", agent_text(&AgentSettings::runner)},
      {"model", agent_text(&AgentSettings::model)},
      {"model_url", agent_text(&AgentSettings::model_url)},
      {"command", agent_text(&AgentSettings::command)},
      {"workdir", agent_text(&AgentSettings::workdir)},
      {"image", agent_text(&AgentSettings::image)},
      {"cpus", apply_cpus},
      {"memory", [](AgentSettings& s, const Value& v) { return assign(size_of(v), s.memory_bytes); }},
      {"pids", [](AgentSettings& s, const Value& v) { return assign(whole_of(v, 1, 1'000'000), s.pids); }},
      {"network", agent_choice(&AgentSettings::network, {"none", "egress", "bridge"})},
      {"permissions", agent_choice(&AgentSettings::permissions, {"open", "ask", "own"})},
      {"serve_port",
       [](AgentSettings& s, const Value& v) { return assign(whole_of(v, 1, 65'535), s.serve_port); }},
      {"sandbox", [](AgentSettings& s, const Value& v) { return assign(truth_of(v), s.sandbox); }},
      {"mounts", [](AgentSettings& s, const Value& v) { return assign(list_of(v), s.mounts); }},
      {"env", apply_env},
  };
  return keys;
}

using Section = std::map<std::string, Apply>;

const std::map<std::string, Section>& sections() {
  using C = Config;
  using W = Watchdog;
  static const std::map<std::string, Section> all{
      {"daemon", {{"log_level", choice(&C::daemon, &Daemon::log_level, {"debug", "info", "warn", "error"})}}},
      {"hub",
       {{"url", text(&C::hub, &Hub::url)},
        {"key", text(&C::hub, &Hub::key)},
        {"listen", text(&C::hub, &Hub::listen)}}},
      {"engine",
       {{"socket", text(&C::engine, &Engine::socket)},
        {"deadline", duration(&C::engine, &Engine::deadline, Millis{100})}}},
      {"tmux", {{"socket", text(&C::tmux, &Tmux::socket)}}},
      {"sandbox",
       {{"allow_mounts",
         [](Config& c, const Value& v) { return assign(list_of(v), c.sandbox.allow_mounts); }},
        {"required", [](Config& c, const Value& v) { return assign(truth_of(v), c.sandbox.required); }}}},
      {"watchdog",
       {{"stuck_after", duration(&C::watchdog, &W::stuck_after, Millis{1000})},
        {"nudge_wait", duration(&C::watchdog, &W::nudge_wait, Millis{1000})},
        {"turn_retry", duration(&C::watchdog, &W::turn_retry, Millis{1000})},
        {"loop_repeats", whole(&C::watchdog, &W::loop_repeats, 2, 1000)},
        {"nudge_text", text(&C::watchdog, &W::nudge_text)},
        {"max_restarts", whole(&C::watchdog, &W::max_restarts, 0, 1000)},
        {"restart_window", duration(&C::watchdog, &W::restart_window, Millis{1000})},
        {"backoff_first", duration(&C::watchdog, &W::backoff_first, Millis{0})},
        {"backoff_max", duration(&C::watchdog, &W::backoff_max, Millis{0})},
        {"backoff_jitter_percent", whole(&C::watchdog, &W::backoff_jitter_percent, 0, 100)},
        {"stable_after", duration(&C::watchdog, &W::stable_after, Millis{1000})},
        {"on_permission", choice(&C::watchdog, &W::on_permission, {"ask", "deny", "allow-in-sandbox"})},
        {"max_starting", whole(&C::watchdog, &W::max_starting, 1, 100)},
        {"ready_limit", duration(&C::watchdog, &W::ready_limit, Millis{1000})},
        {"relist", duration(&C::watchdog, &W::relist, Millis{1000})}}},
      {"delivery",
       {{"paste_wait", duration(&C::delivery, &Delivery::paste_wait, Millis{20})},
        {"ttl", duration(&C::delivery, &Delivery::ttl, Millis{1000})},
        {"queue_depth", whole(&C::delivery, &Delivery::queue_depth, 1, 1000)}}},
      {"crash",
       {{"lines", whole(&C::crash, &Crash::lines, 1, 10'000)},
        {"max_bytes", apply_crash_bytes},
        {"files", whole(&C::crash, &Crash::files, 1, 100)}}},
      {"notify",
       {{"on", apply_notices},
        {"desktop", yes_or_no(&C::notify, &Notify::desktop)},
        {"command", apply_notify_command},
        {"webhook", apply_webhook},
        {"secret", apply_notify_secret}}},
  };
  return all;
}

template <class Map>
std::string did_you_mean(const std::string& key, const Map& known, std::vector<std::string> more) {
  for (const auto& [name, unused] : known) more.push_back(name);
  const auto close = nearest(key, more);
  return close ? fmt::format("did you mean '{}'?", *close) : fmt::format("known: {}", fmt::join(more, ", "));
}

class Loader {
 public:
  Loader(std::string_view source, const Environment& environment)
      : source_(source), environment_(environment) {}

  Result<Config> load(const toml::table& root) {
    for (const auto& [key, node] : root) {
      if (auto done = section(std::string(key.str()), node); !done) return pass(done.error());
    }
    if (auto done = from_environment(); !done) return pass(done.error());
    return config_;
  }

 private:
  Place place(const toml::node& node, std::string key) const {
    return Place{source_, static_cast<std::int64_t>(node.source().begin.line), std::move(key)};
  }

  Result<void> section(const std::string& name, const toml::node& node) {
    const Place here = place(node, name);
    const auto known = sections().find(name);
    const bool is_agents = name == "agents" || name == "defaults";
    if (known == sections().end() && !is_agents) {
      return here.wrong("is not a known section", did_you_mean(name, sections(), {"agents", "defaults"}));
    }
    const toml::table* table = node.as_table();
    if (table == nullptr) return here.wrong("must be a section, written [" + name + "]", "");
    if (name == "defaults") return settings(config_.defaults, *table, name);
    if (name == "agents") return agents(*table);
    for (const auto& [key, value] : *table) {
      const std::string full = name + "." + std::string(key.str());
      const Place at = place(value, full);
      const auto apply = known->second.find(std::string(key.str()));
      if (apply == known->second.end()) {
        return at.wrong("is not a known key", did_you_mean(std::string(key.str()), known->second, {}));
      }
      if (auto done = apply->second(config_, Value{value, at, environment_}); !done) return done;
    }
    return {};
  }

  Result<void> agents(const toml::table& table) {
    for (const auto& [key, node] : table) {
      const std::string name(key.str());
      const Place at = place(node, "agents." + name);
      if (!AgentName::parse(name)) return at.wrong("is not an agent's name", "1 to 63 of a-z, 0-9, _ and -");
      const toml::table* inner = node.as_table();
      if (inner == nullptr) return at.wrong("must be a section, written [agents." + name + "]", "");
      if (auto done = settings(config_.agents[name], *inner, "agents." + name); !done) return done;
    }
    return {};
  }

  Result<void> settings(AgentSettings& into, const toml::table& table, const std::string& prefix) {
    for (const auto& [key, node] : table) {
      const Place at = place(node, prefix + "." + std::string(key.str()));
      const auto apply = agent_keys().find(std::string(key.str()));
      if (apply == agent_keys().end()) {
        return at.wrong("is not a known key", did_you_mean(std::string(key.str()), agent_keys(), {}));
      }
      if (auto done = apply->second(into, Value{node, at, environment_}); !done) return done;
    }
    return {};
  }

  Result<void> from_environment() {
    for (const auto& [section_name, keys] : sections()) {
      for (const auto& [key, apply] : keys) {
        std::string variable = "AGENTMESH_" + section_name + "_" + key;
        std::transform(variable.begin(), variable.end(), variable.begin(),
                       [](unsigned char c) { return std::toupper(c); });
        const auto text = environment_(variable);
        if (!text) continue;
        const auto node = node_of(*text);
        const Place at{variable, 0, section_name + "." + key};
        if (auto done = apply(config_, Value{*node, at, environment_}); !done) return done;
      }
    }
    return {};
  }

  // An environment variable is a number when it reads as one, else a text.
  static std::unique_ptr<toml::node> node_of(const std::string& text) {
    if (const auto number = whole_number<std::int64_t>(text, 0))
      return std::make_unique<toml::value<std::int64_t>>(*number);
    return std::make_unique<toml::value<std::string>>(text);
  }

  std::string source_;
  const Environment& environment_;
  Config config_;
};

}  // namespace

Environment system_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
}

Result<Config> parse(std::string_view text, std::string_view source, const Environment& environment) {
  try {
    const toml::table root = toml::parse(text, source);
    return Loader(source, environment).load(root);
  } catch (const toml::parse_error& problem) {
    return fail(ErrorCode::invalid, "config",
                fmt::format("{}:{}: {}", source, problem.source().begin.line, problem.description()), "");
  }
}

Result<Config> load(const fs::path& path, const Environment& environment) {
  auto text = read_file(path, kMaxConfigBytes);
  if (!text && text.error().code == ErrorCode::not_found) return parse("", path.string(), environment);
  if (!text) return pass(Error{text.error().code, "config", text.error().what, ""});
  return parse(*text, path.string(), environment);
}

Result<fs::path> home_folder(const Environment& environment) {
  fs::path home;
  if (const auto named = environment("AGENTMESH_HOME"); named && !named->empty()) {
    home = *named;
  } else if (const auto user = environment("HOME"); user && !user->empty()) {
    home = fs::path(*user) / ".agentmesh";
  }
  if (home.is_absolute()) return home.lexically_normal();
  return fail(ErrorCode::invalid, "config",
              fmt::format("AGENTMESH_HOME '{}' is not an absolute path", home.string()),
              "set AGENTMESH_HOME to an absolute path");
}

}  // namespace agentmesh::config
