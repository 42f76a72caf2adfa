// Two homes that name the same tmux server.

#include "tests/tmux/server_fixture.h"
#include "tmux/ownership.h"

namespace agentmesh::tmux {
namespace {

const std::vector<std::string> kIdle = {"sleep", "1000"};

struct OwnershipReal : ServerFixture {
  // The fixture's folder is one home, and `other` the second.
  std::filesystem::path other = folder / "other";

  void SetUp() override {
    std::filesystem::create_directories(other);
    options.owner = folder.string();
    tmux = connect();
  }
  std::unique_ptr<ControlTmux> connect_as(const std::filesystem::path& owner) {
    TmuxOptions theirs = options;
    theirs.owner = owner.string();
    return std::make_unique<ControlTmux>(context.get_executor(), theirs, [](const Event&) {});
  }
};

TEST_F(OwnershipReal, AServerInUseIsRefusedToAnotherHomeAndNotEndedByIt) {
  const Pane pane = open("a", kIdle);
  const auto second = connect_as(other);
  const auto refused = wait(second->ensure());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  EXPECT_NE(refused.error().what.find("belongs to the agents of " + folder.string()), std::string::npos);
  EXPECT_NE(refused.error().hint.find("AGENTMESH_TMUX_SOCKET"), std::string::npos);
  EXPECT_FALSE(wait(second->list()).has_value());
  EXPECT_TRUE(wait(second->kill_server()).has_value());
  EXPECT_EQ(wait(tmux->list())->front().id, pane.id);
}

TEST_F(OwnershipReal, AServerWithoutAgentsGoesToWhoeverUsesItFirst) {
  ASSERT_TRUE(wait(tmux->ensure()).has_value());
  const auto second = connect_as(other);
  ASSERT_TRUE(wait(second->open({.session = "agentmesh-a", .argv = kIdle, .size = {80, 24}})).has_value());
  EXPECT_EQ(wait(tmux->ensure()).error().code, ErrorCode::unavailable) << "connected, and still refused";
  ASSERT_TRUE(wait(second->close("agentmesh-a")).has_value());
  EXPECT_TRUE(wait(tmux->ensure()).has_value());
}

TEST_F(OwnershipReal, AServerWhoseHomeIsGoneIsTaken) {
  const auto gone = connect_as(folder / "gone");
  ASSERT_TRUE(wait(gone->open({.session = "agentmesh-a", .argv = kIdle, .size = {80, 24}})).has_value());
  const auto server = wait(tmux->ensure());
  ASSERT_TRUE(server.has_value()) << describe(server.error());
  EXPECT_EQ(server->owner, folder.string());
}

}  // namespace
}  // namespace agentmesh::tmux
