#include "sandbox/docker_wire.h"

#include "base/json.h"
#include "base/text.h"
#include "sandbox/docker_engine.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::sandbox::wire {
namespace {

using nlohmann::json;

constexpr int kMaxAnswerDepth = 64;
constexpr std::size_t kMaxErrorText = 2000;

Error not_the_api(std::string_view what) {
  return Error{ErrorCode::internal, "engine", fmt::format("the engine's answer is not its API: {}", what),
               ""};
}

// Reads members of one object of an answer; the first wrong type is kept and makes the whole answer an Error.
class Reader {
 public:
  Reader(const json& object, std::optional<Error>& error) : object_(object), error_(error) {
    if (!object.is_object()) note("an object is missing");
  }

  std::string text(std::string_view key) { return keep(json_string(object_, key, ""), std::string()); }
  std::int64_t number(std::string_view key) { return keep(json_int(object_, key, 0), std::int64_t{0}); }
  std::uint64_t count(std::string_view key) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, number(key)));
  }
  bool flag(std::string_view key) { return keep(json_bool(object_, key, false), false); }

  std::map<std::string, std::string> texts(std::string_view key) {
    std::map<std::string, std::string> out;
    const auto& value = child(key);
    if (value.is_null()) return out;
    if (!value.is_object()) return note(fmt::format("'{}' is not an object", key)), out;
    for (const auto& [name, item] : value.items()) {
      item.is_string() ? void(out.emplace(name, item.get<std::string>()))
                       : note(fmt::format("'{}.{}'", key, name));
    }
    return out;
  }

  std::vector<std::string> list(std::string_view key) {
    std::vector<std::string> out;
    const auto& value = child(key);
    if (value.is_null()) return out;
    if (!value.is_array()) return note(fmt::format("'{}' is not an array", key)), out;
    for (const auto& item : value) {
      item.is_string() ? out.push_back(item.get<std::string>()) : note(fmt::format("an item of '{}'", key));
    }
    return out;
  }

  const json& child(std::string_view key) {
    static const json kNull;
    if (!object_.is_object()) return kNull;
    const auto found = object_.find(key);
    return found == object_.end() ? kNull : *found;
  }

  std::optional<WallTime> time(std::string_view key) {
    const auto value = from_rfc3339(text(key));
    return value && to_millis(*value) > 0 ? value : std::nullopt;  // the engine writes year 1 for "never"
  }

 private:
  template <class T>
  T keep(Result<T> value, T fallback) {
    if (value) return std::move(*value);
    note(value.error().what);
    return fallback;
  }
  void note(std::string_view what) {
    if (!error_) error_ = not_the_api(what);
  }

  const json& object_;
  std::optional<Error>& error_;
};

Result<json> answer(std::string_view body) {
  auto value = parse_json(body, "engine", {kMaxAnswerBytes, kMaxAnswerDepth});
  if (value || value.error().code == ErrorCode::exhausted) return value;
  return pass(not_the_api(value.error().what));
}

// An object of the answer through `read`.
template <class T, class Read>
Result<T> object_from(const json& value, Read read) {
  std::optional<Error> error;
  Reader reader(value, error);
  T out = read(reader);
  if (error) return pass(std::move(*error));
  return out;
}

template <class T, class Read>
Result<T> parsed(std::string_view body, Read read) {
  const auto value = answer(body);
  if (!value) return pass(value.error());
  return object_from<T>(*value, read);
}

template <class T, class Read>
Result<std::vector<T>> parsed_list(std::string_view body, Read read) {
  const auto value = answer(body);
  if (!value) return pass(value.error());
  if (value->is_null()) return std::vector<T>{};
  if (!value->is_array()) return pass(not_the_api("a list is missing"));
  std::vector<T> out;
  for (const auto& item : *value) {
    auto one = object_from<T>(item, read);
    if (!one) return pass(one.error());
    out.push_back(std::move(*one));
  }
  return out;
}

std::string without_slash(std::string name) { return name.starts_with('/') ? name.substr(1) : name; }

// The N of "1.N"; nothing for any other text.
std::optional<int> minor_of(std::string_view api) {
  if (!api.starts_with("1.")) return std::nullopt;
  return whole_number<int>(api.substr(2), 0);
}

