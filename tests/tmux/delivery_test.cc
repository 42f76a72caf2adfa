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
  std::uint64_t state = 7;
  std::vector<std::uint64_t> compared;
  std::function<std::optional<std::string>(DeliveryStep)> forbids = [](DeliveryStep) { return std::nullopt; };
  std::function<std::optional<std::string>()> draft = [] { return std::nullopt; };
  Deliverer deliverer{tmux, context.get_executor(), [this](Millis time) -> asio::awaitable<void> {
                        pauses.push_back(std::to_string(time.count()));
                        co_return;
                      }};

  DeliveryChecks checks() {
    return {.forbids = [this](DeliveryStep step) -> asio::awaitable<std::optional<Refusal>> {
              const auto why = forbids(step);
              co_return why ? std::optional(Refusal{*why}) : std::nullopt;
            },
            .draft = [this]() -> asio::awaitable<std::optional<std::string>> { co_return draft(); },
            .state = [this] { return state; },
            .changed = [this](std::uint64_t before, Millis) -> asio::awaitable<bool> {
              compared.push_back(before);
              const auto n = static_cast<std::size_t>(waits++);
              co_return n < proof.size() && proof[n];
            }};
  }
  // What was typed: calls without the looks.
  Lines typed() const {
    Lines lines;
    std::ranges::copy_if(tmux.calls, std::back_inserter(lines),
                         [](const std::string& call) { return !call.starts_with("last_key"); });
    return lines;
  }
  DeliveryManner manner;
  Result<Delivery> deliver(std::string message) {
    Result<Delivery> result;
    asio::co_spawn(context, deliverer.deliver({"neo", kPane}, std::move(message), manner, checks()),
                   [&](std::exception_ptr, Result<Delivery> value) { result = std::move(value); });
    context.restart();
    context.run();
    return result;
  }
};

TEST_F(DeliveryTest, PastesWaitsAndPressesEnter) {
  const auto result = deliver("fix it");
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->outcome, Outcome::delivered);
  EXPECT_EQ(result->enters, 1);
  EXPECT_EQ(typed(), (Lines{"paste %1 fix it", "press %1 Enter"}));
  EXPECT_EQ(pauses, Lines{"150"});
  EXPECT_EQ(compared, std::vector<std::uint64_t>{7});
}

TEST_F(DeliveryTest, AnEnterThatWasSwallowedIsPressedAgainAndThePasteIsNot) {
  proof = {false, false, true};
  const auto result = deliver("fix it");
  EXPECT_EQ(result->outcome, Outcome::delivered);
  EXPECT_EQ(result->enters, 3);
  EXPECT_EQ(typed(), (Lines{"paste %1 fix it", "press %1 Enter", "press %1 CR", "press %1 Enter"}));
  EXPECT_EQ(compared, (std::vector<std::uint64_t>{7, 7, 7}));
}

// Else "@READ" at the end opens a popup that takes Enter, and a backslash makes it a new line.
TEST_F(DeliveryTest, TheCursorLeavesTheEndBeforeThePause) {
  manner.key_after_paste = "Home";
  EXPECT_EQ(deliver("see @READ")->outcome, Outcome::delivered);
  EXPECT_EQ(typed(), (Lines{"paste %1 see @READ", "press %1 Home", "press %1 Enter"}));
  tmux.failures["press"] = {kGone};
  EXPECT_EQ(deliver("see \\")->outcome, Outcome::unknown);
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
  EXPECT_TRUE(typed().empty());
}

