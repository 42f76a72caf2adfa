#include "agents/opencode_state.h"

#include "base/json.h"

#include <random>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {
namespace {

using nlohmann::json;

// A signal as text, without the detail: "busy", "permission_asked per_1".
std::vector<std::string> names(const std::vector<Signal>& signals) {
  std::vector<std::string> out;
  for (const Signal& signal : signals) {
    if (signal.kind == SignalKind::activity) continue;
    out.push_back(std::string(to_string(signal.kind)) + (signal.id.empty() ? "" : " " + signal.id));
  }
  return out;
}

std::string event(std::string_view type, json properties) {
  return json{{"id", "evt_1"}, {"type", type}, {"properties", std::move(properties)}}.dump();
}
std::string status(std::string_view session, std::string_view type) {
  return event("session.status", {{"sessionID", session}, {"status", {{"type", type}}}});
}
std::string asked(std::string_view id, std::string_view session) {
  return event("permission.asked", {{"id", id},
                                    {"sessionID", session},
                                    {"permission", "bash"},
                                    {"patterns", {"rm *"}},
                                    {"metadata", {{"command", "rm -rf build\nls"}}}});
}
std::string replied(std::string_view id) {
  return event("permission.replied", {{"sessionID", "ses_1"}, {"requestID", id}, {"reply", "once"}});
}
std::string tool(std::string_view call, std::string_view command) {
  return event("message.part.updated",
               {{"part",
                 {{"type", "tool"},
                  {"tool", "bash"},
                  {"callID", call},
                  {"state", {{"status", "running"}, {"input", {{"command", command}}}}}}}});
}

using Names = std::vector<std::string>;

class OpencodeStateTest : public ::testing::Test {
 protected:
  Names tell(const std::string& text) { return names(state_.event(text)); }
  Names snapshot(const std::string& sessions, const std::string& permissions, const std::string& questions) {
    const auto signals = state_.snapshot({sessions, permissions, questions});
    return signals ? names(*signals) : Names{"error " + std::string(to_string(signals.error().code))};
  }
  // A snapshot in which the conversation's last turn was over before anybody listened.
  std::vector<Signal> snapshot_after(SignalKind end, const std::string& sessions) {
    const Signal last{.kind = end, .source = "http", .detail = "", .at = WallTime{Millis{1'000}}};
    return *state_.snapshot({sessions, "[]", "[]", false, last});
  }
  void begin_idle() { ASSERT_EQ(snapshot("{}", "[]", "[]"), Names{"idle"}); }
  OpencodeState state_;
};

TEST_F(OpencodeStateTest, ASnapshotThatIsOlderThanTheEventsTakesNothingFromThem) {
  begin_idle();
  EXPECT_EQ(tell(status("ses_1", "busy")), Names{"busy"});
  EXPECT_EQ(tell(asked("per_1", "ses_1")), Names{"permission_asked per_1"});
  const auto stale = state_.snapshot({"{}", R"([{"id":"per_0"}])", "[]", true});
  ASSERT_TRUE(stale);
  EXPECT_EQ(names(*stale), Names{}) << "no prompt is gone, no turn has ended";
  EXPECT_EQ(tell(replied("per_1")), Names{"permission_asked per_0"}) << "what it adds is taken";
  ASSERT_TRUE(state_.snapshot({"{}", R"([{"id":"per_1"}])", "[]", true}));
  EXPECT_EQ(snapshot(R"({"ses_1":{"type":"busy"}})", "[]", "[]"), (Names{"permission_closed per_0", "busy"}));
}

TEST_F(OpencodeStateTest, TheFirstSnapshotAddsToWhatEventsSaidWhenItIsOlder) {
  EXPECT_EQ(tell(status("ses_1", "busy")), Names{"busy"});
  const auto stale = state_.snapshot({R"({"ses_1":{"type":"idle"}})", R"([{"id":"per_1"}])", "[]", true});
  ASSERT_TRUE(stale);
  EXPECT_EQ(names(*stale), Names{"permission_asked per_1"});
  EXPECT_EQ(tell(replied("per_1")), (Names{"permission_closed per_1", "busy"}));
}

TEST_F(OpencodeStateTest, ATurnIsBusyThenEndedThenIdleOnceEach) {
  begin_idle();
  EXPECT_EQ(tell(status("ses_1", "busy")), Names{"busy"});
  EXPECT_EQ(tell(status("ses_1", "busy")), Names{});
  EXPECT_EQ(tell(status("ses_1", "idle")), (Names{"turn_ended", "idle"}));
  EXPECT_EQ(tell(event("session.idle", {{"sessionID", "ses_1"}})), Names{});
  EXPECT_EQ(tell(event("session.idle", {{"sessionID", "ses_1"}})), Names{});
}

TEST_F(OpencodeStateTest, AnEndThatNobodyHeardIsToldWithItsTimeBeforeIdle) {
  for (const SignalKind end : {SignalKind::turn_ended, SignalKind::turn_failed}) {
    const auto told = snapshot_after(end, "{}");
    ASSERT_EQ(names(told), (Names{std::string(to_string(end)), "idle"}));
    EXPECT_EQ(told.front().at, WallTime{Millis{1'000}});
    state_.lost("gone");
  }
}

TEST_F(OpencodeStateTest, AnEndThatNobodyHeardIsNotToldOfWhatIsKnown) {
  begin_idle();
  EXPECT_EQ(names(snapshot_after(SignalKind::turn_ended, "{}")), Names{});
  EXPECT_EQ(tell(status("ses_1", "busy")), Names{"busy"});
  const auto heard = snapshot_after(SignalKind::turn_failed, "{}");
  ASSERT_EQ(names(heard), (Names{"turn_ended", "idle"}));
  EXPECT_FALSE(heard.front().at);
}

TEST_F(OpencodeStateTest, AnEndThatNobodyHeardSaysNothingWhileSomethingRunsOrIsAsked) {
  EXPECT_EQ(names(snapshot_after(SignalKind::turn_ended, R"({"ses_1":{"type":"busy"}})")), Names{"busy"});
  EXPECT_EQ(tell(status("ses_1", "idle")), (Names{"turn_ended", "idle"}));
  state_.lost("gone");
  const Signal last{.kind = SignalKind::turn_ended, .source = "http", .at = WallTime{Millis{1'000}}};
  EXPECT_EQ(names(*state_.snapshot({"{}", R"([{"id":"per_1"}])", "[]", false, last})),
            Names{"permission_asked per_1"});
  EXPECT_EQ(tell(replied("per_1")), (Names{"permission_closed per_1", "idle"}));
}

TEST_F(OpencodeStateTest, ATurnThatBeganAndEndedBeforeTheFirstSnapshotIsToldOnce) {
  tell(status("ses_1", "busy"));
  EXPECT_EQ(tell(status("ses_1", "idle")), Names{});
  EXPECT_EQ(names(snapshot_after(SignalKind::turn_ended, "{}")), (Names{"turn_ended", "idle"}));
}

TEST_F(OpencodeStateTest, IdleIsNotToldWhileAPermissionIsOpen) {
  begin_idle();
  tell(status("ses_1", "busy"));
  EXPECT_EQ(tell(asked("per_1", "ses_1")), Names{"permission_asked per_1"});
  EXPECT_EQ(tell(status("ses_1", "idle")), Names{});
  EXPECT_EQ(tell(event("session.idle", {{"sessionID", "ses_1"}})), Names{});
  EXPECT_TRUE(state_.wants_snapshot());  // an interrupted turn takes its prompt with it
  EXPECT_EQ(snapshot("{}", "[]", "[]"), (Names{"permission_closed per_1", "idle"}));
}

TEST_F(OpencodeStateTest, AnAnsweredPermissionLeadsBackToBusy) {
  begin_idle();
  tell(status("ses_1", "busy"));
  tell(asked("per_1", "ses_1"));
  EXPECT_EQ(tell(replied("per_1")), (Names{"permission_closed per_1", "busy"}));
  EXPECT_EQ(tell(status("ses_1", "idle")), (Names{"turn_ended", "idle"}));
}

TEST_F(OpencodeStateTest, APermissionSaysWhatForOnOneLine) {
  begin_idle();
  const auto signals = state_.event(asked("per_1", "ses_1"));
  ASSERT_EQ(signals.size(), 1U);
  EXPECT_EQ(signals[0].detail, "bash: rm -rf build⏎ls");
}

TEST_F(OpencodeStateTest, DoubledAndLateEventsOfAPermissionChangeNothing) {
  begin_idle();
  tell(asked("per_1", "ses_1"));
  EXPECT_EQ(tell(asked("per_1", "ses_1")), Names{});
  EXPECT_EQ(tell(replied("per_1")), (Names{"permission_closed per_1", "idle"}));
  EXPECT_EQ(tell(replied("per_1")), Names{});
  EXPECT_EQ(tell(asked("per_1", "ses_1")), Names{});
  EXPECT_EQ(tell(replied("per_2")), Names{});  // the answer before the question
  EXPECT_EQ(tell(asked("per_2", "ses_1")), Names{});
  EXPECT_EQ(snapshot("{}", R"([{"id":"per_1"}])", "[]"), Names{});  // an answer that is older than its events
}

TEST_F(OpencodeStateTest, TwoPermissionsAreClosedOneByOne) {
  begin_idle();
  tell(status("ses_1", "busy"));
  tell(asked("per_1", "ses_1"));
  EXPECT_EQ(tell(asked("per_2", "ses_2")), Names{});                   // what is shown stays shown
  EXPECT_EQ(tell(replied("per_1")), Names{"permission_asked per_2"});  // still something is asked
  EXPECT_EQ(tell(replied("per_2")), (Names{"permission_closed per_2", "busy"}));
}

TEST_F(OpencodeStateTest, ThePromptThatWasToldStaysToldWhenAnotherCloses) {
  begin_idle();
  tell(status("ses_1", "busy"));
  tell(asked("per_1", "ses_1"));
  EXPECT_EQ(tell(asked("per_2", "ses_2")), Names{});
  EXPECT_EQ(tell(asked("per_0", "ses_2")), Names{});  // also before one that looks older
  EXPECT_EQ(tell(replied("per_0")), Names{});
  const auto left = state_.event(replied("per_1"));
  EXPECT_EQ(names(left), Names{"permission_asked per_2"});
  EXPECT_EQ(left.back().detail, "bash: rm -rf build⏎ls");
  EXPECT_EQ(names(state_.replied("per_2")), (Names{"permission_closed per_2", "busy"}));
  EXPECT_EQ(tell(replied("per_2")), Names{});
}

TEST_F(OpencodeStateTest, ASnapshotTellsOfOneThatIsStillOpen) {
  EXPECT_EQ(snapshot("{}", R"([{"id":"per_1"},{"id":"per_2"},{"id":"per_3"}])", "[]"),
            Names{"permission_asked per_1"});
  EXPECT_EQ(snapshot("{}", R"([{"id":"per_1"},{"id":"per_2"}])", "[]"), Names{});
  EXPECT_EQ(snapshot("{}", R"([{"id":"per_2"}])", "[]"), Names{"permission_asked per_2"});
  EXPECT_EQ(snapshot("{}", "[]", "[]"), (Names{"permission_closed per_2", "idle"}));
  EXPECT_EQ(snapshot("{}", "[]", R"([{"id":"que_1"},{"id":"que_2"}])"), Names{"question_asked que_1"});
  EXPECT_EQ(snapshot("{}", "[]", R"([{"id":"que_2"}])"), Names{"question_asked que_2"});
}

TEST_F(OpencodeStateTest, AQuestionUnderAPermissionIsToldWhenThePermissionCloses) {
  begin_idle();
  tell(asked("per_1", "ses_1"));
  EXPECT_EQ(tell(event("question.asked", {{"id", "que_1"}})), Names{});
  EXPECT_EQ(tell(replied("per_1")), (Names{"permission_closed per_1", "question_asked que_1"}));
  EXPECT_EQ(tell(asked("per_2", "ses_1")), Names{"permission_asked per_2"});
  EXPECT_EQ(tell(event("question.replied", {{"requestID", "que_1"}})), Names{});
  EXPECT_EQ(tell(replied("per_2")), (Names{"permission_closed per_2", "idle"}));
}

TEST_F(OpencodeStateTest, APromptThatWentWhileTheSourceWasGoneIsClosed) {
  begin_idle();
  tell(asked("per_1", "ses_1"));
  EXPECT_EQ(names(state_.lost("gone")), Names{"unreadable"});
  EXPECT_EQ(tell(status("ses_1", "busy")), Names{"busy"});
  EXPECT_EQ(snapshot("{}", "[]", "[]"), (Names{"permission_closed per_1", "turn_ended", "idle"}));
}

TEST_F(OpencodeStateTest, TheOldNamesOfEventsAreUnderstood) {
  begin_idle();
  EXPECT_EQ(tell(event("permission.updated", {{"id", "per_1"}, {"type", "bash"}, {"title", "ls"}})),
            Names{"permission_asked per_1"});
  EXPECT_EQ(tell(event("permission.replied", {{"permissionID", "per_1"}, {"response", "once"}})),
            (Names{"permission_closed per_1", "idle"}));
}

TEST_F(OpencodeStateTest, AQuestionIsAskedAndClosed) {
  begin_idle();
  tell(status("ses_1", "busy"));
  const json questions = json::array({{{"question", "which colour?"}, {"header", "demo"}}});
  const auto signals = state_.event(event("question.asked", {{"id", "que_1"}, {"questions", questions}}));
  ASSERT_EQ(names(signals), Names{"question_asked que_1"});
  EXPECT_EQ(signals[0].detail, "which colour?");
  EXPECT_EQ(tell(event("question.rejected", {{"requestID", "que_1"}})),
            (Names{"question_closed que_1", "busy"}));
}

TEST_F(OpencodeStateTest, ASubAgentsWorkIsWork) {
  begin_idle();
  tell(status("ses_top", "busy"));
  tell(status("ses_child", "busy"));
  EXPECT_EQ(tell(status("ses_top", "idle")), Names{});
  EXPECT_EQ(tell(status("ses_child", "idle")), (Names{"turn_ended", "idle"}));
}

TEST_F(OpencodeStateTest, AnInterruptedTurnIsIdleButNotEndedByItself) {
  begin_idle();
  tell(status("ses_1", "busy"));
  tell(event("session.error", {{"sessionID", "ses_1"}, {"error", {{"name", "MessageAbortedError"}}}}));
  EXPECT_EQ(tell(status("ses_1", "idle")), Names{"idle"});
  tell(status("ses_1", "busy"));
  EXPECT_EQ(tell(status("ses_1", "idle")), (Names{"turn_ended", "idle"}));
}

TEST_F(OpencodeStateTest, AFailedTurnSaysWhyAndAPartsErrorIsItsOwn) {
  const auto error = [](std::string_view session) {
    return event(
        "session.error",
        {{"sessionID", session},
         {"error", {{"name", "APIError"}, {"data", {{"message", "Internal error"}, {"statusCode", 500}}}}}});
  };
  begin_idle();
  tell(status("ses_1", "busy"));
  tell(error("ses_1"));
  const auto signals = state_.event(status("ses_1", "idle"));
  ASSERT_EQ(names(signals), (Names{"turn_failed", "idle"}));
  EXPECT_EQ(signals[0].detail, "Internal error");
  tell(event("session.created", {{"info", {{"id", "ses_part"}, {"parentID", "ses_1"}}}}));
  tell(status("ses_1", "busy"));
  tell(error("ses_part"));
  EXPECT_EQ(tell(status("ses_1", "idle")), (Names{"turn_ended", "idle"}));
}

TEST_F(OpencodeStateTest, AProvidersLimitTellsUntilWhen) {
  begin_idle();
  const auto retry = [](std::int64_t next, std::string_view message) {
    return event("session.status", {{"sessionID", "ses_1"},
                                    {"status", {{"type", "retry"}, {"message", message}, {"next", next}}}});
  };
  tell(status("ses_1", "busy"));
  const auto signals = state_.event(retry(1'800'000'000'000, "Rate limit exceeded"));
  ASSERT_EQ(names(signals), Names{"rate_limited"});
  EXPECT_EQ(signals[0].until, from_millis(1'800'000'000'000));
  EXPECT_EQ(tell(retry(1'800'000'000'000, "Rate limit exceeded")), Names{});
  EXPECT_EQ(tell(retry(1'800'000'060'000, "Rate limit exceeded")), Names{"rate_limited"});
  EXPECT_EQ(tell(status("ses_1", "busy")), Names{"busy"});
  EXPECT_EQ(tell(retry(1, "connection reset")), Names{});  // a passing failure is still work
  EXPECT_EQ(tell(retry(-5, "usage limit reached")), Names{"rate_limited"});
}

TEST_F(OpencodeStateTest, AMissingLoginLastsUntilTheNextTurn) {
  begin_idle();
  tell(status("ses_1", "busy"));
  tell(event("session.error",
             {{"error", {{"name", "APIError"}, {"data", {{"message", "no key"}, {"statusCode", 401}}}}}}));
  EXPECT_EQ(tell(status("ses_1", "idle")), Names{"auth_required"});
  EXPECT_EQ(tell(event("session.idle", {{"sessionID", "ses_1"}})), Names{});
  EXPECT_EQ(snapshot("{}", "[]", "[]"), Names{});
  EXPECT_EQ(tell(status("ses_1", "busy")), Names{"busy"});
  EXPECT_EQ(tell(status("ses_1", "idle")), (Names{"turn_ended", "idle"}));
}

TEST_F(OpencodeStateTest, EqualToolCallsHaveEqualHashesAndACallIsToldOnce) {
  begin_idle();
  const auto first = state_.event(tool("call_1", "make"));
  EXPECT_EQ(names(first), Names{"tool_called call_1"});
  EXPECT_EQ(tell(tool("call_1", "make")), Names{});
  const auto second = state_.event(tool("call_2", "make"));
  const auto other = state_.event(tool("call_3", "make test"));
  EXPECT_EQ(first.back().detail, second.back().detail);
  EXPECT_NE(first.back().detail, other.back().detail);
}

TEST_F(OpencodeStateTest, TheConversationIsTheOneAPersonSees) {
  begin_idle();
  const auto created = [](std::string_view id, std::string_view parent) {
    json info{{"id", id}};
    if (!parent.empty()) info["parentID"] = parent;
    return event("session.created", {{"info", info}});
  };
  const auto said = [](std::string_view session) {
    return event("message.updated", {{"info", {{"sessionID", session}, {"role", "user"}}}});
  };
  EXPECT_EQ(tell(created("ses_1", "")), Names{"session_learned ses_1"});
  EXPECT_EQ(tell(created("ses_2", "ses_1")), Names{});
  EXPECT_EQ(tell(said("ses_2")), Names{});  // the sub-agent's prompt
  EXPECT_EQ(tell(said("ses_3")), Names{"session_learned ses_3"});
  EXPECT_EQ(tell(event("tui.session.select", {{"sessionID", "ses_1"}})), Names{"session_learned ses_1"});
  EXPECT_EQ(state_.session(), "ses_1");
}

TEST_F(OpencodeStateTest, NothingIsIdleBeforeTheSnapshotAndAfterTheLossOfTheSource) {
  EXPECT_EQ(tell(event("session.idle", {{"sessionID", "ses_1"}})), Names{});
  EXPECT_EQ(tell(status("ses_1", "busy")), Names{"busy"});
  EXPECT_EQ(tell(status("ses_1", "idle")), Names{});
  EXPECT_EQ(snapshot("{}", "[]", "[]"), (Names{"idle"}));
  EXPECT_EQ(names(state_.lost("gone")), Names{"unreadable"});
  EXPECT_EQ(tell(status("ses_1", "idle")), Names{});
  EXPECT_EQ(snapshot(R"({"ses_1":{"type":"busy"}})", R"([{"id":"per_9","permission":"edit"}])", "[]"),
            Names{"permission_asked per_9"});
  EXPECT_EQ(names(state_.lost("gone")), Names{"unreadable"});
  EXPECT_EQ(snapshot("{}", R"([{"id":"per_9","permission":"edit"}])", "[]"), Names{"permission_asked per_9"});
}

TEST_F(OpencodeStateTest, ASnapshotOfAnotherFormIsAnErrorAndChangesNothing) {
  begin_idle();
  for (const char* bad : {"", "[]", "null", "{\"ses_1\":{\"type\":\"dreaming\"}}", "{\"ses_1\":7}", "{"}) {
    EXPECT_EQ(snapshot(bad, "[]", "[]"), Names{"error invalid"}) << bad;
  }
  for (const char* bad : {"", "{}", "null", "[7]", "[{}]", "[{\"id\":7}]"}) {
    EXPECT_EQ(snapshot("{}", bad, "[]"), Names{"error invalid"}) << bad;
    EXPECT_EQ(snapshot("{}", "[]", bad), Names{"error invalid"}) << bad;
  }
  EXPECT_EQ(tell(status("ses_1", "busy")), Names{"busy"});
}

TEST_F(OpencodeStateTest, GarbageChangesNothingButAsksForTheState) {
  begin_idle();
  for (const std::string& bad :
       {std::string("{"), std::string("7"), std::string("[]"), std::string("{\"type\":7}"),
        std::string("\xff\xfe"), std::string(200, '['), event("session.status", 7),
        event("session.status", {{"sessionID", "ses_1"}}),
        event("session.status", {{"sessionID", 7}, {"status", {{"type", "busy"}}}}),
        status("ses_1", "unheard of"), event("permission.asked", {{"id", std::string(500, 'x')}}),
        event("permission.replied", json::object()),
        event("session.idle", {{"sessionID", "ses_1"}, {"more", std::string(kMaxJsonBytes, 'x')}})}) {
    OpencodeState fresh;
    ASSERT_TRUE(fresh.snapshot({"{}", "[]", "[]"}));
    EXPECT_EQ(names(fresh.event(bad)), Names{}) << bad;
    EXPECT_TRUE(fresh.wants_snapshot()) << bad;
  }
  OpencodeState fresh;
  ASSERT_TRUE(fresh.snapshot({"{}", "[]", "[]"}));
  EXPECT_EQ(names(fresh.event(event("an.event.of.the.future", {{"x", 1}}))), Names{});
  EXPECT_FALSE(fresh.wants_snapshot());
}

TEST_F(OpencodeStateTest, MemoryIsBoundedAndNothingThrowsOnOddEvents) {
  begin_idle();
  std::mt19937 random(7);
  const std::vector<std::string> types = {"session.status", "session.idle",       "permission.asked",
                                          "question.asked", "permission.replied", "session.created",
                                          "session.error",  "message.updated",    "message.part.updated"};
  for (int i = 0; i < 5'000; ++i) {
    const std::string id = "x" + std::to_string(random() % 2'000);
    json properties{{"sessionID", id}, {"id", id}, {"requestID", id}};
    if (random() % 2) properties["status"] = {{"type", random() % 2 ? "busy" : "idle"}};
    if (random() % 3 == 0)
      properties["part"] = {{"type", "tool"}, {"callID", id}, {"state", {{"status", "running"}}}};
    if (random() % 3 == 0)
      properties["info"] = {{"id", id}, {"parentID", random() % 2 ? json("p") : json(1.5)}};
    if (random() % 5 == 0) properties["error"] = {{"name", "APIError"}, {"data", {{"statusCode", "x"}}}};
    state_.event(event(types[random() % types.size()], properties));
  }
  ASSERT_TRUE(state_.snapshot({"{}", "[]", "[]"}));
}

TEST_F(OpencodeStateTest, DetailsAreShortTextWhateverTheModelWrote) {
  begin_idle();
  json properties{{"id", "per_1"}, {"permission", "bash"}};
  properties["metadata"] = {{"command", "\x1b[31m" + std::string(5'000, 'a') + "\xc3\xa9"}};
  const auto signals = state_.event(event("permission.asked", properties));
  ASSERT_EQ(signals.size(), 1U);
  EXPECT_LE(signals[0].detail.size(), kMaxSignalDetail);
  EXPECT_FALSE(signals[0].detail.contains('\x1b'));
}

}  // namespace
}  // namespace agentmesh::agents
