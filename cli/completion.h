#pragma once
// Shell completion, generated from the table of commands.

#include <span>
#include <string>

#include "cli/command.h"

namespace agentmesh::cli {

// `shell`: bash, zsh or fish. Errors: invalid.
Result<std::string> completion_script(std::string_view shell, std::span<const CommandSpec> commands);

}  // namespace agentmesh::cli
