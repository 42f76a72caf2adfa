#pragma once
// `agentmesh hook RUNNER`: what images/hook is in a sandbox, for an agent that runs on the host. The program
// calls it with its own JSON on stdin; one datagram goes to $AGENTMESH_HOOK. It never disturbs the program it
// serves: nothing is printed and the exit code is 0 whatever happens, but for an answer that it waited for.

#include "base/clock.h"

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace agentmesh::cli {

constexpr std::size_t kMaxHookInput = 4 * 1024 * 1024;
constexpr Millis kHookRepeat{5'000};  // a waiting hook tells its question again, for a daemon that came later
constexpr Millis kHookPatience{24 * 3600'000};  // then only the program's own dialog is left

enum class HookStay { leave, wait };

// Always 0.
int run_hook(std::string_view runner, HookStay stay);

// The datagram for a program's JSON, at most what the daemon takes: long texts are cut, more so when it is
// still too large. Pure. `envelope` gets the member "hook".
std::string hook_datagram(const nlohmann::json& envelope, const nlohmann::json& hook);

}  // namespace agentmesh::cli
