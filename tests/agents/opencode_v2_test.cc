// The events of opencode 2, in the form of its generated types.
#include "agents/opencode_state.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {
namespace {

using nlohmann::json;
using Names = std::vector<std::string>;

std::string event(std::string_view type, json data) {
  return json{{"id", "evt_1"},
              {"created", 1795540000000},
              {"type", type},
              {"location", {{"directory", "/workspace"}}},
              {"data", std::move(data)}}
      .dump();
}

class OpencodeV2Test : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(state_.snapshot({"{}", "[]", "[]"})); }

  std::vector<Signal> tell(std::string_view type, json data) {
    std::vector<Signal> told;
    for (Signal& signal : state_.event(event(type, std::move(data)))) {
      if (signal.kind != SignalKind::activity) told.push_back(std::move(signal));
    }
    return told;
  }
  Names names(std::string_view type, json data) {
    Names out;
    for (const Signal& signal : tell(type, std::move(data))) {
      out.push_back(std::string(to_string(signal.kind)) + (signal.id.empty() ? "" : " " + signal.id));
    }
    return out;
  }
  void begin() { ASSERT_EQ(names("session.execution.started", kSession), Names{"busy"}); }

  const json kSession = {{"sessionID", "ses_1"}};
  OpencodeState state_;
};

TEST_F(OpencodeV2Test, AnExecutionIsATurn) {
  begin();
  EXPECT_EQ(names("session.execution.succeeded", kSession), (Names{"turn_ended", "idle"}));
  EXPECT_EQ(names("session.execution.succeeded", kSession), Names{});
}

TEST_F(OpencodeV2Test, AnInterruptedExecutionDidNotEndByItself) {
  begin();
  EXPECT_EQ(names("session.execution.interrupted", {{"sessionID", "ses_1"}, {"reason", "user"}}),
            Names{"idle"});
}

TEST_F(OpencodeV2Test, AFailedExecutionSaysWhy) {
  begin();
  const auto told = tell("session.execution.failed",
                         {{"sessionID", "ses_1"}, {"error", {{"type", "unknown"}, {"message", "it broke"}}}});
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.front().kind, SignalKind::turn_failed);
  EXPECT_EQ(told.front().detail, "it broke");
}

TEST_F(OpencodeV2Test, AnExecutionThatFailedAtALimitIsHeld) {
  begin();
  EXPECT_EQ(names("session.execution.failed",
                  {{"sessionID", "ses_1"}, {"error", {{"type", "x"}, {"message", "usage limit reached"}}}}),
            Names{"rate_limited"});
}

TEST_F(OpencodeV2Test, ARetryTellsItsLimitAndItsTime) {
  begin();
  const auto told = tell("session.retry.scheduled", {{"sessionID", "ses_1"},
                                                     {"attempt", 2},
                                                     {"at", 1795540060000},
                                                     {"error", {{"type", "x"}, {"message", "rate limit"}}}});
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].kind, SignalKind::rate_limited);
  EXPECT_EQ(told[0].until, from_millis(1795540060000));
}

TEST_F(OpencodeV2Test, APermissionNamesItsActionAndResources) {
  begin();
  const auto told = tell("permission.asked", {{"id", "per_1"},
                                              {"sessionID", "ses_1"},
                                              {"action", "shell"},
                                              {"resources", {"npm test", "npm install"}}});
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].kind, SignalKind::permission_asked);
  EXPECT_EQ(told[0].id, "per_1");
  EXPECT_EQ(told[0].detail, "shell: npm test, npm install");
  EXPECT_EQ(names("permission.replied", {{"sessionID", "ses_1"}, {"requestID", "per_1"}, {"reply", "once"}}),
            (Names{"permission_closed per_1", "busy"}));
}

TEST_F(OpencodeV2Test, ThePermissionsOfASnapshotAreAnArrayOfTheSameForm) {
  const auto told = state_.snapshot(
      {"{}", R"([{"id":"per_2","sessionID":"ses_1","action":"edit","resources":["a.txt"]}])", "[]"});
  ASSERT_TRUE(told);
  ASSERT_FALSE(told->empty());
  EXPECT_EQ(told->front().detail, "edit: a.txt");
}

TEST_F(OpencodeV2Test, AFormIsAQuestion) {
  begin();
  const json form = {{"id", "frm_1"},
                     {"sessionID", "ses_1"},
                     {"title", "Question"},
                     {"fields", {{{"key", "a"}, {"title", "Which colour?"}, {"type", "string"}}}}};
  const auto told = tell("form.created", {{"form", form}});
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].kind, SignalKind::question_asked);
  EXPECT_EQ(told[0].detail, "Which colour?");
  EXPECT_EQ(names("form.cancelled", {{"id", "frm_1"}, {"sessionID", "ses_1"}}),
            (Names{"question_closed frm_1", "busy"}));
}

TEST_F(OpencodeV2Test, EqualToolCallsHaveEqualHashes) {
  begin();
  const auto call = [&](std::string_view id, std::string_view command) {
    const auto told = tell("session.tool.called",
                           {{"sessionID", "ses_1"}, {"callID", id}, {"input", {{"command", command}}}});
    EXPECT_EQ(told.size(), 1U);
    return told.empty() ? std::string() : told[0].detail;
  };
  EXPECT_EQ(call("c1", "ls"), call("c2", "ls"));
  EXPECT_NE(call("c3", "ls"), call("c4", "rm"));
}

TEST_F(OpencodeV2Test, ASubAgentsSessionIsNotTheConversation) {
  EXPECT_EQ(names("session.created", {{"sessionID", "ses_1"}}), Names{"session_learned ses_1"});
  EXPECT_EQ(names("session.created", {{"sessionID", "ses_2"}, {"parentID", "ses_1"}}), Names{});
  EXPECT_EQ(state_.session(), "ses_1");
}

TEST_F(OpencodeV2Test, WhatIsMissingOrStrangeIsNoState) {
  for (const std::string_view type :
       {"session.execution.started", "session.retry.scheduled", "permission.asked", "form.created",
        "session.tool.called", "session.created", "session.rain"}) {
    for (const json& data : {json(), json(7), json::array({1}), json::object(), json{{"form", 3}},
                             json{{"sessionID", 7}, {"error", "x"}, {"at", "soon"}}}) {
      EXPECT_EQ(names(type, data), Names{}) << type << data;
    }
  }
}

}  // namespace
}  // namespace agentmesh::agents
