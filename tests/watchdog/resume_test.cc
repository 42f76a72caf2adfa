// A conversation that kills whoever resumes it must not end the agent while a fresh one would work.
#include "tests/watchdog/drive.h"

#include <gtest/gtest.h>

namespace agentmesh::watchdog::test {
namespace {

// Ready once, then crashed: the next run resumes.
Drive crashed_once() {
  Drive d;
  d.policy.max_restarts = 10;
  d.to_up();
  d.die(1);
  d.bury();
  return d;
}

// From backoff to the next run, which dies without having shown a state.
void next_run(Drive& d) {
  d.pass(*d.agent.next_restart_at - d.now());
  d.feed(Admitted{});
}
void die_at_once(Drive& d) {
  next_run(d);
  d.done(Effect::create);
  d.done(Effect::start);
  d.pass(5s);
  d.die(1);
  d.bury();
}

const Emit* told(const Drive& d, EventName name) {
  for (const auto& action : d.actions) {
    const auto* emit = std::get_if<Emit>(&action);
    if (emit != nullptr && emit->name == name) return emit;
  }
  return nullptr;
}

TEST(ResumeTest, AfterTwoThatDiedAtOnceTheNextIsFreshAndSaysSo) {
  Drive d = crashed_once();
  next_run(d);
  EXPECT_EQ(d.did<Create>()->conversation, Conversation::resume);
  EXPECT_FALSE(told(d, EventName::fresh));
  d.done(Effect::create);
  d.done(Effect::start);
  d.die(1);
  d.bury();
  EXPECT_EQ(d.agent.resume_deaths, 1);
  next_run(d);
  EXPECT_EQ(d.did<Create>()->conversation, Conversation::resume) << "once may be chance";
  d.done(Effect::create);
  d.done(Effect::start);
  d.die(1);
  d.bury();
  next_run(d);
  EXPECT_EQ(d.did<Create>()->conversation, Conversation::fresh);
  ASSERT_TRUE(told(d, EventName::fresh));
  EXPECT_EQ(told(d, EventName::fresh)->reason, "resuming the conversation failed 2 times in a row");
  EXPECT_EQ(d.names(), "persist emit create ") << "told before it is done";
}

TEST(ResumeTest, TheFreshOneIsResumedOnceItWasReady) {
  Drive d = crashed_once();
  die_at_once(d);
  die_at_once(d);
  next_run(d);
  d.done(Effect::create);
  d.done(Effect::start);
  d.signal(SignalKind::busy);
  d.die(1);
  d.bury();
  next_run(d);
  EXPECT_EQ(d.did<Create>()->conversation, Conversation::resume);
  EXPECT_EQ(d.agent.resume_deaths, 0);
}

TEST(ResumeTest, AFreshOneThatNeverWasReadyIsFollowedByAFreshOne) {
  Drive d = crashed_once();
  die_at_once(d);
  die_at_once(d);
  die_at_once(d);
  next_run(d);
  EXPECT_EQ(d.did<Create>()->conversation, Conversation::fresh);
  EXPECT_FALSE(told(d, EventName::fresh)) << "told once";
}

TEST(ResumeTest, OneThatWasReadyOrLivedLongerDoesNotCount) {
  Drive ready = crashed_once();
  die_at_once(ready);
  next_run(ready);
  ready.done(Effect::create);
  ready.done(Effect::start);
  ready.signal(SignalKind::idle);
  EXPECT_EQ(ready.agent.resume_deaths, 0) << "in a row";
  ready.die(1);
  ready.bury();
  EXPECT_EQ(ready.agent.resume_deaths, 0);

  Drive longer = crashed_once();
  die_at_once(longer);
  next_run(longer);
  longer.done(Effect::create);
  longer.done(Effect::start);
  longer.pass(longer.policy.broken_within);
  longer.die(1);
  EXPECT_EQ(longer.agent.resume_deaths, 1);
}

TEST(ResumeTest, WhatIsNotTheConversationsFaultDoesNotCount) {
  const auto resumed = [] {
    Drive d = crashed_once();
    next_run(d);
    d.done(Effect::create);
    d.done(Effect::start);
    return d;
  };
  Drive limited = resumed();
  limited.feed(Signal{.kind = SignalKind::unreadable, .run = limited.agent.run});
  limited.agent.limited_until = limited.now() + 1h;
  limited.die(1);
  EXPECT_EQ(limited.agent.resume_deaths, 0);

  Drive stopped = resumed();
  stopped.stop();
  stopped.die(143);
  EXPECT_EQ(stopped.agent.resume_deaths, 0);

  Drive unseen = resumed();
  unseen.feed(DaemonStarted{});
  unseen.observe({unseen.own(ContainerState::exited, 1)});
  EXPECT_EQ(unseen.agent.resume_deaths, 0);

  Drive excused = resumed();
  excused.die(137);
  EXPECT_EQ(excused.agent.resume_deaths, 1);
  excused.feed(MassDeath{excused.now() - 5s});
  EXPECT_EQ(excused.agent.resume_deaths, 0);
}

TEST(ResumeTest, APersonsStartBeginsTheCountAnew) {
  Drive d = crashed_once();
  die_at_once(d);
  die_at_once(d);
  d.start();
  d.feed(Admitted{});
  EXPECT_EQ(d.did<Create>()->conversation, Conversation::resume);
}

TEST(ResumeTest, TheFreshOneIsTriedAlsoWhenTheBudgetIsSpent) {
  for (const int limit : {1, 2, 3}) {
    Drive d = crashed_once();
    d.policy.max_restarts = limit;
    d.agent.restarts.assign(static_cast<std::size_t>(limit), d.now());
    die_at_once(d);
    EXPECT_EQ(d.phase(), Phase::backoff) << limit;
    EXPECT_EQ(d.count<Alert>(), 0);
    next_run(d);
    EXPECT_EQ(d.did<Create>()->conversation, Conversation::fresh);
    d.done(Effect::create);
    d.done(Effect::start);
    d.die(1);
    d.bury();
    EXPECT_EQ(d.status(), Status::failed) << "once";
    EXPECT_EQ(d.count<Alert>(), 1);
  }
}

TEST(ResumeTest, WithoutAnyRestartAllowedThereIsNoFreshOneEither) {
  Drive d = crashed_once();
  d.policy.max_restarts = 0;
  die_at_once(d);
  EXPECT_EQ(d.status(), Status::failed);
}

TEST(ResumeTest, ADeathBeforeTheAnswerToTheStartIsEarlyToo) {
  Drive d = crashed_once();
  d.pass(3h);
  next_run(d);
  d.done(Effect::create);
  d.die(127);
  EXPECT_EQ(d.agent.exit.reason, ExitReason::command_not_found) << "not measured from the run before";
}

}  // namespace
}  // namespace agentmesh::watchdog::test
