#pragma once
// Reads config.toml into a Config. An unknown key, a wrong type and a bad value are errors that name file,
// line and the nearest known key; half a configuration is never used.

#include "base/result.h"
#include "config/config.h"

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace agentmesh::config {

constexpr std::size_t kMaxConfigBytes = 256 * 1024;

// Reads an environment variable; a parameter so that tests need no real one.
using Environment = std::function<std::optional<std::string>(const std::string&)>;
Environment system_environment();

// `source` names the text in errors. ${VAR} in a value is replaced at load; an unset VAR is an error.
// AGENTMESH_SECTION_KEY (AGENTMESH_WATCHDOG_STUCK_AFTER) in the environment wins over the file.
Result<Config> parse(std::string_view text, std::string_view source, const Environment& environment);

// A file that does not exist gives the built-in defaults.
Result<Config> load(const std::filesystem::path& path, const Environment& environment);

// The documented default file, as `agentmesh init` writes it.
std::string_view default_toml();

// $AGENTMESH_HOME, else ~/.agentmesh. Errors: invalid when neither can be told or the path is not absolute.
Result<std::filesystem::path> home_folder(const Environment& environment);

}  // namespace agentmesh::config
