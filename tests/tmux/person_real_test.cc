// What a person sees who attaches: a second session shows a tmux client that is attached to the first.

#include "tests/tmux/server_fixture.h"

namespace agentmesh::tmux {
namespace {

struct PersonReal : ServerFixture {
  Pane look_at(const std::string& session) {
    return open("viewer", {"env", "-u", "TMUX", "tmux", "-L", options.socket, "attach", "-t", "=" + session});
  }
  bool sees(PaneId viewer, const std::string& text) {
    return eventually(Millis{6000}, [&] { return screen(viewer).find(text) != std::string::npos; });
  }
};

TEST_F(PersonReal, TheStatusLineNamesTheAgentAndItsTitleAndItsEnd) {
  const Pane pane =
      open("neo", {"sh", "-c", "printf 'hello\\033]2;fixing the build\\007'; read line; exit 3"});
  ASSERT_TRUE(eventually(Millis{2000}, [&] { return has_title(pane.id, "fixing the build"); }));
  const Pane viewer = look_at("agentmesh-neo");
  EXPECT_TRUE(sees(viewer.id, "fixing the build  C-b d detaches")) << screen(viewer.id);
  EXPECT_NE(screen(viewer.id).find("\n neo  "), std::string::npos) << screen(viewer.id);
  EXPECT_TRUE(eventually(Millis{2000}, [&] { return pushed(pane.id)->attached == 1; }));
  wait(tmux->press(pane.id, {"Enter"}));
  EXPECT_TRUE(sees(viewer.id, "the program ended (status 3)")) << screen(viewer.id);
  if (std::getenv("SHOW") != nullptr) fmt::print("{}\n", screen(viewer.id));
}

TEST_F(PersonReal, AnAnnouncementIsShown) {
  open("neo", {"sleep", "1000"});
  const Pane viewer = look_at("agentmesh-neo");
  ASSERT_TRUE(sees(viewer.id, " neo  "));
  ASSERT_TRUE(wait(tmux->announce("agentmesh-neo", "neo crashed 3 times; #{pid} stays text")).has_value());
  EXPECT_TRUE(sees(viewer.id, "neo crashed 3 times; #{pid} stays text")) << screen(viewer.id);
  EXPECT_TRUE(wait(tmux->announce("agentmesh-viewer", "nobody looks")).has_value());
  EXPECT_EQ(wait(tmux->announce("agentmesh-none", "x")).error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace agentmesh::tmux
