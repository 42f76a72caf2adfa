#include "tmux/desktop.h"

#include "base/text.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace agentmesh::tmux {
namespace {

const Terminal kXterm{true, "xterm-256color", "XTerm(379)"};

TEST(DesktopTest, TheTerminalChoosesTheSequence) {
  const auto asked = [](std::string name, std::string type) {
    return desktop_sequence({true, std::move(name), std::move(type)}, "neo", "asks");
  };
  EXPECT_EQ(asked("xterm-256color", "iTerm2"), "\x1b]9;agentmesh: neo: asks\a");
  EXPECT_EQ(asked("xterm-kitty", ""), "\x1b]9;agentmesh: neo: asks\a");
  EXPECT_EQ(asked("xterm-256color", "VTE(7006)"), "\x1b]777;notify;agentmesh: neo;asks\a");
  EXPECT_EQ(asked("rxvt-unicode-256color", ""), "\x1b]777;notify;agentmesh: neo;asks\a");
  for (const char* silent : {"linux", "dumb", ""}) EXPECT_EQ(asked(silent, ""), "") << silent;
}

TEST(DesktopTest, NothingOfTheTextSteersTheTerminal) {
  const std::string evil =
      "rm\x1b]52;c;AAAA\x07 \x1b\\\x07\x9c\xc2\x9c\xc2\x1b[0m\x9b"
      "2J;x\n\ty\x18\x1a\u202e"
      "ok\xff";
  for (const bool utf8 : {true, false}) {
    for (const char* name : {"xterm", "rxvt"}) {
      const std::string sequence = desktop_sequence({utf8, name, ""}, evil, evil);
      ASSERT_TRUE(sequence.starts_with("\x1b]") && sequence.ends_with("\a"));
      const std::string inside = sequence.substr(2, sequence.size() - 3);
      EXPECT_TRUE(std::ranges::none_of(inside, [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
          << inside;
      EXPECT_TRUE(is_utf8(inside));
      EXPECT_EQ(plain_text(inside), inside);
      if (!utf8) EXPECT_TRUE(std::ranges::all_of(inside, [](unsigned char c) { return c < 0x80; })) << inside;
      EXPECT_EQ(std::ranges::count(inside, ';'), std::string_view(name) == "rxvt" ? 3 : 1) << inside;
    }
  }
}

TEST(DesktopTest, ALongTextIsCutBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "\u00e9";
  const std::string sequence = desktop_sequence(kXterm, "neo", text);
  EXPECT_TRUE(is_utf8(sequence));
  EXPECT_LT(sequence.size(), 2 * kMaxDesktopText + 40);
  EXPECT_TRUE(desktop_sequence({false, "xterm", ""}, "neo", text).contains("???"));
}

}  // namespace
}  // namespace agentmesh::tmux
