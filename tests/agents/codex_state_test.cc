#include "agents/codex_state.h"

#include "agents/codex_rpc.h"
#include "agents/fields.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::Field;
using testing::Not;

const WallTime kNow = *from_rfc3339("2026-11-24T17:05:33Z");

json thread(std::string_view id, std::string_view status = "idle", bool ephemeral = false) {
  return {{"id", id}, {"ephemeral", ephemeral}, {"parentThreadId", nullptr}, {"status", {{"type", status}}}};
}

json note(std::string_view method, json params) {
  return {{"method", method}, {"params", std::move(params)}};
}

json status(std::string_view id, std::string_view type, json flags = json::array()) {
  json value{{"type", type}};
  if (type == "active") value["activeFlags"] = std::move(flags);
  return note("thread/status/changed", {{"threadId", id}, {"status", std::move(value)}});
}

json approval(int rpc, std::string_view item, std::string_view command = "rm -rf build") {
  json message = note("item/commandExecution/requestApproval",
                      {{"threadId", "t1"}, {"itemId", item}, {"command", command}});
  message["id"] = rpc;
  return message;
}

json ended(std::string_view how, json error = nullptr) {
  return note("turn/completed",
              {{"threadId", "t1"}, {"turn", {{"status", how}, {"error", std::move(error)}}}});
}

CodexState joined_state() {
  CodexState state;
  state.read(thread("t1"));
  state.joined("t1", true);
  return state;
}

auto kind(SignalKind wanted) { return Field(&Signal::kind, wanted); }

TEST(CodexState, WithoutAConversationItIsSilent) {
  CodexState state;
  EXPECT_EQ(state.sign().sense, Sense::silent);
  state.read(thread("title", "active", true));
  EXPECT_EQ(state.sign().sense, Sense::silent);
  EXPECT_FALSE(state.conversation());
}

TEST(CodexState, AConversationIsLearnedWhenItCanBeJoined) {
  CodexState state;
  state.read(thread("t1"));
  EXPECT_EQ(state.unjoined(), (std::vector<std::string>{"t1"}));
  EXPECT_THAT(state.joined("t1", false), Not(Contains(kind(SignalKind::session_learned))));
  EXPECT_TRUE(state.unjoined().empty());  // nothing was said in it: not tried again until it works
  EXPECT_FALSE(state.wants_join());
  state.take(status("t1", "active"), kNow);
  EXPECT_EQ(state.unjoined().size(), 1U);
  const auto learned = state.joined("t1", true);
  ASSERT_EQ(learned.size(), 1U);
  EXPECT_EQ(learned.front().id, "t1");
  EXPECT_TRUE(state.joined("t1", true).empty());
}

TEST(CodexState, ATurnIsBusyUntilItHasEndedWhateverTheStatusSays) {
  CodexState state = joined_state();
  EXPECT_EQ(state.sign().sense, Sense::idle);
  state.take(status("t1", "active"), kNow);
  state.take(note("turn/started", {{"threadId", "t1"}}), kNow);
  state.take(status("t1", "idle"), kNow);
  EXPECT_EQ(state.sign().sense, Sense::busy);
  EXPECT_THAT(state.take(ended("completed"), kNow), Contains(kind(SignalKind::turn_ended)));
  EXPECT_EQ(state.sign().sense, Sense::idle);
}

TEST(CodexState, AnInterruptedTurnHasNotEndedByItself) {
  CodexState state = joined_state();
  state.take(note("turn/started", {{"threadId", "t1"}}), kNow);
  EXPECT_THAT(state.take(ended("interrupted"), kNow), Not(Contains(kind(SignalKind::turn_ended))));
  EXPECT_EQ(state.sign().sense, Sense::idle);
}

TEST(CodexState, AFailedTurnSaysWhy) {
  CodexState state = joined_state();
  state.take(note("turn/started", {{"threadId", "t1"}}), kNow);
  const auto told =
      state.take(ended("failed", {{"message", "stream disconnected\nbefore completion"}}), kNow);
  EXPECT_THAT(told, Not(Contains(kind(SignalKind::turn_ended))));
  const auto failed = std::ranges::find(told, SignalKind::turn_failed, &Signal::kind);
  ASSERT_NE(failed, told.end());
  EXPECT_EQ(failed->detail, "stream disconnected before completion");
  EXPECT_EQ(state.sign().sense, Sense::idle);
}

