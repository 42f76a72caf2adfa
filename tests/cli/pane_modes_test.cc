#include "cli/pane_modes.h"

#include "cli/engine_call.h"

#include <random>

#include <gtest/gtest.h>

namespace agentmesh::cli {
namespace {

std::string replayed(std::string_view output) {
  PaneModes modes;
  modes.feed(output);
  return modes.replay();
}

TEST(PaneModes, PlainOutputSetsNothing) { EXPECT_EQ(replayed("hello\x1b[31mred\x1b[0m\x1b[2J"), ""); }

TEST(PaneModes, ModesThatAreOnAreGivenAgainTheAlternateScreenFirst) {
  EXPECT_EQ(replayed("\x1b[?2004h\x1b[?1000;1006h\x1b[?1049h"),
            "\x1b[?1049h\x1b[?1000h\x1b[?1006h\x1b[?2004h");
}

TEST(PaneModes, WhatWasSetBackIsNot) { EXPECT_EQ(replayed("\x1b[?2004h\x1b[?2004l\x1b[?25l\x1b[?25h"), ""); }
TEST(PaneModes, AModeIsAWholeNumber) {
  EXPECT_EQ(replayed("\x1b[?25:3l\x1b[?;2004:h\x1b[?7;1 l"), "\x1b[?7l");
}
TEST(PaneModes, AHiddenCursorStaysHidden) { EXPECT_EQ(replayed("\x1b[?25l"), "\x1b[?25l"); }
TEST(PaneModes, TheLastTitleIsKept) {
  EXPECT_EQ(replayed("\x1b]2;one\a\x1b]0;✳ two\x1b\\\x1b]52;c;xyz\a"), "\x1b]2;✳ two\a");
}
TEST(PaneModes, KeypadCursorStyleAndKeyReports) {
  EXPECT_EQ(replayed("\x1b=\x1b[5 q\x1b[>4;2m"), "\x1b=\x1b[5 q\x1b[>4;2m");
}
TEST(PaneModes, AResetForgetsModes) {
  EXPECT_EQ(replayed("\x1b[?2004h\x1b="
                     "\x1b"
                     "c"),
            "");
}

TEST(PaneModes, PiecesOfAnySizeAreTheSame) {
  PaneModes modes;
  for (const char c : std::string("\x1b]2;t\x1b\\\x1b[?2004h")) modes.feed({&c, 1});
  EXPECT_EQ(modes.replay(), "\x1b[?2004h\x1b]2;t\a");
}

TEST(PaneModes, OnlyAChangeOfAModeIsTold) {
  PaneModes modes;
  EXPECT_TRUE(modes.feed("\x1b[?2004h"));
  EXPECT_FALSE(modes.feed("\x1b[?2004h"));
  EXPECT_FALSE(modes.feed("\x1b]2;spin\a"));
}

// ---- the mark for tmux

constexpr pid_t kRelay = 42;
const std::string kOn = "\x1b]7;agentmesh-brackets-pastes-42\a";
const std::string kOff = "\x1b]7;\a";

TEST(PasteMark, StandsRightBehindWhatSwitchedBracketedPastes) {
  PaneModes modes;
  EXPECT_EQ(modes.marked("a\x1b[?25l", kRelay), "a\x1b[?25l");
  EXPECT_EQ(modes.marked("b\x1b[?2004hc\x1b[?2004hd", kRelay), "b\x1b[?2004h" + kOn + "c\x1b[?2004hd");
  EXPECT_TRUE(modes.changed());
  EXPECT_EQ(modes.marked("e\x1b[?2004lf", kRelay), "e\x1b[?2004l" + kOff + "f");
  EXPECT_EQ(modes.marked("g", kRelay), "g");
  EXPECT_FALSE(modes.changed());
}

TEST(PasteMark, BreaksNoSequenceAndNoLetter) {
  PaneModes modes;
  std::string shown;
  for (const char c : std::string("é\x1b[1;?2004h\x1b[?1;2004hé\x1b[31m"))
    shown += modes.marked({&c, 1}, kRelay);
  EXPECT_EQ(shown, "é\x1b[1;?2004h\x1b[?1;2004h" + kOn + "é\x1b[31m");
}

TEST(PasteMark, AResetTakesItBack) {
  PaneModes modes;
  EXPECT_EQ(modes.marked("\x1b[?2004h", kRelay), "\x1b[?2004h" + kOn);
  EXPECT_EQ(modes.marked(std::string("\x1b") + "cx", kRelay), std::string("\x1b") + "c" + kOff + "x");
}

TEST(PasteMark, APathOfTheProgramsOwnDoesNotReplaceIt) {
  PaneModes modes;
  EXPECT_EQ(modes.marked("\x1b]7;file:///x\a.", kRelay), "\x1b]7;file:///x\a.");
  EXPECT_EQ(modes.marked("\x1b[?2004h", kRelay), "\x1b[?2004h" + kOn);
  for (const std::string path :
       {"\x1b]7;file:///x\a", "\x1b]7;file:///x\x1b\\", "\x1b]7;x\x18", "\x1b]7;\x1b[m"})
    EXPECT_EQ(modes.marked(path + ".", kRelay), path + kOn + ".");
  EXPECT_EQ(modes.marked("\x1b]77;x\a.", kRelay), "\x1b]77;x\a.");
}

TEST(PaneModes, AReplayReadBackIsTheSame) {
  const std::string first = replayed("\x1b[?1049h\x1b[?25l\x1b=\x1b[5 q\x1b]2;t\a");
  EXPECT_EQ(replayed(first), first);
}

PaneModes after(std::string_view bytes) {
  PaneModes modes;
  modes.feed(bytes);
  return modes;
}

TEST(PaneModes, OntoATerminalThatHasShownMoreItSaysWhatChanged) {
  const PaneModes before = after("\x1b[?2004h\x1b[?25l\x1b=\x1b[4 q\x1b[>4;2m\x1b]2;busy\a");
  EXPECT_EQ(before.replay_onto(before), "");
  PaneModes now = before;
  now.feed("\x1b]2;ready\a");
  EXPECT_EQ(now.replay_onto(before), "\x1b]2;ready\a");
  now.feed("\x1b[?2004l\x1b[?25h\x1b[?1049h\x1b>");
  EXPECT_EQ(now.replay_onto(before), "\x1b[?1049h\x1b[?25h\x1b[?2004l\x1b>\x1b]2;ready\a");
  EXPECT_EQ(after("").replay_onto(before), "\x1b[?25h\x1b[?2004l\x1b>\x1b[0 q\x1b[>4m\x1b]2;\a");
}

TEST(PaneModes, LongAndBrokenSequencesAreBounded) {
  EXPECT_LE(replayed("\x1b]2;" + std::string(1'000'000, 'x') + "\a").size(), kMaxModesText);
  EXPECT_EQ(replayed("\x1b[?" + std::string(100'000, '1') + "h"), "");
  std::mt19937 random(3);
  PaneModes modes;
  for (int i = 0; i < 200'000; ++i) {
    const char pieces[] = {'\x1b', '[', ']',  '?',  '2', '0',
                           ';',    'h', '\a', '\\', 'P', static_cast<char>(random())};
    const char c = pieces[random() % sizeof pieces];
    modes.feed({&c, 1});
  }
  EXPECT_LE(modes.replay().size(), kMaxModesText);
}

TEST(Overlap, IsTheMostThatFits) {
  EXPECT_EQ(overlap("one two", "two three"), 3U);
  EXPECT_EQ(overlap("one two", "three"), 0U);
  EXPECT_EQ(overlap("aaa", "aaaa"), 3U);
  EXPECT_EQ(overlap("", "x"), 0U);
  EXPECT_EQ(overlap("x", ""), 0U);
  EXPECT_EQ(overlap("painted", "painted"), 7U);
}

TEST(JoinChunks, JoinsAndStopsAtWhatIsMalformed) {
  EXPECT_EQ(join_chunks("4\r\n{\"a\"\r\n3\r\n:1}\r\n0\r\n\r\n"), "{\"a\":1}");
  EXPECT_EQ(join_chunks(""), "");
  EXPECT_EQ(join_chunks("zz\r\nabc"), "");
  EXPECT_EQ(join_chunks("ffffffffffffffff\r\nabc"), "abc");
  EXPECT_EQ(join_chunks("3\r\nab"), "ab");
  EXPECT_EQ(join_chunks("3;name=value\r\nabc\r\n0\r\n"), "abc");
  EXPECT_EQ(join_chunks("3 3\r\nabc"), "");
}

}  // namespace
}  // namespace agentmesh::cli
