#pragma once
// What a holder is told on its standard input, once: which program, with which environment. It may hold
// secrets, so it is never an argument and never a file.

#include "base/result.h"
#include "base/secret.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::host {

constexpr std::size_t kMaxLaunchBytes = 1024 * 1024;

struct HolderLaunch {
  std::vector<std::string> argv;
  std::map<std::string, std::string> env;
  std::string workdir;
  std::uint64_t open_files = 0;
  // Of the agent's own HTTP server, for the next daemon to ask for. 0: it has none.
  std::uint16_t http_port = 0;
  Secret http_password;
};

std::string to_text(const HolderLaunch& launch);
// Errors: exhausted, invalid.
Result<HolderLaunch> launch_from(std::string_view text);

}  // namespace agentmesh::host