TEST_F(DeliveryTest, ADialogThatOpensAfterThePasteGetsNoEnter) {
  forbids = [](DeliveryStep step) -> std::optional<std::string> {
    if (step == DeliveryStep::enter) return "a permission dialog is open";
    return std::nullopt;
  };
  const auto result = deliver("yes");
  EXPECT_EQ(result->outcome, Outcome::unknown);
  EXPECT_EQ(result->enters, 0);
  EXPECT_EQ(typed(), Lines{"paste %1 yes"});
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

TEST_F(DeliveryTest, WhereMarksAreRequiredNothingIsTypedUntilTheProgramAsksForThem) {
  manner.marks = PasteMarks::required;
  const auto early = deliver("go");
  EXPECT_EQ(early->outcome, Outcome::not_delivered);
  EXPECT_TRUE(early->waits);
  EXPECT_TRUE(typed().empty());
  tmux.panes[kPane].brackets_pastes = true;
  EXPECT_EQ(deliver("go")->outcome, Outcome::delivered);
}

TEST_F(DeliveryTest, APasteWithoutAnAnswerIsNeverRepeated) {
  tmux.failures["paste"] = {kTimeout};
  const auto result = deliver("go");
  EXPECT_EQ(result->outcome, Outcome::unknown);
  EXPECT_EQ(typed(), Lines{"paste %1 go"});
}

TEST_F(DeliveryTest, APaneThatIsGoneIsNotDelivered) {
  tmux.failures["last_key"] = {kGone};
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
    asio::co_spawn(context, deliverer.deliver({"neo", kPane}, name, DeliveryManner{}, checks()), note(name));
  }
  context.run();
  EXPECT_EQ(order, (Lines{"a", "b", "c"}));
  EXPECT_EQ(typed(), (Lines{"paste %1 a", "press %1 Enter", "paste %1 b", "press %1 Enter", "paste %1 c",
                            "press %1 Enter"}));
}

