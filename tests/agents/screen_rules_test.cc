#include "agents/screen_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentmesh::agents {
namespace {

constexpr std::string_view kRules = R"(
[[rule]]
runner = "a"
means = "permission"
priority = 50
last = 4
all = ['^Allow (.*)\?$', '1\. Yes']
detail = '^Allow (.*)\?$'

[[rule]]
runner = "a"
means = "busy"
priority = 10
last = 6
all = ['esc to interrupt']

[[rule]]
runner = "a"
means = "dialog"
priority = 90
last = 4
since = "2.0"
before = "3"
all = ['Update\?']

[[rule]]
runner = "a"
means = "composer"
last = 3
all = ['^> ?(.*)$']
)";

ScreenReading read(std::string_view screen, std::string_view version) {
  const auto rules = ScreenRules::parse(kRules);
  return rules ? rules->read("a", version, screen) : ScreenReading{};
}

TEST(ScreenRules, AScreenThatNoRuleKnowsIsUnknown) {
  EXPECT_EQ(read("", ""), ScreenReading{});
  EXPECT_EQ(read("$ ls\nfile\n", ""), ScreenReading{});
  EXPECT_EQ(ScreenRules::parse(kRules)->read("b", "", "> "), ScreenReading{});
}

TEST(ScreenRules, AComposerAloneIsIdleAndItsDraftIsRead) {
  EXPECT_EQ(read("hello\n> \n\n\n", ""), (ScreenReading{ScreenMeaning::idle, "", true, ""}));
  EXPECT_EQ(read("hello\n> half typed  \n", ""),
            (ScreenReading{ScreenMeaning::idle, "", true, "half typed"}));
}

TEST(ScreenRules, WhatIsFaintIsNoDraft) {
  EXPECT_EQ(read("> \x1b[2mAsk me anything\x1b[0m\n", "").draft, "");
  EXPECT_EQ(read("> \x1b[38;5;2mgreen\x1b[0m\n", "").draft, "green");
  EXPECT_EQ(read("> \x1b[38;2;1;2;3mcoloured\x1b[22m\n", "").draft, "coloured");
}

TEST(ScreenRules, TheHighestPriorityDecidesAndTheComposerIsToldToo) {
  const ScreenReading busy = read("* Working (3s, esc to interrupt)\n> next\n", "");
  EXPECT_EQ(busy, (ScreenReading{ScreenMeaning::busy, "", true, "next"}));
  const ScreenReading asked =
      read("* Working (3s, esc to interrupt)\nAllow rm -rf build?\n 1. Yes\n 2. No\n", "");
  EXPECT_EQ(asked, (ScreenReading{ScreenMeaning::permission, "rm -rf build", false, ""}));
}

TEST(ScreenRules, OnlyTheLastLinesCount) {
  const ScreenReading printed =
      read("Allow rm -rf build?\n 1. Yes\n\nthe file ends here\nmore\nand more\n> \n", "");
  EXPECT_EQ(printed.meaning, ScreenMeaning::idle);
}

TEST(ScreenRules, ARuleOfAnotherVersionDoesNotCount) {
  EXPECT_EQ(read("Update?\n> \n", "2.1.3").meaning, ScreenMeaning::dialog);
  EXPECT_EQ(read("Update?\n> \n", "").meaning, ScreenMeaning::dialog)
      << "an unknown version: every rule counts";
  EXPECT_EQ(read("Update?\n> \n", "1.9").meaning, ScreenMeaning::idle);
  EXPECT_EQ(read("Update?\n> \n", "3.0").meaning, ScreenMeaning::idle);
}

TEST(ScreenRules, AHostileScreenIsReadInTime) {
  const std::string line(1 << 20, 'a');
  EXPECT_EQ(read(line, "").meaning, ScreenMeaning::unknown);
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += "> \x1b[\n";
  EXPECT_TRUE(read(many, "").composer);
  EXPECT_EQ(read("\x1b]8;;http://x", "").meaning, ScreenMeaning::unknown);
  EXPECT_EQ(read(std::string("\x1b\0[", 3), "").meaning, ScreenMeaning::unknown);
}

TEST(ScreenRules, WhatIsNoRuleIsRefusedWithItsLine) {
  const auto wrong = [](std::string_view text) { return describe(ScreenRules::parse(text).error()); };
  EXPECT_THAT(wrong("[[rule]]\nrunner = 'a'\nmeans = 'idle'\nall = ['x']"), testing::HasSubstr("line 3"));
  EXPECT_THAT(wrong("[[rule]]\nrunner = 'a'\nmeans = 'busy'\nall = ['(']"),
              testing::HasSubstr("bad pattern"));
  EXPECT_THAT(wrong("[[rule]]\nrunner = 'a'\nmeans = 'busy'"), testing::HasSubstr("needs"));
  EXPECT_THAT(wrong("[[rule]]\nrunner = 'a'\nmeans = 'busy'\nall = 'x'"), testing::HasSubstr("list"));
  EXPECT_THAT(wrong("[[rule]]\nrunner = 3"), testing::HasSubstr("runner must be a text"));
  EXPECT_THAT(wrong("[[rule]]\nlast = 1000"), testing::HasSubstr("from 0 to 200"));
  EXPECT_THAT(wrong("[[rule]]\ncolour = 'x'"), testing::HasSubstr("unknown key 'colour'"));
  EXPECT_THAT(wrong("x = 1"), testing::HasSubstr("only [[rule]]"));
  EXPECT_THAT(wrong("[[rule"), testing::HasSubstr("line 1"));
}

TEST(ScreenRules, TheBuiltInOnesAreRules) { EXPECT_TRUE(ScreenRules::parse(built_in_screens())); }

TEST(Versions, NumbersBetweenDotsAreCompared) {
  EXPECT_EQ(compare_versions("1.10", "1.9"), 1);
  EXPECT_EQ(compare_versions("2", "2.0.0"), 0);
  EXPECT_EQ(compare_versions("2.1.197", "2.2"), -1);
  EXPECT_EQ(compare_versions("2.1-beta", "2.1"), 0);
}

}  // namespace
}  // namespace agentmesh::agents