ContainerSummary summary_of(Reader& reader) {
  ContainerSummary out;
  out.id = reader.text("Id");
  const auto names = reader.list("Names");
  if (!names.empty()) out.name = without_slash(names.front());
  out.image = reader.text("Image");
  out.state = container_state_from(reader.text("State"));
  out.labels = reader.texts("Labels");
  out.created_at = from_millis(std::clamp<std::int64_t>(reader.number("Created"), 0, INT32_MAX) * 1000);
  return out;
}

void read_state(const json& value, std::optional<Error>& error, ContainerDetails& out) {
  Reader state(value, error);
  out.state = container_state_from(state.text("Status"));
  out.pid = state.number("Pid");
  out.exit_code = static_cast<int>(state.number("ExitCode"));
  out.oom_killed = state.flag("OOMKilled");
  out.error = state.text("Error");
  out.started_at = state.time("StartedAt");
  out.finished_at = state.time("FinishedAt");
}

void read_addresses(const json& settings, std::optional<Error>& error, ContainerDetails& out) {
  if (settings.is_null()) return;
  const auto& networks = Reader(settings, error).child("Networks");
  if (!networks.is_object()) return;
  for (const auto& [name, endpoint] : networks.items()) {
    if (!endpoint.is_null()) out.addresses[name] = Reader(endpoint, error).text("IPAddress");
  }
}

ImageDetails image_of(Reader& reader) {
  ImageDetails out;
  out.id = reader.text("Id");
  out.tags = reader.list("RepoTags");
  std::erase(out.tags, "<none>:<none>");
  out.size_bytes = reader.count("Size");
  return out;
}

void read_ipam(const json& ipam, std::optional<Error>& error, NetworkDetails& out) {
  if (ipam.is_null()) return;
  const auto& config = Reader(ipam, error).child("Config");
  if (!config.is_array() || config.empty()) return;
  Reader first(config.front(), error);
  out.subnet = first.text("Subnet");
  out.gateway = first.text("Gateway");
}

Result<NetworkDetails> network_of(const json& value) {
  std::optional<Error> error;
  Reader reader(value, error);
  NetworkDetails out;
  out.id = reader.text("Id");
  out.name = reader.text("Name");
  out.driver = reader.text("Driver");
  out.reach = reader.flag("Internal") ? Reach::internal : Reach::external;
  out.labels = reader.texts("Labels");
  read_ipam(reader.child("IPAM"), error, out);
  const auto& containers = reader.child("Containers");
  if (containers.is_object()) {
    for (const auto& [id, endpoint] : containers.items()) out.container_ids.push_back(id);
  }
  if (error) return pass(std::move(*error));
  return out;
}

ErrorCode code_of(int status) {
  switch (status) {
    case 400:
      return ErrorCode::invalid;
    case 401:
    case 403:
      return ErrorCode::denied;
    case 404:
      return ErrorCode::not_found;
    case 409:
      return ErrorCode::conflict;
    default:
      return ErrorCode::internal;
  }
}

std::string engine_text(std::string_view body) {
  const auto value = parse_json(body, "engine");
  std::string text;
  if (value && value->is_object()) text = json_string(*value, "message", "").value_or("");
  if (text.empty() && !value) text = std::string(body);
  text = plain_text(to_utf8(std::string_view(text).substr(0, kMaxErrorText)));
  std::ranges::replace(text, '\n', ' ');
  return std::string(trim(text));
}

std::string percent(std::string_view text, std::string_view kept) {
  std::string out;
  for (const unsigned char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (plain || kept.find(static_cast<char>(c)) != std::string_view::npos) {
      out += static_cast<char>(c);
    } else {
      out += fmt::format("%{:02X}", c);
    }
  }
  return out;
}

}  // namespace

