#include "agents/sign_fold.h"

#include <gtest/gtest.h>

namespace agentmesh::agents {
namespace {

// "busy(hook) idle(title)": what was told, with its source.
std::string shown(const std::vector<Signal>& signals) {
  std::string text;
  for (const Signal& signal : signals) {
    if (!text.empty()) text += ' ';
    text += std::string(to_string(signal.kind)) + "(" + signal.source + ")";
  }
  return text;
}

class SignFoldTest : public ::testing::Test {
 protected:
  std::string told(Rung rung, Sense sense) { return shown(fold_.told(rung, Sign{sense})); }
  std::string asked(Rung rung, std::string id) {
    return shown(fold_.told(rung, Sign{.sense = Sense::permission, .detail = "rm " + id, .id = id}));
  }
  SignFold fold_;
};

TEST_F(SignFoldTest, NothingIsKnownUntilASourceSpeaks) {
  EXPECT_FALSE(fold_.known());
  EXPECT_EQ(told(Rung::title, Sense::silent), "");
  EXPECT_FALSE(fold_.known());
  EXPECT_EQ(told(Rung::title, Sense::idle), "idle(title)");
  EXPECT_TRUE(fold_.known());
}

TEST_F(SignFoldTest, TheSameAgainIsNoNews) {
  EXPECT_EQ(told(Rung::hook, Sense::busy), "busy(hook)");
  EXPECT_EQ(told(Rung::hook, Sense::busy), "");
  EXPECT_EQ(told(Rung::title, Sense::busy), "");
}

TEST_F(SignFoldTest, AnInterruptionFiresNoHookAndTheTitleTellsIt) {
  told(Rung::title, Sense::idle);
  EXPECT_EQ(told(Rung::hook, Sense::busy), "busy(hook)");
  EXPECT_EQ(told(Rung::title, Sense::busy), "");
  EXPECT_EQ(told(Rung::title, Sense::idle), "idle(title)");
}

TEST_F(SignFoldTest, TheStatusFileDecidesWhatTheOthersSayOtherwise) {
  told(Rung::status, Sense::busy);
  EXPECT_EQ(told(Rung::hook, Sense::idle), "");
  EXPECT_EQ(told(Rung::title, Sense::idle), "");
  EXPECT_EQ(told(Rung::status, Sense::idle), "idle(status)");
}

TEST_F(SignFoldTest, ADialogOfAHookStandsUntilASourceShowsOtherwise) {
  told(Rung::title, Sense::busy);
  EXPECT_EQ(asked(Rung::hook, "7"), "permission_asked(hook)");
  EXPECT_EQ(told(Rung::title, Sense::quiet), "");
  EXPECT_EQ(told(Rung::title, Sense::busy), "permission_closed(title) busy(title)");
}

TEST_F(SignFoldTest, ADialogClosesWithTheNextHook) {
  asked(Rung::hook, "7");
  EXPECT_EQ(told(Rung::hook, Sense::busy), "permission_closed(hook) busy(hook)");
}

TEST_F(SignFoldTest, ADialogInTheTitleStandsWhateverHooksSay) {
  EXPECT_EQ(asked(Rung::title, "7"), "permission_asked(title)");
  EXPECT_EQ(told(Rung::screen, Sense::busy), "") << "a worse source";
  EXPECT_EQ(told(Rung::title, Sense::busy), "permission_closed(title) busy(title)");
}

TEST_F(SignFoldTest, AnotherPromptInTheFirstOnesPlaceIsTold) {
  asked(Rung::hook, "7");
  EXPECT_EQ(asked(Rung::hook, "8"), "permission_asked(hook)");
  EXPECT_EQ(asked(Rung::hook, "8"), "");
}

TEST_F(SignFoldTest, QuietIsIdleUnlessTheScreenKnowsBetter) {
  EXPECT_EQ(told(Rung::title, Sense::quiet), "idle(title)");
  EXPECT_TRUE(fold_.wants_screen());
  EXPECT_EQ(told(Rung::screen, Sense::question), "question_asked(screen)");
  EXPECT_EQ(told(Rung::screen, Sense::idle), "question_closed(title) idle(title)");
}

TEST_F(SignFoldTest, ALimitStandsUntilItWorksAgain) {
  told(Rung::hook, Sense::busy);
  EXPECT_EQ(told(Rung::screen, Sense::limited), "rate_limited(screen)");
  EXPECT_EQ(told(Rung::title, Sense::idle), "");
  EXPECT_EQ(told(Rung::hook, Sense::busy), "busy(hook)");
}

TEST_F(SignFoldTest, ATitleThatTellsTheTurnsBeginLateEndsNoLimit) {
  told(Rung::title, Sense::quiet);
  told(Rung::hook, Sense::busy);
  EXPECT_EQ(told(Rung::screen, Sense::limited), "rate_limited(screen)");
  EXPECT_EQ(told(Rung::title, Sense::busy), "") << "of the turn that met it";
  EXPECT_EQ(told(Rung::screen, Sense::busy), "busy(title)") << "a person went on";
}

TEST_F(SignFoldTest, ATitleThatIsBusyAgainEndsALimit) {
  told(Rung::title, Sense::quiet);
  told(Rung::screen, Sense::limited);
  EXPECT_EQ(told(Rung::title, Sense::busy), "busy(title)") << "no hook had told of a turn";
}

TEST_F(SignFoldTest, AScreenAloneTellsTheState) {
  EXPECT_EQ(told(Rung::screen, Sense::busy), "busy(screen)");
  EXPECT_EQ(told(Rung::screen, Sense::silent), "unreadable(status)");
  EXPECT_FALSE(fold_.known());
  EXPECT_EQ(told(Rung::screen, Sense::idle), "idle(screen)");
}

TEST_F(SignFoldTest, AScreenThatIsBeingDrawnClosesNoDialog) {
  told(Rung::title, Sense::unclear);
  EXPECT_EQ(told(Rung::screen, Sense::permission), "permission_asked(screen)");
  EXPECT_EQ(told(Rung::screen, Sense::silent), "");
  EXPECT_EQ(fold_.sense(), Sense::permission);
  EXPECT_EQ(told(Rung::screen, Sense::permission), "");
  told(Rung::screen, Sense::silent);
  EXPECT_EQ(told(Rung::screen, Sense::busy), "permission_closed(screen) busy(screen)");
}

TEST_F(SignFoldTest, AScreenThatIsBeingDrawnIsNoAnswerUnderATitleFromBefore) {
  for (const Sense title : {Sense::quiet, Sense::busy}) {
    SignFold fold;
    fold.told(Rung::title, {title});
    EXPECT_EQ(shown(fold.told(Rung::screen, {Sense::question})), "question_asked(screen)");
    EXPECT_EQ(shown(fold.told(Rung::screen, {Sense::silent})), "");
    EXPECT_EQ(shown(fold.told(Rung::screen, {Sense::question})), "");
    fold.told(Rung::screen, {Sense::silent});
    EXPECT_EQ(shown(fold.told(Rung::title, {Sense::unclear})), "");
    EXPECT_EQ(shown(fold.told(Rung::title, {Sense::busy})), "question_closed(title) busy(title)");
  }
}

TEST_F(SignFoldTest, ATitleThatTellsTheTurnsBeginLateClosesNoDialog) {
  told(Rung::title, Sense::quiet);
  told(Rung::hook, Sense::busy);
  EXPECT_EQ(asked(Rung::hook, "7"), "permission_asked(hook)");
  EXPECT_EQ(told(Rung::title, Sense::busy), "") << "it began before";
  EXPECT_EQ(told(Rung::title, Sense::unclear), "");
  EXPECT_EQ(told(Rung::title, Sense::busy), "permission_closed(title) busy(title)") << "a person answered";
}

TEST_F(SignFoldTest, LostIsToldOnce) {
  told(Rung::hook, Sense::busy);
  EXPECT_EQ(shown(fold_.lost("gone")), "unreadable(status)");
  EXPECT_EQ(shown(fold_.lost("gone")), "");
  EXPECT_EQ(told(Rung::title, Sense::idle), "idle(title)");
}

TEST_F(SignFoldTest, AScreenFromBeforeTheTurnsEndDoesNotMakeItWorkAgain) {
  told(Rung::hook, Sense::busy);
  told(Rung::title, Sense::busy);
  told(Rung::screen, Sense::busy);
  EXPECT_EQ(told(Rung::hook, Sense::idle), "idle(hook)");
  EXPECT_EQ(told(Rung::title, Sense::quiet), "");
  EXPECT_EQ(told(Rung::screen, Sense::busy), "busy(screen)");
}

TEST_F(SignFoldTest, AScreenThatIsIdleAgainEndsADialogThatItNeverShowed) {
  told(Rung::title, Sense::quiet);
  told(Rung::screen, Sense::idle);
  told(Rung::title, Sense::busy);
  EXPECT_EQ(asked(Rung::hook, "7"), "permission_asked(hook)");
  EXPECT_EQ(told(Rung::screen, Sense::busy), "");  // it is not drawn yet
  EXPECT_EQ(told(Rung::title, Sense::quiet), "");
  EXPECT_EQ(told(Rung::screen, Sense::idle), "permission_closed(title) idle(title)");
}

TEST_F(SignFoldTest, WhatIsUnclearIsUnknownUnlessTheScreenTells) {
  told(Rung::title, Sense::busy);
  EXPECT_EQ(told(Rung::title, Sense::unclear), "unreadable(status)");
  EXPECT_TRUE(fold_.wants_screen());
  EXPECT_EQ(told(Rung::screen, Sense::permission), "permission_asked(screen)");
}

}  // namespace
}  // namespace agentmesh::agents
