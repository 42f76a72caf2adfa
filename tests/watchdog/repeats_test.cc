// The two detectors of loops: what is one, and above all what is none.
#include "watchdog/repeats.h"

#include <gtest/gtest.h>

namespace agentmesh::watchdog::test {
namespace {

using enum Repetition;

constexpr int kLimit = 5;
constexpr WallTime kStart{Millis{1'700'000'000'000}};

TEST(CallRepeatsTest, TheFifthEqualCallInARowIsALoop) {
  CallRepeats calls(kLimit);
  for (int i = 1; i < kLimit; ++i) EXPECT_EQ(calls.called("ls", ""), none) << i;
  EXPECT_EQ(calls.called("ls", ""), repeated);
  EXPECT_EQ(calls.called("ls", ""), repeated) << "and each one after it";
  EXPECT_EQ(calls.called("cat", ""), varied);
  EXPECT_EQ(calls.called("cat", ""), none);
}

TEST(CallRepeatsTest, AnotherCallBetweenBeginsAnew) {
  CallRepeats calls(kLimit);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(calls.called(i % kLimit == 0 ? "cat" : "ls", ""), none) << i;
}

TEST(CallRepeatsTest, ACallToldTwiceIsOneCall) {
  CallRepeats calls(kLimit);
  for (int i = 1; i < kLimit; ++i) {
    EXPECT_EQ(calls.called("ls", std::to_string(i)), none);
    EXPECT_EQ(calls.called("ls", std::to_string(i)), none);
  }
  EXPECT_EQ(calls.called("ls", "last"), repeated);
  EXPECT_EQ(calls.called("ls", "last"), none);
}

TEST(CallRepeatsTest, ANewTurnBeginsAnew) {
  CallRepeats calls(kLimit);
  for (int turn = 0; turn < 10; ++turn) {
    for (int i = 1; i < kLimit; ++i) EXPECT_EQ(calls.called("make test", ""), none);
    calls.turn_over();
  }
}

TEST(CallRepeatsTest, TheLeastLimitIsTwo) {
  CallRepeats calls(2);
  EXPECT_EQ(calls.called("", ""), none);
  EXPECT_EQ(calls.called("", ""), repeated) << "a call without a name is one all the same";
}

// Three rows of words that no other number gives.
std::string screen(std::size_t number) {
  std::string text;
  for (int row = 0; row < 3; ++row) {
    text += "row ";
    text += static_cast<char>('a' + number % 26);
    text += static_cast<char>('a' + number / 26);
    text += static_cast<char>('a' + row);
    text += "\n";
  }
  return text;
}

class Screens {
 public:
  Repetition show(const std::string& text, Millis after = Millis{1000}) {
    now_ += after;
    return screens_.shown(text, now_);
  }
  // Of `count` screens from `next`, the numbers at which a loop was told.
  template <class Next>
  std::vector<int> loops(int count, Next next, Millis step = Millis{1000}) {
    std::vector<int> at;
    for (int i = 0; i < count; ++i) {
      if (show(next(i), step) == repeated) at.push_back(i);
    }
    return at;
  }
  ScreenRepeats& screens() { return screens_; }

