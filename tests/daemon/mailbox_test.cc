#include "base/files.h"
#include "base/json.h"
#include "tests/daemon/mesh_fixture.h"

#include <stdexcept>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::daemon::test {

std::string Mesh::document(const std::string& id, const std::string& agent) {
  return dump_json(hub::to_json(hub::InboxItem{
      .id = id, .to = agent, .agent_id = "agt_" + agent, .title = "title of " + id, .ttl_s = 60}));
}

namespace {

using agents::Delivery;
using agents::DeliveryResult;
using watchdog::SignalKind;

constexpr Millis kLong{600'000};

class MailboxTest : public testing::Test {
 protected:
  AgentName name(const char* text) { return *AgentName::parse(text); }
  std::function<Delivery(const agents::Message&)> answers(DeliveryResult result, std::string why) {
    return [result, why = std::move(why)](const agents::Message&) { return Delivery{result, why}; };
  }
  // An assignment is typed into the agent's pane.
  void deliver_by_pane(const std::string& agent, const std::string& item) {
    open_pane(agent);
    ASSERT_TRUE(mesh_.mailbox->accept(hub::InboxItem{.id = item, .agent_id = "agt_" + agent, .title = "t"}));
    ASSERT_TRUE(mesh_.until([&] { return mesh_.progress(item) == "delivered"; }));
  }
  // Its agent becomes busy by Enter.
  tmux::Pane& open_pane(const std::string& agent) {
    tmux::Pane& pane = mesh_.tmux.panes[tmux::PaneId{1}];
    pane = {.session = "agentmesh-" + agent, .id = tmux::PaneId{1}, .pid = 1};
    mesh_.panes.seen(pane);
    mesh_.tmux.on_call = [this, agent](const std::string& call) {
      if (call.ends_with(" Enter")) mesh_.tell(agent, SignalKind::busy);
    };
    return pane;
  }
  Mesh mesh_;
};

// ---- stopping

TEST_F(MailboxTest, StoppingEndsADeferredMessage) {
  mesh_.agent("a", "custom", RunId{1});
  mesh_.load();
  mesh_.tell("a", SignalKind::busy);
  ASSERT_TRUE(mesh_.mailbox->defer(name("a"), "later"));
  mesh_.settle();
  mesh_.supervisor->stop();
  mesh_.settle();
  EXPECT_TRUE(mesh_.told("a", "undelivered"));
}

TEST_F(MailboxTest, StoppingEndsAWaitingMessage) {
  mesh_.agent("a", "custom", RunId{1});
  mesh_.load();
  mesh_.tell("a", SignalKind::busy);
  boost::asio::post(mesh_.io, [this] { mesh_.supervisor->stop(); });
  const Sent sent = agentmesh::test::complete(mesh_.io, mesh_.mailbox->send(name("a"), "now", kLong), kLimit);
  EXPECT_EQ(sent.result, DeliveryResult::blocked);
}

TEST_F(MailboxTest, NothingIsSentByADaemonThatEnds) {
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.item("itm_1", "a", Progress::accepted, RunId{});
  mesh_.load();
  mesh_.supervisor->stop();
  mesh_.mailbox->pump(name("a"));
  mesh_.settle();
  EXPECT_TRUE(mesh_.lines["a"].messages.empty());
  EXPECT_EQ(mesh_.progress("itm_1"), "accepted");
}

// ---- deferred

TEST_F(MailboxTest, DeferredMessagesGoOneAfterTheOther) {
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.load();
  mesh_.tell("a", SignalKind::permission_asked);
  Line& line = mesh_.lines["a"];
  std::vector<std::size_t> begun;  // when each was answered
  line.answer = [&](const agents::Message&) {
    begun.push_back(line.messages.size());
    return Delivery{begun.size() == 2 ? DeliveryResult::unknown : DeliveryResult::delivered, ""};
  };
  for (const char* text : {"n1", "n2", "n3", "n4"}) ASSERT_TRUE(mesh_.mailbox->defer(name("a"), text));
  mesh_.settle();
  EXPECT_TRUE(line.messages.empty());
  mesh_.tell("a", SignalKind::permission_closed);
  ASSERT_TRUE(mesh_.until([&] { return begun.size() == 4; }));
  EXPECT_EQ(begun, (std::vector<std::size_t>{1, 2, 3, 4}));
  EXPECT_EQ(line.messages[0].text, "n1");
  EXPECT_EQ(line.messages[3].text, "n4") << "one that came to nothing holds nothing up";
}

TEST_F(MailboxTest, SoManyMayBeDeferred) {
  mesh_.config.delivery.queue_depth = 2;
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.load();
  for (int round = 0; round < 2; ++round) {
    mesh_.tell("a", SignalKind::permission_asked);
    EXPECT_TRUE(mesh_.mailbox->defer(name("a"), "1"));
    EXPECT_TRUE(mesh_.mailbox->defer(name("a"), "2"));
    const auto third = mesh_.mailbox->defer(name("a"), "3");
    ASSERT_FALSE(third);
    EXPECT_EQ(third.error().code, ErrorCode::exhausted);
    mesh_.tell("a", SignalKind::permission_closed);
    mesh_.settle();
  }
  EXPECT_EQ(mesh_.lines["a"].messages.size(), 4U);
}

// ---- a program that has just come up

class PasteTest : public MailboxTest {
 protected:
  PasteTest() {
    mesh_.agent("a", "gemini", RunId{1});
    mesh_.load();
    pane_ = &open_pane("a");
    const auto screens =
        std::filesystem::read_symlink("/proc/self/exe").parent_path() / "../../../tests/agents/screens";
    mesh_.tmux.screens[pane_->id] = read_file(screens / "gemini/idle.txt", 64 * 1024).value();
  }
  void asks_for_brackets() {
    pane_->brackets_pastes = true;
    mesh_.supervisor->on_tmux_event(tmux::PaneChanged{*pane_});
  }
  tmux::Pane* pane_ = nullptr;
};

TEST_F(PasteTest, AMessageWaitsUntilTheProgramAsksForBrackets) {
  std::optional<Sent> sent;
  boost::asio::co_spawn(mesh_.io, mesh_.mailbox->send(name("a"), "now", kLong),
                        [&](const std::exception_ptr&, Sent done) { sent = done; });
  mesh_.settle();
  EXPECT_FALSE(sent);
  EXPECT_FALSE(mesh_.asked_tmux("paste"));
  asks_for_brackets();
  ASSERT_TRUE(mesh_.until([&] { return sent.has_value(); }));
  EXPECT_EQ(sent->result, DeliveryResult::delivered) << sent->why;
  EXPECT_TRUE(mesh_.asked_tmux("paste"));
}

TEST_F(PasteTest, AfterTheWaitItSaysWhyItWasNotDelivered) {
  const Sent sent =
      agentmesh::test::complete(mesh_.io, mesh_.mailbox->send(name("a"), "now", Millis{0}), kLimit);
  EXPECT_EQ(sent.result, DeliveryResult::blocked);
  EXPECT_TRUE(sent.why.contains("bracketed pastes")) << sent.why;
}

TEST_F(PasteTest, AnAssignmentIsNotBegunBefore) {
  ASSERT_TRUE(mesh_.mailbox->accept(hub::InboxItem{.id = "itm_1", .agent_id = "agt_a", .title = "t"}));
  mesh_.settle();
  EXPECT_EQ(mesh_.progress("itm_1"), "accepted");
  EXPECT_FALSE(mesh_.asked_tmux("last_key")) << "nothing is tried";
  asks_for_brackets();
  EXPECT_TRUE(mesh_.until([&] { return mesh_.progress("itm_1") == "delivered"; }));
}

// What tmux tells comes late: it looks itself when it pastes.
TEST_F(PasteTest, AProgramThatAsksForThemNoMoreGetsNothing) {
  asks_for_brackets();
  pane_->brackets_pastes = false;
  const Sent sent =
      agentmesh::test::complete(mesh_.io, mesh_.mailbox->send(name("a"), "now", Millis{0}), kLimit);
  EXPECT_EQ(sent.result, DeliveryResult::blocked);
  EXPECT_TRUE(sent.waits);
  EXPECT_FALSE(mesh_.asked_tmux("paste"));
}

TEST_F(MailboxTest, ACustomProgramIsTypedIntoWithoutMarks) {
  mesh_.agent("a", "custom", RunId{1});
  mesh_.load();
  deliver_by_pane("a", "itm_1");
  EXPECT_TRUE(mesh_.asked_tmux("paste"));
}

// ---- the end of a turn

TEST_F(MailboxTest, AnAssignmentIsDoneWhenItsTurnEnded) {
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.item("itm_1", "a", Progress::accepted, RunId{});
  mesh_.load();
  ASSERT_TRUE(mesh_.until([&] { return mesh_.progress("itm_1") == "delivered"; }));
  EXPECT_TRUE(mesh_.entry("a").agent.work_open);
  mesh_.tell("a", SignalKind::busy);
  mesh_.turn_ended("a");
  mesh_.settle();
  EXPECT_EQ(mesh_.progress("itm_1"), "done: the agent's turn ended");
  EXPECT_FALSE(mesh_.entry("a").agent.work_open);
}

TEST_F(MailboxTest, AShortTurnMayBeOverBeforeItsMessageIsProved) {
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.item("itm_1", "a", Progress::accepted, RunId{});
  mesh_.lines["a"].answer = [this](const agents::Message&) {
    mesh_.tell("a", SignalKind::busy);
    mesh_.turn_ended("a");
    return Delivery{DeliveryResult::delivered, ""};
  };
  mesh_.load();
  EXPECT_TRUE(mesh_.until([&] { return mesh_.progress("itm_1").starts_with("done"); }))
      << mesh_.progress("itm_1");
}

TEST_F(MailboxTest, AnEarlierTurnsEndIsNotThatOfAMessageUnderWay) {
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.item("itm_1", "a", Progress::accepted, RunId{});
  mesh_.lines["a"].answer = [this](const agents::Message&) {
    mesh_.turn_ended("a");
    mesh_.tell("a", SignalKind::busy);
    return Delivery{DeliveryResult::delivered, ""};
  };
  mesh_.load();
  ASSERT_TRUE(mesh_.until([&] { return mesh_.progress("itm_1") == "delivered"; }));
  mesh_.turn_ended("a");
  EXPECT_TRUE(mesh_.progress("itm_1").starts_with("done"));
}

TEST_F(MailboxTest, IdleIsNotDone) {
  for (const char* runner : {"claude", "gemini", "codex", "opencode"}) {
    mesh_.agent(runner, runner, RunId{1});
    mesh_.item(std::string("itm_") + runner, runner, Progress::delivered, RunId{1});
  }
  mesh_.load();
  for (const char* runner : {"claude", "gemini", "codex", "opencode"}) {
    mesh_.tell(runner, SignalKind::busy);
    mesh_.tell(runner, SignalKind::idle);
    mesh_.settle();
    EXPECT_EQ(mesh_.progress(std::string("itm_") + runner), "delivered") << runner;
  }
}

TEST_F(MailboxTest, ACustomProgramThatTellsNoTurnIsDoneWhenItIsIdle) {
  mesh_.agent("a", "custom", RunId{1});
  mesh_.item("itm_1", "a", Progress::delivered, RunId{1});
  mesh_.load();
  mesh_.settle();
  EXPECT_TRUE(mesh_.progress("itm_1").starts_with("done"));
}

TEST_F(MailboxTest, ACustomProgramThatTellsItsTurnsIsNotDoneWhenItWasInterrupted) {
  mesh_.agent("a", "custom", RunId{1});
  mesh_.load();
  mesh_.turn_ended("a");
  deliver_by_pane("a", "itm_1");
  mesh_.tell("a", SignalKind::idle);
  mesh_.settle();
  EXPECT_EQ(mesh_.progress("itm_1"), "delivered");
  mesh_.turn_ended("a");
  EXPECT_TRUE(mesh_.progress("itm_1").starts_with("done"));
}

TEST_F(MailboxTest, ATurnOfOneRunSaysNothingOfWhatAnotherWasTold) {
  mesh_.agent("a", "opencode", RunId{2});
  mesh_.item("itm_1", "a", Progress::delivered, RunId{1});
  mesh_.lines["a"].answer = answers(DeliveryResult::blocked, "a question is open");
  mesh_.load();
  mesh_.turn_ended("a");
  mesh_.settle();
  EXPECT_EQ(mesh_.progress("itm_1"), "delivered");
}

TEST_F(MailboxTest, TheTurnOfAPartWhileSomebodyIsAskedSettlesNothing) {
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.item("itm_1", "a", Progress::delivered, RunId{1});
  mesh_.load();
  mesh_.tell("a", SignalKind::busy);
  mesh_.tell("a", SignalKind::permission_asked);
  mesh_.turn_ended("a");
  EXPECT_EQ(mesh_.progress("itm_1"), "delivered");
}

// ---- the end of a turn that nobody heard

TEST_F(MailboxTest, ATurnThatEndedAfterTheDeliveryIsItsEndThoughNobodyHeardIt) {
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.item("itm_1", "a", Progress::delivered, RunId{1});
  mesh_.load();
  mesh_.clock.advance(Millis{60'000});
  mesh_.turn_ended("a", mesh_.clock.now() - Millis{30'000});
  mesh_.settle();
  EXPECT_EQ(mesh_.progress("itm_1"), "done: the agent's turn ended");
  EXPECT_FALSE(mesh_.entry("a").agent.work_open);
}

TEST_F(MailboxTest, ATurnThatEndedBeforeTheDeliveryIsAnother) {
  mesh_.agent("a", "codex", RunId{1});
  mesh_.item("itm_1", "a", Progress::delivered, RunId{1});
  const WallTime told = mesh_.clock.now();
  mesh_.load();
  mesh_.clock.advance(Millis{60'000});
  for (const WallTime at : {told - Millis{1}, told}) {
    mesh_.turn_ended("a", at);
    mesh_.turn_failed("a", "API Error: 500", at);
  }
  mesh_.settle();
  EXPECT_EQ(mesh_.progress("itm_1"), "delivered");
  EXPECT_FALSE(mesh_.told("a", "turn_failed"));
  EXPECT_TRUE(mesh_.lines["a"].messages.empty());
}

TEST_F(MailboxTest, AnOldTurnIsNotThatOfAMessageUnderWayNorOfOneThatArrived) {
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.item("itm_1", "a", Progress::accepted, RunId{});
  const WallTime old = mesh_.clock.now();
  mesh_.clock.advance(Millis{60'000});
  mesh_.lines["a"].answer = [&](const agents::Message&) {
    mesh_.turn_ended("a", old);
    return Delivery{DeliveryResult::delivered, ""};
  };
  mesh_.load();
  ASSERT_TRUE(mesh_.until([&] { return mesh_.progress("itm_1") == "delivered"; }));
  mesh_.turn_ended("a", old);
  mesh_.settle();
  EXPECT_EQ(mesh_.progress("itm_1"), "delivered");
  mesh_.clock.advance(Millis{1'000});
  mesh_.turn_ended("a", mesh_.clock.now());
  EXPECT_TRUE(mesh_.progress("itm_1").starts_with("done"));
}

TEST_F(MailboxTest, WhenItWasToldIsInTheJournal) {
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.item("itm_1", "a", Progress::accepted, RunId{});
  mesh_.clock.advance(Millis{60'000});
  mesh_.load();
  ASSERT_TRUE(mesh_.until([&] { return mesh_.progress("itm_1") == "delivered"; }));
  EXPECT_EQ(mesh_.journal->open_items()->front().told_at, mesh_.clock.now());
}

TEST_F(MailboxTest, WhatIsSentAgainAfterTheDaemonEndedWasToldThen) {
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.item("itm_1", "a", Progress::sending, RunId{1});
  const WallTime then = mesh_.clock.now();
  ASSERT_TRUE(mesh_.journal->set_run("itm_1", 1, RunId{1}, then));
  mesh_.clock.advance(Millis{60'000});
  mesh_.load();
  ASSERT_TRUE(mesh_.until([&] { return mesh_.progress("itm_1") == "delivered"; }));
  EXPECT_EQ(mesh_.journal->open_items()->front().told_at, then);
  mesh_.turn_ended("a", then + Millis{5'000});  // its turn ended while no daemon ran
  EXPECT_TRUE(mesh_.progress("itm_1").starts_with("done"));
}

TEST_F(MailboxTest, WhatWasToldAtATimeThatIsNotKnownIsNotEndedByATurnThatNobodyHeard) {
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.item("itm_1", "a", Progress::delivered, RunId{1});
  ASSERT_TRUE(mesh_.journal->set_run("itm_1", 1, RunId{1}, WallTime{}));
  mesh_.load();
  mesh_.turn_ended("a", mesh_.clock.now());
  mesh_.settle();
  EXPECT_EQ(mesh_.progress("itm_1"), "delivered");
}

TEST_F(MailboxTest, AFailedTurnThatNobodyHeardIsTriedOnceMoreAndCountsOnce) {
  mesh_.config.watchdog.turn_retry = Millis{1};
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.item("itm_1", "a", Progress::delivered, RunId{1});
  mesh_.load();
  mesh_.clock.advance(Millis{60'000});
  const WallTime at = mesh_.clock.now() - Millis{30'000};
  for (int i = 0; i < 3; ++i) mesh_.turn_failed("a", "API Error: 500", at);  // each time the line is new
  ASSERT_TRUE(mesh_.until([&] { return mesh_.lines["a"].messages.size() == 1; }));
  mesh_.settle();
  EXPECT_EQ(mesh_.progress("itm_1"), "delivered");
  EXPECT_TRUE(mesh_.told("a", "turn_failed"));
  mesh_.tell("a", SignalKind::busy);
  mesh_.turn_failed("a", "API Error: 503");
  EXPECT_EQ(mesh_.progress("itm_1"), "failed: the agent's turn failed: API Error: 503");
}

TEST_F(MailboxTest, AFailedTurnThatWasHeardIsNotCountedAgainWhenTheLineIsNew) {
  mesh_.config.watchdog.turn_retry = kLong;
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.item("itm_1", "a", Progress::delivered, RunId{1});
  mesh_.load();
  mesh_.clock.advance(Millis{60'000});
  mesh_.turn_failed("a", "API Error: 500");
  mesh_.turn_failed("a", "API Error: 500", mesh_.clock.now() - Millis{5});
  mesh_.settle();
  EXPECT_EQ(mesh_.progress("itm_1"), "delivered");
}

// ---- told again

TEST_F(MailboxTest, WhatIsToldAgainIsDoneByTheNewRunsTurn) {
  mesh_.agent("a", "opencode", RunId{2});
  mesh_.item("itm_1", "a", Progress::delivered, RunId{1});
  mesh_.load();
  ASSERT_TRUE(mesh_.until([&] { return mesh_.lines["a"].messages.size() == 1; }));
  EXPECT_TRUE(mesh_.lines["a"].messages[0].text.starts_with("You were restarted."));
  mesh_.settle();
  mesh_.tell("a", SignalKind::busy);
  mesh_.turn_ended("a");
  EXPECT_TRUE(mesh_.progress("itm_1").starts_with("done"));
  EXPECT_EQ(mesh_.lines["a"].messages.size(), 1U);
}

TEST_F(MailboxTest, WhatCouldNotBeToldAgainIsFailedNotDone) {
  for (const DeliveryResult result : {DeliveryResult::failed, DeliveryResult::unknown}) {
    Mesh mesh;
    mesh.agent("a", "opencode", RunId{2});
    mesh.item("itm_1", "a", Progress::delivered, RunId{1});
    mesh.lines["a"].answer = answers(result, "the server is broken");
    mesh.load();
    ASSERT_TRUE(mesh.until([&] { return mesh.progress("itm_1").starts_with("failed"); }))
        << mesh.progress("itm_1");
    EXPECT_NE(mesh.progress("itm_1").find("the server is broken"), std::string::npos);
    mesh.turn_ended("a");
    mesh.settle();
    ASSERT_EQ(mesh.reports.back().state, hub::ItemState::failed);
    EXPECT_TRUE(mesh.told("a", "assignment_failed"));
  }
}

TEST_F(MailboxTest, WhatIsBlockedIsToldAgainLater) {
  mesh_.agent("a", "opencode", RunId{2});
  mesh_.item("itm_1", "a", Progress::delivered, RunId{1});
  mesh_.lines["a"].answer = answers(DeliveryResult::blocked, "a question is open");
  mesh_.load();
  ASSERT_TRUE(mesh_.until([&] { return mesh_.lines["a"].messages.size() == 1; }));
  mesh_.settle();
  EXPECT_EQ(mesh_.journal->open_items()->front().run, RunId{1});
  mesh_.lines["a"].answer = answers(DeliveryResult::delivered, "");
  mesh_.mailbox->pump(name("a"));
  ASSERT_TRUE(mesh_.until([&] { return mesh_.journal->open_items()->front().run == RunId{2}; }));
}

TEST_F(MailboxTest, ADefectInADeliveryHoldsNothingUp) {
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.item("itm_1", "a", Progress::accepted, RunId{});
  mesh_.lines["a"].answer = [](const agents::Message&) -> Delivery { throw std::runtime_error("a defect"); };
  mesh_.load();
  ASSERT_TRUE(mesh_.until([&] { return mesh_.lines["a"].messages.size() == 1; }));
  mesh_.settle();
  mesh_.lines["a"].answer = answers(DeliveryResult::delivered, "");
  mesh_.mailbox->pump(name("a"));
  ASSERT_TRUE(mesh_.until([&] { return mesh_.progress("itm_1") == "delivered"; }));
  EXPECT_EQ(mesh_.lines["a"].messages.back().attempt, agents::Attempt::repeated) << "it may have arrived";
}

// ---- a turn that failed

TEST_F(MailboxTest, AFailedTurnIsTriedOnceMoreThenTheAssignmentIsFailed) {
  mesh_.config.watchdog.turn_retry = Millis{1};
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.item("itm_1", "a", Progress::delivered, RunId{1});
  mesh_.load();
  mesh_.tell("a", SignalKind::busy);
  mesh_.turn_failed("a", "API Error: 500");
  EXPECT_EQ(mesh_.progress("itm_1"), "delivered");
  ASSERT_TRUE(mesh_.until([&] { return mesh_.lines["a"].messages.size() == 1; }));
  EXPECT_EQ(mesh_.lines["a"].messages[0].text, mesh_.config.watchdog.nudge_text);
  mesh_.settle();
  mesh_.tell("a", SignalKind::busy);
  mesh_.turn_failed("a", "API Error: 503");
  EXPECT_EQ(mesh_.progress("itm_1"), "failed: the agent's turn failed: API Error: 503");
  EXPECT_TRUE(mesh_.told("a", "assignment_failed"));
  mesh_.settle();
  EXPECT_EQ(mesh_.lines["a"].messages.size(), 1U);
}

TEST_F(MailboxTest, ACustomProgramsFirstTurnThatFailsIsNotDone) {
  mesh_.config.watchdog.turn_retry = kLong;
  mesh_.agent("a", "custom", RunId{1});
  mesh_.load();
  deliver_by_pane("a", "itm_1");
  mesh_.turn_failed("a", "API Error: 500");
  mesh_.tell("a", SignalKind::idle);
  mesh_.settle();
  EXPECT_EQ(mesh_.progress("itm_1"), "delivered");
}

TEST_F(MailboxTest, AFailedTurnWithoutWorkIsNotTriedAgain) {
  mesh_.config.watchdog.turn_retry = Millis{1};
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.agent("b", "opencode", RunId{1});
  mesh_.item("itm_1", "b", Progress::delivered, RunId{1});
  mesh_.load();
  mesh_.turn_failed("a", "API Error: 500");
  mesh_.turn_failed("b", "API Error: 500");
  ASSERT_TRUE(mesh_.until([&] { return mesh_.lines["b"].messages.size() == 1; }));
  EXPECT_TRUE(mesh_.lines["a"].messages.empty());
  EXPECT_TRUE(mesh_.told("a", "turn_failed"));
}

TEST_F(MailboxTest, APersonWhoGoesOnAfterAFailedTurnIsNotTalkedInto) {
  mesh_.config.watchdog.turn_retry = kLong;
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.item("itm_1", "a", Progress::delivered, RunId{1});
  mesh_.load();
  mesh_.turn_failed("a", "API Error: 500");
  mesh_.settle();
  mesh_.tell("a", SignalKind::busy);
  mesh_.settle();
  mesh_.turn_ended("a");
  mesh_.settle();
  EXPECT_TRUE(mesh_.progress("itm_1").starts_with("done"));
  EXPECT_TRUE(mesh_.lines["a"].messages.empty());
}

// ---- the hub gave it up

class ExpiryTest : public MailboxTest {
 protected:
  void expire() { mesh_.mailbox->expired("itm_1", "not delivered within 10 s"); }
  bool forgotten() {
    return mesh_.mailbox->open_items(name("a")).empty() && mesh_.told("a", "assignment_failed");
  }
};

TEST_F(ExpiryTest, EndsWhatWaits) {
  mesh_.agent("a", "custom", RunId{1});
  mesh_.item("itm_1", "a", Progress::accepted, RunId{});
  mesh_.load();
  expire();
  EXPECT_TRUE(forgotten());
  EXPECT_FALSE(mesh_.entry("a").agent.work_open);
}

TEST_F(ExpiryTest, DoesNotTakeBackWhatWasDelivered) {
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.item("itm_1", "a", Progress::delivered, RunId{1});
  mesh_.load();
  expire();
  EXPECT_EQ(mesh_.progress("itm_1"), "delivered");
  EXPECT_FALSE(mesh_.told("a", "assignment_failed"));
  mesh_.tell("a", SignalKind::busy);
  mesh_.turn_ended("a");
  ASSERT_FALSE(mesh_.reports.empty());
  EXPECT_EQ(mesh_.reports.back().state, hub::ItemState::done);
}

TEST_F(ExpiryTest, WaitsForWhatIsUnderWay) {
  for (const DeliveryResult result : {DeliveryResult::delivered, DeliveryResult::failed}) {
    Mesh mesh;
    mesh.agent("a", "opencode", RunId{1});
    mesh.item("itm_1", "a", Progress::accepted, RunId{});
    mesh.lines["a"].answer = [&](const agents::Message&) {
      mesh.mailbox->expired("itm_1", "not delivered within 10 s");
      return Delivery{result, result == DeliveryResult::delivered ? "" : "the server is broken"};
    };
    mesh.load();
    mesh.reports.clear();  // that it was accepted
    ASSERT_TRUE(mesh.until([&] { return !mesh.reports.empty(); }));
    const bool arrived = result == DeliveryResult::delivered;
    EXPECT_EQ(mesh.reports.back().state, arrived ? hub::ItemState::delivered : hub::ItemState::failed);
    EXPECT_EQ(mesh.progress("itm_1"), arrived ? "delivered" : "failed: the server is broken");
  }
}

TEST_F(ExpiryTest, EndsWhatComesBackUndelivered) {
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.item("itm_1", "a", Progress::accepted, RunId{});
  mesh_.lines["a"].answer = [this](const agents::Message&) {
    expire();
    return Delivery{DeliveryResult::blocked, "a question is open"};
  };
  mesh_.load();
  mesh_.reports.clear();  // that it was accepted
  ASSERT_TRUE(mesh_.until([&] { return forgotten(); }));
  mesh_.mailbox->pump(name("a"));
  mesh_.settle();
  EXPECT_EQ(mesh_.lines["a"].messages.size(), 1U);
  EXPECT_TRUE(mesh_.reports.empty()) << "the hub knows";
}

// ---- what the watchdog is told of work

TEST_F(MailboxTest, TheWatchdogLearnsWhetherThereIsWork) {
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.agent("b", "opencode", RunId{1});
  mesh_.item("itm_1", "a", Progress::delivered, RunId{1});
  ASSERT_TRUE(mesh_.journal->save_record([&] {
    auto record = mesh_.journal->agents()->back().record;
    record.work_open = true;  // its item was done when the row could not be saved
    return record;
  }()));
  mesh_.load();
  EXPECT_TRUE(mesh_.entry("a").agent.work_open);
  EXPECT_FALSE(mesh_.entry("b").agent.work_open);
  mesh_.entry("b").agent.work_open = true;
  mesh_.tell("b", SignalKind::activity);
  EXPECT_FALSE(mesh_.entry("b").agent.work_open) << "told again with the next change";
}

TEST_F(MailboxTest, AskingAfterAnAgentMakesNone) {
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.load();
  EXPECT_EQ(mesh_.mailbox->counts(name("x")).pending, 0);
  EXPECT_TRUE(mesh_.mailbox->open_items(name("x")).empty());
}

}  // namespace
}  // namespace agentmesh::daemon::test
