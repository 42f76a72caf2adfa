// When an agent's picture is read.
#include "tests/daemon/mesh_fixture.h"

#include <gtest/gtest.h>

namespace agentmesh::daemon::test {
namespace {

class PictureTest : public testing::Test {
 protected:
  PictureTest() {
    mesh.agent("a1", "claude", RunId{3});
    mesh.load();
    mesh.settle();
  }
  tmux::Pane painted(std::int64_t at_s) {
    constexpr tmux::PaneId kPane{9};  // the fake counts from 1
    tmux::Pane& pane = mesh.tmux.panes[kPane];
    pane.session = "agentmesh-a1";
    pane.id = kPane;
    pane.painted_s = at_s;
    return pane;
  }
  std::ptrdiff_t looks() const {
    return std::ranges::count_if(mesh.tmux.calls,
                                 [](const auto& call) { return call.starts_with("capture"); });
  }
  Mesh mesh;
};

// What paints nothing more after a look found its pane would else never be seen: a dialog, for one.
TEST_F(PictureTest, APaneThatALookSawFirstIsRead) {
  painted(1'000);
  mesh.supervisor->request_look();
  EXPECT_TRUE(mesh.until([&] { return looks() == 1; }));
  mesh.supervisor->on_tmux_event(tmux::PaneChanged{painted(1'000)});
  mesh.settle();
  EXPECT_EQ(looks(), 1) << "an event that tells the same is no news";
}

TEST_F(PictureTest, APaneThatAnEventToldFirstIsRead) {
  mesh.supervisor->on_tmux_event(tmux::PaneChanged{painted(1'000)});
  EXPECT_TRUE(mesh.until([&] { return looks() == 1; }));
}

TEST_F(PictureTest, WhatWasPaintedSinceIsReadWhoeverTellsIt) {
  mesh.supervisor->on_tmux_event(tmux::PaneChanged{painted(1'000)});
  ASSERT_TRUE(mesh.until([&] { return looks() == 1; }));
  painted(1'001);
  mesh.supervisor->request_look();
  EXPECT_TRUE(mesh.until([&] { return looks() == 2; }));
}

// tmux keeps what the run before has shown, and the end of it is told later than the start of the next.
TEST_F(PictureTest, WhatTheRunBeforeHasShownIsNotTheNextOnes) {
  Entry& entry = mesh.entry("a1");
  entry.agent.phase = watchdog::Phase::launching;
  entry.agent.live.pane_open = false;
  entry.agent.live.pane_asked = true;
  tmux::Pane before = painted(1'000);
  before.title = "busy";
  mesh.supervisor->on_tmux_event(tmux::PaneChanged{before});
  mesh.settle();
  EXPECT_EQ(mesh.lines["a1"].titles, std::vector<std::string>());
  EXPECT_EQ(looks(), 0);

  tmux::Pane own = painted(1'001);
  own.title = "ready";
  mesh.supervisor->on_tmux_event(tmux::PaneChanged{own});
  EXPECT_EQ(mesh.lines["a1"].titles, std::vector<std::string>());
  mesh.supervisor->feed(entry.agent.name, watchdog::EffectDone{watchdog::Effect::open_pane, RunId{3}, ""});
  EXPECT_EQ(mesh.lines["a1"].titles, std::vector<std::string>{"ready"});
  EXPECT_TRUE(mesh.until([&] { return looks() == 1; }));
  own.title = "busy";
  mesh.supervisor->on_tmux_event(tmux::PaneChanged{own});
  EXPECT_EQ(mesh.lines["a1"].titles, (std::vector<std::string>{"ready", "busy"}));
}

TEST_F(PictureTest, WhileNothingTellsTheStateItIsReadAgain) {
  mesh.entry("a1").agent.live.condition = watchdog::Condition::unknown;
  mesh.supervisor->on_tmux_event(tmux::PaneChanged{painted(1'000)});
  EXPECT_TRUE(mesh.until([&] { return looks() == 2; }));
}

TEST_F(PictureTest, OpeningAnothersPaneTakesNoNewsFromIt) {
  mesh.supervisor->on_tmux_event(tmux::PaneChanged{painted(1'000)});
  ASSERT_TRUE(mesh.until([&] { return looks() == 1; }));
  painted(1'001);
  const auto opened =
      agentmesh::test::complete(mesh.io, mesh.panes.open(*AgentName::parse("a2"), RunId{1}, {}), kLimit);
  ASSERT_TRUE(opened);
  mesh.supervisor->on_tmux_event(tmux::PaneChanged{painted(1'001)});
  EXPECT_TRUE(mesh.until([&] { return looks() == 2; }));
}

TEST_F(PictureTest, AnothersPaneIsNotRead) {
  tmux::Pane pane = painted(1'000);
  pane.session = "somebody";
  mesh.supervisor->on_tmux_event(tmux::PaneChanged{pane});
  mesh.settle();
  EXPECT_EQ(looks(), 0);
}

}  // namespace
}  // namespace agentmesh::daemon::test
