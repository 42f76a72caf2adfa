#pragma once
// JSON from outside is checked for size, depth and number of values before a document is built, and never
// throws.
// The document type is nlohmann::json; this header only forward-declares it.

#include "base/result.h"

#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace agentmesh {

constexpr std::size_t kMaxJsonBytes = 1024 * 1024;  // the hub's body limit; nothing of ours is larger
constexpr int kMaxJsonDepth = 64;
constexpr std::size_t kMaxJsonValues = 1'000'000;  // a document takes some 50 bytes of memory for each

struct JsonLimits {
  std::size_t bytes = kMaxJsonBytes;
  int depth = kMaxJsonDepth;
  std::size_t values = kMaxJsonValues;  // names of members count too
};

// Errors: exhausted (too large, too deep, too many values), invalid (not JSON, not UTF-8). `stage` names who
// asked.
Result<nlohmann::json> parse_json(std::string_view text, std::string_view stage, JsonLimits limits = {});

// One line, invalid UTF-8 replaced, never throws.
std::string dump_json(const nlohmann::json& value);

// A member by name: the fallback when it is absent or null. Errors: invalid when the type is another.
Result<std::string> json_string(const nlohmann::json& object, std::string_view key,
                                std::string_view fallback);
Result<std::int64_t> json_int(const nlohmann::json& object, std::string_view key, std::int64_t fallback);
Result<bool> json_bool(const nlohmann::json& object, std::string_view key, bool fallback);

}  // namespace agentmesh
