#pragma once
// Shell completion, generated from the table of commands.

#include "cli/command.h"

#include <span>
#include <string>

namespace agentmesh::cli {

// `shell`: bash, zsh or fish. Errors: invalid.
Result<std::string> completion_script(std::string_view shell, std::span<const CommandSpec> commands);

}  // namespace agentmesh::cli
