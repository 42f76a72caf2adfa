#include "tmux/command.h"

#include <gtest/gtest.h>

namespace agentmesh::tmux {
namespace {

TEST(Quote, PlainTextIsOnlyPutInQuotes) { EXPECT_EQ(quote("new-session"), "\"new-session\""); }
TEST(Quote, AnEmptyWordStaysAWord) { EXPECT_EQ(quote(""), "\"\""); }

TEST(Quote, WhatTmuxExpandsIsEscaped) {
  EXPECT_EQ(quote("$HOME"), "\"\\044HOME\"");
  EXPECT_EQ(quote("~/x"), "\"\\176/x\"");
  EXPECT_EQ(quote("a\"b"), "\"a\\042b\"");
  EXPECT_EQ(quote("a\\b"), "\"a\\134b\"");
}

TEST(Quote, AFinalSemicolonAndBracesStay) { EXPECT_EQ(quote("ls; {#{pane_id}};"), "\"ls; {#{pane_id}};\""); }

TEST(Quote, NeverBreaksTheLine) { EXPECT_EQ(quote("a\nb\r\tc\x1b"), "\"a\\012b\\015\\011c\\033\""); }

TEST(Quote, NulIsLeftOutAndTheLexersEndOfFileIsEscaped) {
  EXPECT_EQ(quote(std::string_view("a\0b", 3)), "\"ab\"");
  EXPECT_EQ(quote("\xff"), "\"\\377\"");
}

TEST(Quote, UnicodeStays) { EXPECT_EQ(quote("né🙂"), "\"né🙂\""); }

TEST(CommandLine, WordsAreSeparatedByOneSpace) {
  EXPECT_EQ(command_line({"send-keys", "-t", "%1"}), "\"send-keys\" \"-t\" \"%1\"");
}

TEST(EscapeFormat, HashesAreDoubled) { EXPECT_EQ(escape_format("/a#{x} 10%"), "/a##{x} 10%"); }

TEST(EscapeFormat, WhereTheTimeIsPutInPercentSignsAreDoubledToo) {
  EXPECT_EQ(escape_timed_format("#{x} %H 10%%"), "##{x} %%H 10%%%%");
}

TEST(PaneCommand, SeveralWordsNeedNoShell) {
  EXPECT_EQ(pane_command({"a", "b c"}), (std::vector<std::string>{"a", "b c"}));
}

TEST(PaneCommand, OneWordIsQuotedForTheShellThatTmuxWouldUse) {
  EXPECT_EQ(pane_command({"/bin/it's"}), (std::vector<std::string>{"exec '/bin/it'\\''s'"}));
}

}  // namespace
}  // namespace agentmesh::tmux
