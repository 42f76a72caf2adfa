#pragma once
// The address of a webhook, judged before anything is sent to it: https, or http to this host alone; no user
// name and no password in it, because a configuration holds no secret.

#include "base/result.h"

#include <string>
#include <string_view>

namespace agentmesh::config {

constexpr std::size_t kMaxWebhookUrl = 2048;  // bytes

// What may be shown of it: "https://host:port". The rest may be a secret. Errors: invalid, `what` as it
// follows the name of a key ("is too long").
Result<std::string> webhook_origin(std::string_view url);

}  // namespace agentmesh::config
