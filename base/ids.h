#pragma once
// Names and ids as types that cannot be mixed. AgentName is what a person types; AgentId is the hub's;
// RunId counts the containers an agent has had, from 1, and is part of the container's name.

#include "base/result.h"

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace agentmesh {

constexpr std::size_t kMaxNameLength = 63;  // [a-z0-9][a-z0-9_-]{0,62}

class AgentName {
 public:
  // Errors: invalid, with the rule in the hint.
  static Result<AgentName> parse(std::string_view text);
  const std::string& str() const { return text_; }
  auto operator<=>(const AgentName&) const = default;

 private:
  explicit AgentName(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

struct RunId {
  std::uint64_t value = 0;  // 0: no run yet
  auto operator<=>(const RunId&) const = default;
  RunId next() const { return RunId{value + 1}; }
};

// A 128-bit random id as 26 lower-case base32 characters, sorted by time of making.
// prefix "itm" gives "itm_01h...".
std::string new_id(std::string_view prefix);
// `bytes` of the system's random source, as lower-case hex.
std::string random_hex(std::size_t bytes);

std::string container_name(const AgentName& agent, RunId run);  // agentmesh-NAME-RUN

constexpr std::string_view kSessionPrefix = "agentmesh-";
std::string session_name(const AgentName& agent);  // agentmesh-NAME
// The agent's name in its session's; empty: no session of an agent.
std::string_view agent_of_session(std::string_view session);

}  // namespace agentmesh
