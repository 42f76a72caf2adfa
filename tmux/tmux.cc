#include "tmux/tmux.h"

#include <charconv>

namespace agentmesh::tmux {

std::string PaneId::str() const { return "%" + std::to_string(value); }

Result<PaneId> parse_pane_id(std::string_view text) {
  PaneId id;
  const char* end = text.data() + text.size();
  if (text.size() >= 2 && text.front() == '%') {
    const auto [stop, error] = std::from_chars(text.data() + 1, end, id.value);
    if (error == std::errc{} && stop == end) return id;
  }
  return fail(ErrorCode::invalid, "tmux", "'" + std::string(text.substr(0, 40)) + "' is not a pane id",
              "a pane id is % and a number");
}

}  // namespace agentmesh::tmux