 private:
  ScreenRepeats screens_{kLimit};
  WallTime now_ = kStart;
};

TEST(ScreenRepeatsTest, ACycleOfEveryPeriodIsSeenAndToldOncePerRound) {
  for (std::size_t period = 2; period <= kMaxPeriod; ++period) {
    Screens s;
    const int rounds = static_cast<int>(period) * (kLimit + 3);
    const auto loops =
        s.loops(rounds, [&](int i) { return screen(static_cast<std::size_t>(i) % period); }, Millis{30'000});
    ASSERT_FALSE(loops.empty()) << period;
    EXPECT_EQ(loops.front(), static_cast<int>(period) * kLimit - 1) << "at the end of the fifth time";
    for (std::size_t i = 1; i < loops.size(); ++i) {
      EXPECT_EQ(loops[i] - loops[i - 1], static_cast<int>(period)) << period;
    }
    EXPECT_EQ(s.show(screen(99)), varied);
    EXPECT_EQ(s.show(screen(98)), none);
  }
}

TEST(ScreenRepeatsTest, ALongerCycleIsNotSeen) {
  Screens s;
  EXPECT_TRUE(
      s.loops(200, [](int i) { return screen(static_cast<std::size_t>(i) % (kMaxPeriod + 1)); }).empty());
}

TEST(ScreenRepeatsTest, FourTimesAreNotFive) {
  Screens s;
  const auto loops =
      s.loops(4 * 3, [](int i) { return screen(static_cast<std::size_t>(i) % 3); }, Millis{60'000});
  EXPECT_TRUE(loops.empty());
}

TEST(ScreenRepeatsTest, WhatIsOverInAMinuteIsNone) {
  Screens s;
  const auto two = [](int i) { return screen(static_cast<std::size_t>(i) % 2); };
  EXPECT_TRUE(s.loops(61, two).empty());
  EXPECT_FALSE(s.loops(4, two).empty()) << "a minute after the first that came again";
}

TEST(ScreenRepeatsTest, AScreenThatStaysIsNone) {
  Screens s;
  EXPECT_TRUE(s.loops(500, [](int) { return screen(1); }).empty());
}

TEST(ScreenRepeatsTest, ASpinnerAClockAndACounterAreNone) {
  const std::vector<std::string> frames{"⠋", "⠙", "⠹", "⠸", "|", "/", "-", "\\", "✳", "✶", "■⬝⬝", "⬝■⬝"};
  Screens s;
  const auto loops = s.loops(500, [&](int i) {
    return "Working " + frames.at(static_cast<std::size_t>(i) % frames.size()) + " " + std::to_string(i % 4) +
           "s\n12:00:0" + std::to_string(i % 2) + "\ntokens " + std::to_string(i % 3) + "\n[" +
           std::string(static_cast<std::size_t>(i % 2), '#') + "]\n";
  });
  EXPECT_TRUE(loops.empty());
}

TEST(ScreenRepeatsTest, ManyOfThemAtOnceAreNoneEither) {
  const std::vector<std::string> frames{"⠋ 1 |", "⠙ 2 /", "✶ 3 -", "■⬝ 4 \\"};
  Screens s;
  const auto loops = s.loops(
      100,
      [&](int i) {
        std::string text;
        for (std::size_t row = 0; row < 6; ++row) {
          text += "step " + frames.at((static_cast<std::size_t>(i) + row) % frames.size()) + " [{~@`}]\n";
        }
        return text;
      },
      Millis{30'000});
  EXPECT_TRUE(loops.empty());
}

TEST(ScreenRepeatsTest, WordsThatBlinkAreNone) {
  Screens s;
  const std::string rest = screen(1) + screen(2);
  EXPECT_TRUE(
      s.loops(500, [&](int i) { return (i % 2 == 0 ? "esc to interrupt\nworking\n" : "") + rest; }).empty())
      << "also when they move the rows below them";
}

TEST(ScreenRepeatsTest, LettersOfOtherScriptsCount) {
  Screens s;
  const std::vector<std::string> screens{"один\nдва\nтри\n", "四\n五\n六\n"};
  EXPECT_FALSE(s.loops(80, [&](int i) { return screens.at(static_cast<std::size_t>(i) % 2); }).empty());
}

TEST(ScreenRepeatsTest, OneScreenThatDiffersBeginsAnew) {
  Screens s;
  const auto loops = s.loops(
      200,
      [](int i) {
        return i % 9 == 8 ? screen(100 + static_cast<std::size_t>(i))
                          : screen(static_cast<std::size_t>(i) % 2);
      },
      Millis{10'000});
  EXPECT_TRUE(loops.empty());
}

TEST(ScreenRepeatsTest, ANewTurnBeginsAnew) {
  Screens s;
  for (int turn = 0; turn < 10; ++turn) {
    EXPECT_TRUE(
        s.loops(9, [](int i) { return screen(static_cast<std::size_t>(i) % 2); }, Millis{60'000}).empty());
    s.screens().turn_over();
  }
}

TEST(ScreenRepeatsTest, AnyBytesAreTakenAndOnlySoMany) {
  Screens s;
  s.show(std::string("\xff\xfe\xc3\n\xe2\x82\n\xf0\x9f", 8));
  s.show(std::string(10, '\0'));
  s.show("");
  const std::string filler(kMaxScreenBytes, 'x');
  EXPECT_TRUE(
      s.loops(
           100, [&](int i) { return filler + screen(static_cast<std::size_t>(i) % 2); }, Millis{60'000})
          .empty())
      << "what is beyond the limit is not looked at";
  EXPECT_TRUE(
      s.loops(
           100, [](int i) { return std::string(1000, '\n') + (i % 2 == 0 ? "\n" : " \n"); }, Millis{60'000})
          .empty());
}

}  // namespace
}  // namespace agentmesh::watchdog::test
