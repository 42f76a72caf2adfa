#include "tmux/pane_format.h"

#include <gtest/gtest.h>

namespace agentmesh::tmux {
namespace {

std::string record(std::string_view dead, std::string_view status, std::string_view signal,
                   std::string_view title) {
  return fmt::format("%3:{}:1:{}:{}:{}:{}:0:1:80:24:1795538074:1:{}", "agentmesh-a", "4711", dead, status,
                     signal, title);
}

TEST(ParsePane, ALivingPane) {
  const auto pane = parse_pane(record("0", "", "", "✳ work : %end 1 2 1"));
  ASSERT_TRUE(pane.has_value());
  EXPECT_EQ(pane->session, "agentmesh-a");
  EXPECT_EQ(pane->id, PaneId{3});
  EXPECT_EQ(pane->pid, 4711);
  EXPECT_FALSE(pane->dead);
  EXPECT_FALSE(pane->exit_status);
  EXPECT_EQ(pane->size, (Size{80, 24}));
  EXPECT_EQ(pane->attached, 1);
  EXPECT_EQ(pane->painted_s, 1795538074);
  EXPECT_TRUE(pane->brackets_pastes);
  EXPECT_EQ(pane->title, "✳ work : %end 1 2 1");
}

TEST(ParsePane, ADeathByExitHasAStatus) {
  const auto pane = parse_pane(record("1", "3", "", ""));
  ASSERT_TRUE(pane.has_value());
  EXPECT_TRUE(pane->dead);
  EXPECT_EQ(pane->exit_status, 3);
  EXPECT_FALSE(pane->signal);
}

TEST(ParsePane, ADeathBySignalHasASignal) {
  const auto pane = parse_pane(record("1", "", "9", ""));
  ASSERT_TRUE(pane.has_value());
  EXPECT_EQ(pane->signal, 9);
  EXPECT_FALSE(pane->exit_status);
}

TEST(ParsePane, ADeathThatTmuxHasNotExplainedYetHasNeither) {
  const auto pane = parse_pane(record("1", "", "", ""));
  ASSERT_TRUE(pane.has_value());
  EXPECT_TRUE(pane->dead);
  EXPECT_FALSE(pane->exit_status || pane->signal);
}

TEST(ParsePane, ATitleCannotForgeAField) {
  const std::string title = ":1:9:agentmesh-b:%4\\037\\036";
  EXPECT_EQ(parse_pane(record("0", "", "", title))->title, title);
}

TEST(ParsePane, WhatIsNotARecordIsRefused) {
  for (const std::string& text :
       {std::string(), std::string("%3"), record("x", "", "", ""), std::string(500, ':')}) {
    EXPECT_FALSE(parse_pane(text).has_value()) << text;
  }
}

TEST(ParseAllPanes, TheKeeperIsLeftOut) {
  std::string keeper = record("0", "", "", "vm");
  keeper.replace(keeper.find("agentmesh-a"), 11, kKeeperSession);
  keeper.replace(keeper.find(":1:"), 3, ":0:");  // it has no mark
  const auto panes = parse_all_panes(keeper + "\x1e" + record("0", "", "", "t") + "\x1e");
  ASSERT_TRUE(panes.has_value());
  ASSERT_EQ(panes->size(), 1U);
  EXPECT_EQ(panes->front().title, "t");
}

// As tmux writes a pane beside ours in the same session: the mark's field is 0.
std::string pane_of_a_person(std::string_view id) {
  std::string line = record("0", "", "", "person");
  line.replace(line.find(":1:"), 3, ":0:");
  return line.replace(0, 2, id);
}

TEST(ParseAllPanes, APersonsPanesInTheSessionAreLeftOut) {
  const auto panes = parse_all_panes(pane_of_a_person("%1") + "\x1e" + record("0", "", "", "ours") + "\x1e" +
                                     pane_of_a_person("%9"));
  ASSERT_TRUE(panes.has_value());
  ASSERT_EQ(panes->size(), 1U);
  EXPECT_EQ(panes->front().title, "ours");
  EXPECT_TRUE(parse_pane_lines(pane_of_a_person("%1"))->empty());
}

TEST(ParsePaneLines, OfTwoOfOursInASessionTheNewestIsTheOne) {
  std::string newest = record("0", "", "", "newest");
  newest.replace(0, 2, "%11");
  const std::string older = record("0", "", "", "older");
  for (const std::string& text : {newest + "\n" + older, older + "\n" + newest}) {
    const auto panes = parse_pane_lines(text);
    ASSERT_EQ(panes->size(), 1U);
    EXPECT_EQ(panes->front().title, "newest");
  }
}

TEST(ParseAllPanes, NothingIsNoPanes) { EXPECT_TRUE(parse_all_panes("")->empty()); }

TEST(PaneId, OnlyAPercentAndANumber) {
  EXPECT_EQ(parse_pane_id("%0")->str(), "%0");
  for (const char* text : {"", "%", "1", "%1x", "%-1", "a:%1", "%99999999999", "% 1"}) {
    EXPECT_FALSE(parse_pane_id(text).has_value()) << text;
  }
}

TEST(Version, ThreePointThreeIsEnough) {
  for (const char* version : {"3.3", "3.3a", "3.10", "4.0", "next-3.5", "master", "openbsd-7.5"}) {
    EXPECT_TRUE(version_is_enough(version)) << version;
  }
  for (const char* version : {"3.2a", "2.9", "1.8", "3", ""})
    EXPECT_FALSE(version_is_enough(version)) << version;
}

}  // namespace
}  // namespace agentmesh::tmux
