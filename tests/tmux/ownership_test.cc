#include "tmux/ownership.h"

#include <gtest/gtest.h>

namespace agentmesh::tmux {
namespace {

TEST(OwnerMark, IsThePathWithoutWhatTmuxWouldRead) {
  EXPECT_EQ(owner_mark("/nowhere/a-b_c.d"), "/nowhere/a-b_c.d");
  EXPECT_EQ(owner_mark("/nowhere/x/../a b,}#\xc3\xbc"), "/nowhere/a?b?????");
}

}  // namespace
}  // namespace agentmesh::tmux
