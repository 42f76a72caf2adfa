#pragma once
// What tmux is asked about a pane, and how its answer is read. The title, the one thing an agent writes,
// comes last and ends with the record, by a byte that no title can hold (tmux drops control characters from
// titles): so an agent forges nothing. No field is separated by a control character, which tmux 3.4 to 3.6
// prints as an octal escape. Pure.

#include "base/result.h"
#include "tmux/tmux.h"

#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::tmux {

// The hidden session, never an agent's (those are agentmesh-NAME): it keeps the control client attached.
constexpr std::string_view kKeeperSession = "_agentmesh";

// Our pane in a session, and no other, has a mark: the session's name in an option of its own. A person's
// panes have none, and one of ours that was moved to another session has another's. mark_pane() is the
// command.
std::vector<std::string> mark_pane(const std::string& pane, const std::string& session);
// The condition that a pane has the mark of this session, wherever it is.
std::string has_mark_of(const std::string& session);
// The format of one pane's record.
std::string pane_format();
// The format of all panes of all sessions in one line, for a subscription.
std::string all_panes_format();

// One record. Errors: invalid.
Result<Pane> parse_pane(std::string_view record);
// The value of all_panes_format(): our panes, at most one of a session. Errors: invalid.
Result<std::vector<Pane>> parse_all_panes(std::string_view value);
// The lines of list-panes -F pane_format(): the same. Errors: invalid.
Result<std::vector<Pane>> parse_pane_lines(std::string_view text);

// Whether this version of tmux ("3.3a", "next-3.5", "master") has what we need: 3.3 or newer.
bool version_is_enough(std::string_view version);

}  // namespace agentmesh::tmux
