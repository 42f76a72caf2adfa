#include "tmux/tmux.h"

#include "base/text.h"

namespace agentmesh::tmux {

std::string PaneId::str() const { return "%" + std::to_string(value); }

Result<PaneId> parse_pane_id(std::string_view text) {
  const auto number = text.starts_with('%') ? whole_number<std::uint32_t>(text.substr(1)) : std::nullopt;
  if (number) return PaneId{*number};
  return fail(ErrorCode::invalid, "tmux", "'" + std::string(text.substr(0, 40)) + "' is not a pane id",
              "a pane id is % and a number");
}

}  // namespace agentmesh::tmux