TEST_F(DeliveryTest, AnAnswerToADialogWaitsForTheDeliveryUnderWay) {
  proof = {true};
  asio::co_spawn(context, deliverer.deliver({"neo", kPane}, "a", DeliveryManner{}, checks()), asio::detached);
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

// ---- a person at the terminal, and what is half typed

TEST_F(DeliveryTest, NothingIsTypedWhileAPersonTypes) {
  tmux.pressed = LastKey{.at_s = 100, .ago = Millis{2900}};
  const auto result = deliver("go");
  EXPECT_EQ(result->outcome, Outcome::not_delivered);
  EXPECT_EQ(result->reason, "somebody is typing in its terminal");
  EXPECT_TRUE(result->waits);
  EXPECT_TRUE(typed().empty());
  tmux.pressed->ago = kHandsOff;
  EXPECT_EQ(deliver("go")->outcome, Outcome::delivered);
}

TEST_F(DeliveryTest, AClockThatWasSetBackHoldsNothing) {
  tmux.pressed = LastKey{.at_s = 3700, .ago = Millis{-3'600'000}};
  EXPECT_EQ(deliver("go")->outcome, Outcome::delivered);
}

TEST_F(DeliveryTest, APersonWhoTypesAfterThePasteGetsNoEnterFromUs) {
  tmux.on_call = [this](const std::string& call) {
    if (call.starts_with("paste")) tmux.pressed = LastKey{.at_s = 100, .ago = Millis{0}};
  };
  const auto result = deliver("go");
  EXPECT_EQ(result->outcome, Outcome::unknown);
  EXPECT_EQ(result->reason, "pasted, but not submitted: somebody typed in its terminal");
  EXPECT_EQ(typed(), Lines{"paste %1 go"});
}

TEST_F(DeliveryTest, APersonWhoAttachesAfterThePasteHasNotTyped) {
  tmux.on_call = [this](const std::string& call) {
    if (call.starts_with("paste"))
      tmux.pressed = LastKey{.at_s = 100, .ago = Millis{0}, .only_attached = true};
  };
  EXPECT_EQ(deliver("go")->outcome, Outcome::delivered);
  EXPECT_EQ(deliver("go")->outcome, Outcome::not_delivered) << "but is about to";
}

TEST_F(DeliveryTest, ADraftIsNeverFusedWithAMessage) {
  draft = [] { return "remember to"; };
  const auto result = deliver("go");
  EXPECT_EQ(result->outcome, Outcome::not_delivered);
  EXPECT_EQ(result->reason, "a half-typed draft is in its composer");
  EXPECT_TRUE(result->waits);
  EXPECT_TRUE(typed().empty());
}

// Long messages become "[Pasted text #1 +20 lines]": the screen is never compared with the message.
TEST_F(DeliveryTest, WhatTheScreenShowsIsNeverProof) {
  proof = {};
  draft = [this] { return typed().empty() ? "" : "[Pasted text #1 +20 lines]"; };
  EXPECT_EQ(deliver("go")->outcome, Outcome::unknown);
  draft = [] { return ""; };
  proof = {false, false, false, true};
  EXPECT_EQ(deliver("[Pasted text #1 +20 lines]")->outcome, Outcome::delivered);
}

// Another Enter might answer a dialog that the message led to.
TEST_F(DeliveryTest, WhatHasLeftTheComposerGetsNoSecondEnter) {
  draft = [] { return ""; };
  proof = {false, false, true};
  const auto result = deliver("go");
  EXPECT_EQ(result->outcome, Outcome::delivered);
  EXPECT_EQ(result->enters, 1);
  EXPECT_EQ(typed(), (Lines{"paste %1 go", "press %1 Enter"}));
}

// Gemini looks for a file behind each "@" of a message before its state changes.
TEST_F(DeliveryTest, WhatHasLeftTheComposerIsWaitedForLonger) {
  draft = [] { return ""; };
  proof = std::vector<bool>(kMaxLooks, false);
  proof.back() = true;
  EXPECT_EQ(deliver("go")->outcome, Outcome::delivered);
  EXPECT_EQ(typed(), (Lines{"paste %1 go", "press %1 Enter"}));
  const auto never = deliver("go");
  EXPECT_EQ(never->outcome, Outcome::unknown);
  EXPECT_EQ(never->enters, 1);
}

// No key is pressed any more, so nothing forbids to wait.
TEST_F(DeliveryTest, WhatHasLeftTheComposerIsWaitedForWhateverTheScreenShows) {
  draft = [] { return ""; };
  proof = {false, true};
  int asked = 0;
  forbids = [&](DeliveryStep step) -> std::optional<std::string> {
    if (step == DeliveryStep::enter && ++asked == 2) return "a dialog";
    return std::nullopt;
  };
  EXPECT_EQ(deliver("go")->outcome, Outcome::delivered);
}

// ---- what an earlier delivery may have left in the composer

TEST_F(DeliveryTest, StrandedTextKeepsTheNextMessageOut) {
  proof = {};
  EXPECT_EQ(deliver("first")->outcome, Outcome::unknown);
  tmux.calls.clear();
  const auto second = deliver("second");
  EXPECT_EQ(second->outcome, Outcome::not_delivered);
  EXPECT_EQ(second->reason, "an earlier message may still be in its composer: submit or clear it there");
  EXPECT_TRUE(second->waits);
  EXPECT_TRUE(typed().empty());
}

TEST_F(DeliveryTest, AnotherStateMeansTheStrandedTextIsGone) {
  proof = {false, false, false, true, true};
  EXPECT_EQ(deliver("first")->outcome, Outcome::unknown);
  ++state;
  EXPECT_EQ(deliver("second")->outcome, Outcome::delivered);
  EXPECT_EQ(deliver("third")->outcome, Outcome::delivered);
}

TEST_F(DeliveryTest, AComposerSeenEmptyMeansTheStrandedTextIsGone) {
  proof = {false, false, false, true, true};
  EXPECT_EQ(deliver("first")->outcome, Outcome::unknown);
  draft = [] { return ""; };
  EXPECT_EQ(deliver("second")->outcome, Outcome::delivered);
  draft = [] { return std::nullopt; };
  EXPECT_EQ(deliver("third")->outcome, Outcome::delivered);
}

TEST_F(DeliveryTest, StrandedTextThatIsSeenStaysThoughTheStateChanged) {
  proof = {};
  EXPECT_EQ(deliver("first")->outcome, Outcome::unknown);
  ++state;
  draft = [] { return "first"; };
  EXPECT_EQ(deliver("second")->reason, "a half-typed draft is in its composer");
}

TEST_F(DeliveryTest, StrandedTextStaysWithItsAgentInANewPane) {
  proof = {};
  EXPECT_EQ(deliver("first")->outcome, Outcome::unknown);
  std::optional<Refusal> no;
  const auto ask = [&](const std::string& name) {
    asio::co_spawn(context, deliverer.hindrance({name, PaneId{2}}, checks()),
                   [&](std::exception_ptr, std::optional<Refusal> why) { no = std::move(why); });
    context.restart();
    context.run();
    return no.has_value();
  };
  EXPECT_TRUE(ask("neo"));
  EXPECT_FALSE(ask("trinity"));
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
