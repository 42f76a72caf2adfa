#include "cli/log_follow.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace agentmesh::cli {
namespace {

// Looks until the text has stood still.
std::string settled(LogFollow& follow, std::string_view text, std::int64_t run = 1) {
  std::string told = follow.look(run, text);
  return told + follow.look(run, text);
}

TEST(LogFollow, TheFirstLookTellsTheLastLinesAndWhatIsTheSameIsNotToldAgain) {
  LogFollow follow(2);
  EXPECT_FALSE(follow.begun());
  EXPECT_EQ(follow.look(1, "a\nb\nc"), "b\nc\n");
  EXPECT_TRUE(follow.begun());
  EXPECT_EQ(settled(follow, "a\nb\nc"), "");
  EXPECT_EQ(follow.rest(), "");
}

TEST(LogFollow, OnlyWhatIsNewIsTold) {
  LogFollow follow(9);
  EXPECT_EQ(follow.look(1, ""), "");
  EXPECT_EQ(settled(follow, "a\nb"), "a\nb\n");
  EXPECT_EQ(settled(follow, "a\nb\nc"), "c\n");
  EXPECT_EQ(settled(follow, "b\nc\nd\ne"), "d\ne\n") << "the oldest line is beyond the window now";
  EXPECT_EQ(settled(follow, "x\ny"), "x\ny\n");
}

TEST(LogFollow, WhatStandsBelowTheNewLinesIsNotToldAgain) {
  LogFollow follow(9);
  follow.look(1, "a\n---\n> \n---\nidle");
  EXPECT_EQ(settled(follow, "a\nb\n\n---\n> \n---\nidle"), "b\n\n");
  EXPECT_EQ(settled(follow, "a\nb\n\nc\n---\n> \n---\nidle"), "c\n");
}

TEST(LogFollow, ALineThatGrowsIsToldWhenItStandsStill) {
  LogFollow follow(9);
  follow.look(1, "a");
  EXPECT_EQ(follow.look(1, "a\nI"), "");
  EXPECT_EQ(follow.look(1, "a\nI read"), "");
  EXPECT_EQ(follow.look(1, "a\nI read it.\n1 s"), "");
  EXPECT_EQ(follow.look(1, "a\nI read it.\n2 s"), "I read it.\n");
  EXPECT_EQ(follow.look(1, "a\nI read it.\n3 s"), "");
  EXPECT_EQ(follow.rest(), "3 s\n");
  EXPECT_EQ(follow.rest(), "");
}

TEST(LogFollow, TheNextRunIsToldWholeAndTheLastWordsOfTheOneBeforeAreNotLost) {
  LogFollow follow(9);
  follow.look(1, "welcome\na");
  EXPECT_EQ(follow.look(1, "welcome\na\nlast words"), "");
  EXPECT_EQ(follow.look(2, "welcome"), "last words\n");
  EXPECT_EQ(follow.look(2, "welcome\nb"), "welcome\n");
  EXPECT_EQ(follow.look(2, "welcome\nb"), "b\n");
}

TEST(LogFollow, ARunThatIsNotKnownIsTheSame) {
  LogFollow follow(9);
  follow.look(std::nullopt, "a");
  EXPECT_EQ(settled(follow, "a\nb", 4), "b\n");
  EXPECT_EQ(follow.look(std::nullopt, "a\nb"), "");
  EXPECT_EQ(settled(follow, "a\nb", 4), "");
  EXPECT_EQ(settled(follow, "a", 5), "a\n");
}

TEST(LogFollow, NoMoreLinesAreComparedThanItsLimit) {
  const auto numbers = [](std::size_t from, std::size_t to) {
    std::string text;
    for (std::size_t i = from; i < to; ++i) text += fmt::format("{}\n", i);
    return text;
  };
  LogFollow follow(5'000);
  EXPECT_EQ(follow.look(1, numbers(0, 5'000)), numbers(0, 5'000));
  EXPECT_EQ(settled(follow, numbers(5, 5'005)), numbers(5'000, 5'005));
  EXPECT_EQ(settled(follow, numbers(100'000, 105'000)), numbers(104'000, 105'000));
}

TEST(LogFollow, AnEngineThatIsAwayMayComeBackADaemonIsNotWaitedFor) {
  EXPECT_TRUE(may_pass(Error{ErrorCode::unavailable, "engine", "no answer", ""}));
  EXPECT_TRUE(may_pass(Error{ErrorCode::timeout, "tmux", "no answer", ""}));
  EXPECT_FALSE(may_pass(Error{ErrorCode::unavailable, "daemon", "cannot be reached", ""}));
  EXPECT_FALSE(may_pass(Error{ErrorCode::timeout, "daemon", "no answer", ""}));
  EXPECT_FALSE(may_pass(Error{ErrorCode::not_found, "logs", "no terminal", ""}));
}

}  // namespace
}  // namespace agentmesh::cli