// ---- a turn that ended before the line was up

json turn(std::string_view how, json completed, json error = nullptr) {
  return {{"id", "u1"},
          {"items", json::array()},
          {"status", how},
          {"startedAt", 1'795'539'800},
          {"completedAt", std::move(completed)},
          {"error", std::move(error)}};
}

constexpr std::int64_t kEnd = 1'795'539'813;

// What is told of one conversation whose newest turn is this one.
std::optional<Signal> missed(const json& newest, std::string_view now = "idle") {
  CodexState state;
  state.read(thread("t1", now));
  EXPECT_TRUE(state.wants_last_turn("t1"));
  state.last_turn("t1", newest, kNow);
  return state.caught_up();
}

TEST(CodexState, ATurnThatNobodyHeardIsToldWithItsTime) {
  const auto end = missed(turn("completed", kEnd));
  ASSERT_TRUE(end);
  EXPECT_EQ(*end,
            (Signal{.kind = SignalKind::turn_ended, .source = "status", .at = from_millis(kEnd * 1000)}));
  for (const char* now : {"idle", "systemError"}) {
    const auto failed = missed(turn("failed", kEnd, {{"message", "stream\ndisconnected"}}), now);
    ASSERT_TRUE(failed) << now;
    EXPECT_EQ(failed->kind, SignalKind::turn_failed);
    EXPECT_EQ(failed->detail, "stream disconnected");
  }
}

TEST(CodexState, WhereItIsNotCertainHowATurnEndedNothingIsTold) {
  const json limit{{"message", "usage limit"}, {"codexErrorInfo", "usageLimitExceeded"}};
  const json login{{"message", "no key"},
                   {"codexErrorInfo", {{"httpConnectionFailed", {{"httpStatusCode", 401}}}}}};
  const std::vector<std::pair<const char*, json>> cases{
      {"it runs", turn("inProgress", nullptr)},
      {"interrupted", turn("interrupted", kEnd)},
      {"cut off", turn("interrupted", nullptr)},
      {"a usage limit", turn("failed", kEnd, limit)},
      {"a missing login", turn("failed", kEnd, login)},
      {"no time", turn("completed", nullptr)},
      {"a time of a wrong type", turn("completed", "now")},
      {"a time before all times", turn("completed", 0)},
      {"a time after all times", turn("completed", INT64_MAX)},
      {"a status of a wrong type", {{"status", 7}, {"completedAt", kEnd}}},
      {"no turn", json::object()},
      {"nothing", nullptr},
      {"a list", json::array({1, 2})},
  };
  for (const auto& [what, newest] : cases) EXPECT_FALSE(missed(newest)) << what;
  CodexState never;
  never.read(thread("t1"));
  EXPECT_FALSE(never.caught_up());
}

TEST(CodexState, AnOldTurnsLimitHoldsNobodyUp) {
  CodexState state;
  state.read(thread("t1"));  // a new server: it has forgotten what the conversation ended by
  state.last_turn("t1", turn("failed", kEnd, {{"codexErrorInfo", "usageLimitExceeded"}}), kNow);
  EXPECT_FALSE(state.caught_up());
  EXPECT_EQ(state.sign().sense, Sense::idle);
}

TEST(CodexState, TheNewestEndOfAllConversationsIsToldOnceAndNotThatOfAPart) {
  CodexState state;
  for (const char* id : {"t1", "t2"}) state.read(thread(id));
  json part = thread("t3");
  part["parentThreadId"] = "t2";
  state.read(part);
  EXPECT_FALSE(state.wants_last_turn("t3"));
  EXPECT_FALSE(state.wants_last_turn("t9"));
  state.last_turn("t1", turn("completed", kEnd), kNow);
  state.last_turn("t2", turn("failed", kEnd - 5), kNow);
  state.last_turn("t3", turn("failed", kEnd + 5), kNow);
  state.last_turn("t9", turn("failed", kEnd + 5), kNow);
  const auto end = state.caught_up();
  ASSERT_TRUE(end);
  EXPECT_EQ(end->kind, SignalKind::turn_ended);
  EXPECT_FALSE(state.wants_last_turn("t1"));
  state.last_turn("t1", turn("completed", kEnd), kNow);
  EXPECT_FALSE(state.caught_up());
  state.forget();
  state.read(thread("t1"));
  EXPECT_TRUE(state.wants_last_turn("t1"));
}

TEST(CodexState, AnEndThatNobodyHeardIsNotToldWhileATurnRunsOrSomethingIsAsked) {
  for (const json& flags : {json::array(), json::array({"waitingOnApproval"})}) {
    CodexState state;
    state.read(thread("t1"));
    state.last_turn("t1", turn("completed", kEnd), kNow);
    state.take(status("t1", "active", flags), kNow);
    EXPECT_FALSE(state.caught_up());
    EXPECT_THAT(state.take(status("t1", "idle"), kNow), Contains(kind(SignalKind::turn_ended)));
  }
}

TEST(CodexState, TheFirstTurnEndsByItsStatusAlone) {
  CodexState state;
  state.read(thread("t1"));
  state.joined("t1", false);
  state.take(status("t1", "active"), kNow);
  EXPECT_EQ(state.sign().sense, Sense::busy);
  EXPECT_THAT(state.take(status("t1", "idle"), kNow), Contains(kind(SignalKind::turn_ended)));
}

TEST(CodexState, APermissionIsOpenUntilItsRequestIsResolved) {
  CodexState state = joined_state();
  state.take(status("t1", "active", {"waitingOnApproval"}), kNow);
  EXPECT_EQ(state.sign(), (Sign{Sense::permission}));
  state.take(approval(0, "call_1"), kNow);
  EXPECT_EQ(state.sign(), (Sign{Sense::permission, "rm -rf build", "call_1-0"}));
  state.take(approval(0, "call_1"), kNow);  // given again after a new join
  ASSERT_NE(state.request("call_1-0"), nullptr);
  EXPECT_EQ(state.request("call_1-0")->rpc_id, "0");
  state.take(note("serverRequest/resolved", {{"threadId", "t1"}, {"requestId", 0}}), kNow);
  EXPECT_EQ(state.request("call_1-0"), nullptr);
  state.take(status("t1", "active"), kNow);
  EXPECT_EQ(state.sign().sense, Sense::busy);
}

TEST(CodexState, TwoRequestsAboutOneItemAreTwoPrompts) {
  CodexState state = joined_state();
  state.take(status("t1", "active", {"waitingOnApproval"}), kNow);
  state.take(approval(0, "call_1"), kNow);
  state.take(approval(1, "call_1"), kNow);
  EXPECT_EQ(state.request("call_1-0")->rpc_id, "0");
  EXPECT_EQ(state.request("call_1-1")->rpc_id, "1");
}

TEST(CodexState, OfTwoPermissionsTheFirstIsToldAndThenTheOther) {
  CodexState state = joined_state();
  state.take(status("t1", "active", {"waitingOnApproval"}), kNow);
  state.take(approval(0, "call_1"), kNow);
  state.take(approval(1, "call_2"), kNow);
  state.take(approval(0, "call_1"), kNow);  // given again: it keeps its place
  EXPECT_EQ(state.sign().id, "call_1-0");
  state.take(note("serverRequest/resolved", {{"requestId", 0}}), kNow);
  EXPECT_EQ(state.sign().id, "call_2-1");
  state.take(status("t1", "idle"), kNow);  // interrupted: none is open
  EXPECT_EQ(state.sign().sense, Sense::idle);
}

TEST(CodexState, APermissionOfASubAgentIsOneToo) {
  CodexState state = joined_state();
  json child = thread("t2");
  child["parentThreadId"] = "t1";
  state.read(child);
  EXPECT_EQ(state.conversation(), "t1");
  state.take(status("t2", "active", {"waitingOnApproval"}), kNow);
  EXPECT_EQ(state.sign().sense, Sense::permission);
  EXPECT_EQ(state.conversation(), "t1");
}

TEST(CodexState, AQuestionIsRead) {
  CodexState state = joined_state();
  json message = note("item/tool/requestUserInput",
                      {{"threadId", "t1"}, {"itemId", "q"}, {"questions", {{{"question", "which colour"}}}}});
  message["id"] = "a";
  state.take(message, kNow);
  EXPECT_EQ(state.sign(), (Sign{Sense::question, "which colour", "q-a"}));
  EXPECT_EQ(state.request("q-a"), nullptr);  // no permission
}

TEST(CodexState, ALimitEndsWhenItsWindowDoesOrAsItsWordsSay) {
  const json error{{"message", "You’ve hit your usage limit. Visit x or try again at 5:06 PM."},
                   {"codexErrorInfo", "usageLimitExceeded"}};
  CodexState state = joined_state();
  state.take(note("turn/started", {{"threadId", "t1"}}), kNow);
  state.take(status("t1", "systemError"), kNow);
  EXPECT_EQ(state.sign().sense, Sense::busy);
  EXPECT_THAT(state.take(ended("failed", error), kNow), Not(Contains(kind(SignalKind::turn_ended))));
  EXPECT_EQ(state.sign().sense, Sense::limited);
  EXPECT_EQ(state.sign().until, from_rfc3339("2026-11-24T17:07:00Z"));

  const std::int64_t resets = to_millis(kNow) / 1000 + 20;
  state.take(note("account/rateLimits/updated",
                  {{"rateLimits",
                    {{"primary", {{"usedPercent", 100}, {"resetsAt", resets}}},
                     {"secondary", {{"usedPercent", 40}, {"resetsAt", resets + 999}}}}}}),
             kNow);
  state.take(ended("failed", error), kNow);
  EXPECT_EQ(state.sign().until, from_millis(resets * 1000));
  state.take(status("t1", "active"), kNow);
  EXPECT_EQ(state.sign().sense, Sense::busy);
}

TEST(CodexState, AMissingLoginIsToldOnceCodexGivesUp) {
  CodexState state = joined_state();
  json error{{"message", "Reconnecting... 1/5"},
             {"codexErrorInfo", {{"responseStreamDisconnected", {{"httpStatusCode", 401}}}}}};
  state.take(note("error", {{"threadId", "t1"}, {"willRetry", true}, {"error", error}}), kNow);
  EXPECT_EQ(state.sign().sense, Sense::idle);
  state.take(note("error", {{"threadId", "t1"}, {"willRetry", false}, {"error", error}}), kNow);
  EXPECT_EQ(state.sign().sense, Sense::login);
}

TEST(CodexState, AnErrorFromBeforeIsReadFromTheLastTurn) {
  CodexState state;
  state.read(thread("t1", "systemError"));
  EXPECT_TRUE(state.wants_last_turn("t1"));
  state.last_turn(
      "t1", {{"status", "failed"}, {"error", {{"message", "m"}, {"codexErrorInfo", "unauthorized"}}}}, kNow);
  EXPECT_EQ(state.sign().sense, Sense::login);
  EXPECT_FALSE(state.wants_last_turn("t1"));
}

TEST(CodexState, EqualToolCallsHaveEqualHashes) {
  const auto hash = [](std::string_view id, const json& command) {
    CodexState state = joined_state();
    const auto signals = state.take(
        note("item/started", {{"threadId", "t1"},
                              {"item", {{"type", "commandExecution"}, {"id", id}, {"command", command}}}}),
        kNow);
    for (const Signal& signal : signals) {
      if (signal.kind == SignalKind::tool_called) return signal.detail;
    }
    return std::string();
  };
  EXPECT_FALSE(hash("1", "make").empty());
  EXPECT_EQ(hash("1", "make"), hash("2", "make"));
  EXPECT_NE(hash("1", "make"), hash("1", "make test"));
  const std::string large(kMaxCodexInput, 'x');
  EXPECT_NE(hash("1", large), hash("2", large + "y")) << "another size";
  EXPECT_EQ(hash("1", large + "y"), hash("2", large + "z")) << "the beginning is compared";
  EXPECT_EQ(hash("1", {{large + "y", 1}}), hash("2", {{large + "z", 1}})) << "of names too";
  const auto changes = [](const std::string& diff) {
    return json::array({{{"path", "a"}, {"diff", diff}}, {{"path", "b"}, {"diff", "-"}}});
  };
  EXPECT_EQ(hash("1", changes("+")), hash("2", changes("+")));
  EXPECT_NE(hash("1", changes("+")), hash("2", changes("-")));
}

TEST(CodexState, PermissionsThatAreTooManyAreNotKeptInPart) {
  const auto kept = [](json permissions) {
    CodexState state = joined_state();
    state.take(status("t1", "active", {"waitingOnApproval"}), kNow);
    json message =
        note("item/permissions/requestApproval",
             {{"threadId", "t1"}, {"itemId", "i"}, {"permissions", {{"write", std::move(permissions)}}}});
    message["id"] = 1;
    state.take(message, kNow);
    const CodexRequest* request = state.request("i-1");
    return request == nullptr ? "no request" : request->permissions;
  };
  EXPECT_EQ(kept({"/a", "/b"}), R"({"write":["/a","/b"]})");
  EXPECT_EQ(kept(std::string(kMaxCodexPermissions, '/')), "");
  EXPECT_EQ(kept(json::array_t(kMaxCodexPermissions / 8, 1)), "");
  EXPECT_EQ(kept({{std::string(kMaxCodexPermissions, '/'), 1}}), "");
}

TEST(CodexState, ARequestWhoseIdIsTooLongIsNotKept) {
  const auto keeps = [](json id) {
    CodexState state = joined_state();
    state.take(status("t1", "active", {"waitingOnApproval"}), kNow);
    json message = note("item/commandExecution/requestApproval", {{"threadId", "t1"}, {"itemId", "i"}});
    message["id"] = std::move(id);
    state.take(message, kNow);
    return state.request("i-x") != nullptr ||
           state.request("i-" + std::string(kMaxIdBytes + 1, 'x')) != nullptr;
  };
  EXPECT_TRUE(keeps("x"));
  EXPECT_FALSE(keeps(std::string(kMaxIdBytes + 1, 'x')));
}

TEST(CodexState, AMessageIsSeenByItsClientId) {
  CodexState state = joined_state();
  state.take(note("item/started", {{"threadId", "t1"},
                                   {"item", {{"type", "userMessage"}, {"id", "i"}, {"clientId", "msg_1"}}}}),
             kNow);
  EXPECT_TRUE(state.seen("msg_1"));
  EXPECT_FALSE(state.seen("msg_2"));
}

TEST(CodexState, AnUnknownThreadAsksForAReading) {
  CodexState state = joined_state();
  state.take(status("t9", "active"), kNow);
  EXPECT_TRUE(state.wants_read());
  EXPECT_EQ(state.sign().sense, Sense::idle);
  state.keep_only({});
  EXPECT_EQ(state.sign().sense, Sense::silent);
}

TEST(CodexState, ItStandsAnyInput) {
  const char* inputs[] = {
      R"({})",
      R"([])",
      R"({"method":7})",
      R"({"method":"thread/started","params":{"thread":{"id":7}}})",
      R"({"method":"thread/status/changed","params":{"threadId":"t1","status":{"type":9,"activeFlags":"x"}}})",
      R"({"method":"turn/completed","params":{"threadId":"t1","turn":[1]}})",
      R"({"method":"turn/completed","params":{"threadId":"t1","turn":{"status":"failed","error":{"codexErrorInfo":{"a":3}}}}})",
      R"({"method":"item/started","params":{"threadId":"t1","item":"x"}})",
      R"({"id":{},"method":"item/commandExecution/requestApproval","params":[]})",
      R"({"method":"account/rateLimits/updated","params":{"rateLimits":{"primary":{"usedPercent":100,"resetsAt":9e99}}}})",
      R"({"method":"account/rateLimits/updated","params":{"rateLimits":{"primary":{"usedPercent":"x","resetsAt":-1}}}})",
      R"({"method":"serverRequest/resolved","params":{}})"};
  CodexState state = joined_state();
  for (const char* input : inputs) state.take(json::parse(input), kNow);
  for (int i = 0; i < 300; ++i) state.read(thread("x" + std::to_string(i)));
  for (int i = 0; i < 300; ++i) state.take(approval(i, "c" + std::to_string(i)), kNow);
  EXPECT_EQ(state.sign().sense, Sense::permission);
}

TEST(CodexTitle, SpinnerAndCallForAction) {
  EXPECT_EQ(codex_title("⠧ workspace")->sense, Sense::busy);
  EXPECT_EQ(codex_title("[ ! ] Action Required | workspace")->sense, Sense::permission);
  EXPECT_EQ(codex_title("[ . ] Action Required | workspace")->sense, Sense::permission);
  for (const char* other : {"workspace", "", "⠧", "✳ Claude", "Action Required"})
    EXPECT_FALSE(codex_title(other));
}

TEST(CodexLimit, ItsEndIsReadFromTheWords) {
  EXPECT_EQ(codex_limit_end("or try again at 5:06 PM.", kNow), from_rfc3339("2026-11-24T17:07:00Z"));
  EXPECT_EQ(codex_limit_end("or try again at 4:10 AM.", kNow), from_rfc3339("2026-11-25T04:11:00Z"));
  EXPECT_EQ(codex_limit_end("try again at 12:00 AM.", kNow), from_rfc3339("2026-11-25T00:01:00Z"));
  EXPECT_EQ(codex_limit_end("try again at Dec 1st, 2026 9:30 AM.", kNow),
            from_rfc3339("2026-12-01T09:31:00Z"));
  for (const char* none : {"", "try again later", "try again at 25:00 PM",
                           "try again at Feb 31st, 2026 1:00 AM", "try again at Foo 1st, 2026 1:00 AM"}) {
    EXPECT_FALSE(codex_limit_end(none, kNow)) << none;
  }
}

TEST(CodexReply, IsInTheFormOfItsRequest) {
  CodexRequest request{.method = "item/commandExecution/requestApproval"};
  EXPECT_EQ(*codex_reply(request, PermissionAnswer::allow_once), json({{"decision", "accept"}}));
  EXPECT_EQ(*codex_reply(request, PermissionAnswer::deny), json({{"decision", "decline"}}));
  request.method = "item/permissions/requestApproval";
  request.permissions = R"({"network":true})";
  EXPECT_EQ((*codex_reply(request, PermissionAnswer::allow_once))["permissions"]["network"], true);
  EXPECT_TRUE((*codex_reply(request, PermissionAnswer::deny))["permissions"].empty());
  request.permissions = {};
  // Not `invalid`, after which keys would allow what is not known.
  EXPECT_EQ(codex_reply(request, PermissionAnswer::allow_once).error().code, ErrorCode::denied);
  EXPECT_TRUE((*codex_reply(request, PermissionAnswer::deny))["permissions"].empty());
  request.method = "execCommandApproval";
  EXPECT_EQ(codex_reply(request, PermissionAnswer::allow_once).error().code, ErrorCode::denied);
}

TEST(CodexTurn, CarriesThePermissionsOfThisRun) {
  const Message message{.id = "msg_1", .text = "hello"};
  EXPECT_EQ(codex_turn("t1", message, Permissions::own),
            json::parse(R"({"threadId":"t1","clientUserMessageId":"msg_1",
                            "input":[{"type":"text","text":"hello"}]})"));
  EXPECT_EQ(codex_turn("t1", message, Permissions::open)["sandboxPolicy"]["type"], "dangerFullAccess");
  EXPECT_EQ(codex_turn("t1", message, Permissions::ask)["approvalPolicy"], "on-request");
  EXPECT_EQ(codex_turn("t1", message, Permissions::ask)["sandboxPolicy"]["type"], "readOnly");
}

}  // namespace
}  // namespace agentmesh::agents
