#include "tmux/delivery.h"

#include "tests/fakes/fake_tmux.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <gtest/gtest.h>

namespace agentmesh::tmux {
namespace {

namespace asio = boost::asio;
using Lines = std::vector<std::string>;

constexpr PaneId kPane{1};
const Error kTimeout{ErrorCode::timeout, "tmux", "no answer", ""};
const Error kGone{ErrorCode::not_found, "tmux", "can't find pane: %1", ""};

// A world where time passes at once; `proof` says whether the n-th wait for a change sees one.
struct DeliveryTest : testing::Test {
  asio::io_context context;
  FakeTmux tmux;
  Lines pauses;
  std::vector<bool> proof = {true};
  int waits = 0;
  int marks = 0;
  std::function<std::optional<std::string>(DeliveryStep)> forbids = [](DeliveryStep) { return std::nullopt; };
  Deliverer deliverer{tmux, context.get_executor(), [this](Millis time) -> asio::awaitable<void> {
                        pauses.push_back(std::to_string(time.count()));
                        co_return;
                      }};

  DeliveryChecks checks() {
    return {.forbids = [this](DeliveryStep step) -> asio::awaitable<std::optional<std::string>> {
              co_return forbids(step);
            },
            .mark = [this] { ++marks; },
            .changed = [this](Millis) -> asio::awaitable<bool> {
              const auto n = static_cast<std::size_t>(waits++);
              co_return n < proof.size() && proof[n];
            }};
  }
  Result<Delivery> deliver(std::string message) {
    Result<Delivery> result;
    asio::co_spawn(context, deliverer.deliver(kPane, std::move(message), DeliveryTiming{}, checks()),
                   [&](std::exception_ptr, Result<Delivery> value) { result = std::move(value); });
    context.restart();
    context.run();
    return result;
  }
};

TEST_F(DeliveryTest, LeavesTheModePastesWaitsAndPressesEnter) {
  const auto result = deliver("fix it");
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->outcome, Outcome::delivered);
  EXPECT_EQ(result->enters, 1);
  EXPECT_EQ(tmux.calls, (Lines{"leave_mode %1", "paste %1 fix it", "leave_mode %1", "press %1 Enter"}));
  EXPECT_EQ(pauses, Lines{"150"});
  EXPECT_EQ(marks, 1);
}

TEST_F(DeliveryTest, AnEnterThatWasSwallowedIsPressedAgainAndThePasteIsNot) {
  proof = {false, false, true};
  const auto result = deliver("fix it");
  EXPECT_EQ(result->outcome, Outcome::delivered);
  EXPECT_EQ(result->enters, 3);
  EXPECT_EQ(tmux.calls, (Lines{"leave_mode %1", "paste %1 fix it", "leave_mode %1", "press %1 Enter",
                               "leave_mode %1", "press %1 CR", "leave_mode %1", "press %1 Enter"}));
  EXPECT_EQ(marks, 1);
}

TEST_F(DeliveryTest, WithoutProofItIsUnknownAfterThreeEnters) {
  proof = {};
  const auto result = deliver("fix it");
  EXPECT_EQ(result->outcome, Outcome::unknown);
  EXPECT_EQ(result->enters, 3);
  EXPECT_FALSE(result->reason.empty());
}

TEST_F(DeliveryTest, NothingIsTypedWhenTypingIsForbidden) {
  forbids = [](DeliveryStep) { return "a permission dialog is open"; };
  const auto result = deliver("yes");
  EXPECT_EQ(result->outcome, Outcome::not_delivered);
  EXPECT_EQ(result->reason, "a permission dialog is open");
  EXPECT_TRUE(tmux.calls.empty());
}

TEST_F(DeliveryTest, ADialogThatOpensAfterThePasteGetsNoEnter) {
  forbids = [](DeliveryStep step) -> std::optional<std::string> {
    if (step == DeliveryStep::enter) return "a permission dialog is open";
    return std::nullopt;
  };
  const auto result = deliver("yes");
  EXPECT_EQ(result->outcome, Outcome::unknown);
  EXPECT_EQ(result->enters, 0);
  EXPECT_EQ(tmux.calls, (Lines{"leave_mode %1", "paste %1 yes"}));
}

TEST_F(DeliveryTest, ALateChangeIsProofWhenTheNextEnterIsForbidden) {
  proof = {false, true};
  int asked = 0;
  forbids = [&](DeliveryStep step) -> std::optional<std::string> {
    if (step == DeliveryStep::enter && ++asked == 2) return "busy";
    return std::nullopt;
  };
  const auto result = deliver("go");
  EXPECT_EQ(result->outcome, Outcome::delivered);
  EXPECT_EQ(result->enters, 1);
}

TEST_F(DeliveryTest, APasteWithoutAnAnswerIsNeverRepeated) {
  tmux.failures["paste"] = {kTimeout};
  const auto result = deliver("go");
  EXPECT_EQ(result->outcome, Outcome::unknown);
  EXPECT_EQ(tmux.calls, (Lines{"leave_mode %1", "paste %1 go"}));
}

TEST_F(DeliveryTest, APaneThatIsGoneIsNotDelivered) {
  tmux.failures["leave_mode"] = {kGone};
  EXPECT_EQ(deliver("go")->outcome, Outcome::not_delivered);
  tmux.failures["paste"] = {kGone};
  EXPECT_EQ(deliver("go")->outcome, Outcome::not_delivered);
}

TEST_F(DeliveryTest, APaneThatGoesAfterThePasteIsUnknown) {
  tmux.failures["press"] = {kGone};
  EXPECT_EQ(deliver("go")->outcome, Outcome::unknown);
}

TEST_F(DeliveryTest, DeliveriesToOnePaneDoNotMix) {
  Lines order;
  const auto note = [&](std::string name) {
    return [&order, name](std::exception_ptr, const Result<Delivery>&) { order.push_back(name); };
  };
  proof = {true, true, true};
  for (const std::string name : {"a", "b", "c"}) {
    asio::co_spawn(context, deliverer.deliver(kPane, name, DeliveryTiming{}, checks()), note(name));
  }
  context.run();
  EXPECT_EQ(order, (Lines{"a", "b", "c"}));
  ASSERT_EQ(tmux.calls.size(), 12U);
  for (std::size_t i = 0; i < 12; i += 4) {
    EXPECT_EQ(tmux.calls[i + 1], "paste %1 " + order[i / 4]);
    EXPECT_EQ(tmux.calls[i + 3], "press %1 Enter");
  }
}

TEST_F(DeliveryTest, AnAnswerToADialogWaitsForTheDeliveryUnderWay) {
  proof = {true};
  asio::co_spawn(context, deliverer.deliver(kPane, "a", DeliveryTiming{}, checks()), asio::detached);
  const auto allowed = []() -> asio::awaitable<std::optional<std::string>> { co_return std::nullopt; };
  asio::co_spawn(context, deliverer.press(kPane, {"1"}, allowed), asio::detached);
  context.run();
  EXPECT_EQ(tmux.calls.back(), "press %1 1");
}

TEST_F(DeliveryTest, NoKeyIsPressedWhereItIsForbidden) {
  const auto forbidden = []() -> asio::awaitable<std::optional<std::string>> {
    co_return "the prompt is gone";
  };
  std::optional<Error> error;
  asio::co_spawn(context, deliverer.press(kPane, {"1"}, forbidden), [&](std::exception_ptr, Result<> done) {
    if (!done) error = done.error();
  });
  context.run();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::conflict);
  EXPECT_TRUE(tmux.calls.empty());
}

