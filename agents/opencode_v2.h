#pragma once
// The events of opencode 2 in the words of opencode 1, so that one state folds both. Pure. An event is of
// version 2 when it has `data` where version 1 has `properties`. From its generated types (packages/client
// of 2.0); no real server of it has been measured.

#include <functional>
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace agentmesh::agents {

bool is_opencode_v2(const nlohmann::json& event);

// Tells the same as events of version 1, type and properties, in their order; nothing for what does not
// matter here.
using OpencodeV1Sink = std::function<void(const std::string& type, const nlohmann::json& properties)>;
void tell_as_opencode_v1(const nlohmann::json& event, const OpencodeV1Sink& tell);

}  // namespace agentmesh::agents