Result<EngineVersion> version_from(std::string_view body) {
  struct Raw {
    std::string version, newest, oldest;
  };
  const auto raw = parsed<Raw>(body, [](Reader& reader) {
    return Raw{reader.text("Version"), reader.text("ApiVersion"), reader.text("MinAPIVersion")};
  });
  if (!raw) return pass(raw.error());
  const auto newest = minor_of(raw->newest);
  if (!newest) return pass(not_the_api("no ApiVersion"));
  if (*newest < kOldestApiMinor) {
    return fail(ErrorCode::invalid, "engine",
                fmt::format("engine {} is too old: its API is {}", raw->version, raw->newest),
                fmt::format("API 1.{} is needed: Docker 20.10 or newer", kOldestApiMinor));
  }
  if (minor_of(raw->oldest).value_or(0) > kNewestApiMinor) {
    return fail(ErrorCode::invalid, "engine",
                fmt::format("engine {} no longer serves API 1.{}", raw->version, kNewestApiMinor),
                "update agentmesh");
  }
  return EngineVersion{raw->version, fmt::format("1.{}", std::min(*newest, kNewestApiMinor)), raw->newest};
}

Result<EngineInfo> info_from(std::string_view body) {
  return parsed<EngineInfo>(body, [](Reader& reader) {
    EngineInfo out;
    out.version = reader.text("ServerVersion");
    out.id = reader.text("ID");
    out.cpus = static_cast<std::uint32_t>(reader.count("NCPU"));
    out.memory_bytes = reader.count("MemTotal");
    out.cgroup_version = reader.text("CgroupVersion");
    out.cgroup_driver = reader.text("CgroupDriver");
    out.storage_driver = reader.text("Driver");
    out.live_restore = reader.flag("LiveRestoreEnabled");
    out.warnings = reader.list("Warnings");
    for (const auto& option : reader.list("SecurityOptions")) {
      out.rootless = out.rootless || option.starts_with("name=rootless");
      out.seccomp = out.seccomp || option.starts_with("name=seccomp");
    }
    return out;
  });
}

Result<std::vector<ContainerSummary>> summaries_from(std::string_view body) {
  return parsed_list<ContainerSummary>(body, summary_of);
}

Result<ContainerDetails> details_from(std::string_view body) {
  const auto value = answer(body);
  if (!value) return pass(value.error());
  std::optional<Error> error;
  Reader reader(*value, error);
  ContainerDetails out;
  out.id = reader.text("Id");
  out.name = without_slash(reader.text("Name"));
  out.image_id = reader.text("Image");
  out.created_at = reader.time("Created").value_or(WallTime{});
  read_state(reader.child("State"), error, out);
  Reader config(reader.child("Config"), error);
  out.labels = config.texts("Labels");
  out.terminal = config.flag("Tty");
  read_addresses(reader.child("NetworkSettings"), error, out);
  if (error) return pass(std::move(*error));
  return out;
}

Result<ImageDetails> image_from(std::string_view body) {
  const auto value = answer(body);
  if (!value) return pass(value.error());
  return object_from<ImageDetails>(*value, [](Reader& reader) {
    auto out = image_of(reader);
    out.created_at = reader.time("Created").value_or(WallTime{});
    const auto& config = reader.child("Config");
    std::optional<Error> ignored;
    if (config.is_object()) out.labels = Reader(config, ignored).texts("Labels");
    return out;
  });
}

Result<std::vector<ImageDetails>> images_from(std::string_view body) {
  return parsed_list<ImageDetails>(body, [](Reader& reader) {
    auto out = image_of(reader);
    out.created_at = from_millis(std::clamp<std::int64_t>(reader.number("Created"), 0, INT32_MAX) * 1000);
    out.labels = reader.texts("Labels");
    return out;
  });
}

Result<NetworkDetails> network_from(std::string_view body) {
  const auto value = answer(body);
  if (!value) return pass(value.error());
  return network_of(*value);
}

Result<std::vector<NetworkDetails>> networks_from(std::string_view body) {
  const auto value = answer(body);
  if (!value) return pass(value.error());
  if (!value->is_array()) return pass(not_the_api("a list is missing"));
  std::vector<NetworkDetails> out;
  for (const auto& item : *value) {
    auto one = network_of(item);
    if (!one) return pass(one.error());
    out.push_back(std::move(*one));
  }
  return out;
}