TEST(CleanMessage, KeepsTextNewlinesTabsAndUnicode) {
  const std::string text = "a\n\tb; né 🙂 @x /y $HOME ~ #{z} \\ '\"`";
  EXPECT_EQ(clean_message(text), text);
}

TEST(CleanMessage, NoEscapeSequenceLeavesThePaste) {
  EXPECT_EQ(clean_message("a\x1b[201~\rrm -rf\x7f\x03 x"), "a[201~rm -rf x");
  EXPECT_EQ(clean_message("a\xc2\x9b"
                          "201~b"),
            "a201~b");
  EXPECT_EQ(clean_message(std::string_view("a\0b", 3)), "ab");
}

TEST(CleanMessage, CarriageReturnsOfLineEndsGo) { EXPECT_EQ(clean_message("a\r\nb\r\n"), "a\nb\n"); }
TEST(CleanMessage, C1LooksLikeNoOtherCharacter) { EXPECT_EQ(clean_message("\xc2\xa0x é"), "\xc2\xa0x é"); }

TEST(CleanMessage, TheLimitIsAfterCleaning) {
  EXPECT_TRUE(clean_message(std::string(kMaxPasteBytes, 'x')).has_value());
  EXPECT_EQ(clean_message(std::string(kMaxPasteBytes + 1, 'x')).error().code, ErrorCode::exhausted);
  EXPECT_TRUE(clean_message(std::string(kMaxPasteBytes, 'x') + "\x1b").has_value());
}

TEST(CleanMessage, WhatIsNotTextIsRefused) {
  for (const char* text : {"", " \n\t", "\x1b", "\xff", "\x80", "a\xc3"}) {
    EXPECT_EQ(clean_message(text).error().code, ErrorCode::invalid) << text;
  }
}

}  // namespace
}  // namespace agentmesh::tmux
