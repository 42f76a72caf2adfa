#include "agents/adapter.h"
#include "agents/claude.h"
#include "agents/codex.h"
#include "agents/custom.h"
#include "agents/fields.h"
#include "agents/gemini.h"
#include "agents/opencode.h"

#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace agentmesh::agents {

Result<const Adapter*> find_adapter(std::string_view runner) {
  static const OpencodeAdapter opencode;
  static const ClaudeAdapter claude;
  static const CodexAdapter codex;
  static const GeminiAdapter gemini;
  static const CustomAdapter custom;
  static const auto adapters = std::to_array<const Adapter*>({&opencode, &claude, &codex, &gemini, &custom});
  std::vector<std::string_view> known;
  for (const Adapter* adapter : adapters) {
    if (adapter->facts().runner == runner) return adapter;
    known.push_back(adapter->facts().runner);
  }
  return fail(ErrorCode::invalid, "runner",
              fmt::format("no such runner in this version: '{}'", one_line(runner)),
              fmt::format("one of: {}", fmt::join(known, ", ")));
}

}  // namespace agentmesh::agents
