#include "tmux/ownership.h"

#include "base/ids.h"
#include "base/text.h"
#include "tmux/pane_format.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

namespace agentmesh::tmux {
namespace {

namespace fs = std::filesystem;

constexpr char kOtherByte = '?';

// Formats of tmux: the pane's session is an agent's; it is the only pane of one.
std::string of_agent() { return "#{m:" + std::string(kSessionPrefix) + "*,#{session_name}}"; }
std::string only_of_agent() {
  return "#{&&:" + of_agent() + ",#{&&:#{==:#{session_windows},1},#{==:#{window_panes},1}}}";
}

// "%1:agentmesh-a" for every pane.
Task<std::string> panes_with(std::shared_ptr<ControlLink> link, std::string condition, Millis deadline) {
  co_return co_await link->ask(
      Request{.words = {"list-panes", "-a", "-f", std::move(condition), "-F", "#{pane_id}:#{session_name}"}},
      deadline);
}

bool may_exist(const std::string& owner) {
  std::error_code ec;
  return owner.find(kOtherByte) != std::string::npos || fs::exists(owner, ec) || ec;
}

std::unexpected<Error> taken(const TmuxOptions& options, const std::string& owner) {
  return fail(
      ErrorCode::unavailable, "tmux",
      "the tmux server on socket " + options.socket + " belongs to the agents of " + plain_text(owner),
      "set [tmux] socket or AGENTMESH_TMUX_SOCKET to another name; if those agents are not wanted, end "
      "it: tmux -L " +
          options.socket + " kill-server");
}

Task<> mark_only_panes(std::shared_ptr<ControlLink> link, Millis deadline) {
  const auto panes = co_await panes_with(link, only_of_agent(), deadline);
  if (!panes) co_return pass(panes.error());
  for (const std::string_view line : split(*panes, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() != 2) continue;
    // One that went meanwhile needs no mark.
    co_await link->ask(Request{.words = mark_pane(std::string(fields[0]), std::string(fields[1]))}, deadline);
  }
  co_return Result<>{};
}

}  // namespace

std::string owner_mark(const std::string& folder) {
  std::error_code ec;
  const fs::path resolved = fs::weakly_canonical(folder, ec);
  std::string mark = ec ? folder : resolved.string();
  const auto other = [](unsigned char byte) {
    return byte >= 0x80 ||
           (std::isalnum(byte) == 0 && !std::string_view("._/-").contains(static_cast<char>(byte)));
  };
  std::ranges::replace_if(mark, other, kOtherByte);
  return mark;
}

Task<> claim_server(std::shared_ptr<ControlLink> link, TmuxOptions options, std::string owner) {
  if (owner.empty()) {
    if (auto marked = co_await mark_only_panes(link, options.deadline); !marked) co_return marked;
  } else {
    const auto used = co_await panes_with(link, of_agent(), options.deadline);
    if (!used) co_return pass(used.error());
    if (!used->empty() && may_exist(owner)) co_return taken(options, owner);
  }
  const auto done = co_await link->ask(
      Request{.words = {"set-option", "-s", "@agentmesh-owner", options.owner}}, options.deadline);
  if (!done) co_return pass(done.error());
  co_return Result<>{};
}

}  // namespace agentmesh::tmux