Result<std::string> id_from(std::string_view body) {
  auto id = parsed<std::string>(body, [](Reader& reader) {
    auto text = reader.text("Id");
    return text.empty() ? reader.text("ID") : text;
  });
  if (id && id->empty()) return pass(not_the_api("no Id"));
  return id;
}

Result<int> wait_code_from(std::string_view body) {
  const auto value = answer(body);
  if (!value) return pass(value.error());
  const auto code = value->is_object() ? value->find("StatusCode") : value->end();
  if (code == value->end() || !code->is_number_integer()) return pass(not_the_api("no StatusCode"));
  return code->get<int>();
}

Result<ExecState> exec_state_from(std::string_view body) {
  return parsed<ExecState>(body, [](Reader& reader) {
    const bool ended = reader.child("ExitCode").is_number_integer();
    return ExecState{reader.flag("Running") || !ended, static_cast<int>(reader.number("ExitCode"))};
  });
}

Error error_from(int status, std::string_view body) {
  std::string text = engine_text(body);
  if (text.empty()) text = fmt::format("the engine answered {}", status);
  Error error{code_of(status), "engine", std::move(text), ""};
  const std::string& what = error.what;
  if (status == 404 &&
      (what.find("o such image") != std::string::npos || what.find("image not known") != std::string::npos)) {
    error.hint = "agentmesh image build makes the sandbox image; agentmesh image pull NAME gets another";
  }
  return error;
}

std::string encode(std::string_view text) { return percent(text, "-_.~"); }
std::string encode_path(std::string_view name) { return percent(name, "-_.~/:@"); }

std::string label_filter(const Labels& labels) {
  json wanted = json::array();
  for (const auto& [name, value] : labels) wanted.push_back(value.empty() ? name : name + "=" + value);
  return encode(dump_json({{"label", wanted}}));
}

std::string exec_json(const ExecRequest& request) {
  json body{{"AttachStdout", true}, {"AttachStderr", true}, {"Tty", false}, {"Cmd", request.command}};
  body["Env"] = json::array();
  for (const auto& [name, value] : request.environment) body["Env"].push_back(name + "=" + value);
  if (!request.user.empty()) body["User"] = request.user;
  if (!request.workdir.empty()) body["WorkingDir"] = request.workdir;
  return dump_json(body);
}

std::string network_json(const NetworkRequest& request) {
  const bool internal = request.reach == Reach::internal;
  json body{{"Name", request.name}, {"CheckDuplicate", true}, {"Driver", "bridge"}, {"Internal", internal}};
  body["Labels"] = json::object();
  for (const auto& [name, value] : request.labels) body["Labels"][name] = value;
  // Sandboxes have nothing to say to each other.
  body["Options"] = {{"com.docker.network.bridge.enable_icc", internal ? "false" : "true"}};
  json pool = json::object();
  if (!request.subnet.empty()) pool["Subnet"] = request.subnet;
  if (!request.gateway.empty()) pool["Gateway"] = request.gateway;
  if (!pool.empty()) body["IPAM"] = {{"Config", json::array({pool})}};
  return dump_json(body);
}

Result<ProgressLine> progress_from(std::string_view line) {
  const auto value = answer(line);
  if (!value) return pass(value.error());
  if (value->is_object() && value->contains("error")) {
    const auto text = json_string(*value, "error", "").value_or("the engine reports an error without a text");
    return fail(ErrorCode::internal, "image", std::string(trim(plain_text(to_utf8(text)))));
  }
  std::optional<Error> error;
  Reader reader(*value, error);
  ProgressLine out;
  out.progress.id = reader.text("id");
  out.progress.status = reader.text("status");
  const auto stream = reader.text("stream");
  if (!stream.empty()) out.progress.status = std::string(trim(plain_text(stream)));
  if (const auto& detail = reader.child("progressDetail"); detail.is_object()) {
    Reader bytes(detail, error);
    out.progress.current_bytes = bytes.count("current");
    out.progress.total_bytes = bytes.count("total");
  }
  if (const auto& aux = reader.child("aux"); aux.is_object()) {
    std::optional<Error> ignored;
    out.image_id = Reader(aux, ignored).text("ID");
  }
  if (error) return pass(std::move(*error));
  return out;
}

}  // namespace agentmesh::sandbox::wire
