#include "hub/protocol.h"

#include "base/json.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::hub {
namespace {

using nlohmann::json;

const WallTime kThen = from_millis(1'700'000'000'123);

json good_item() {
  return {{"to", "dev"}, {"title", "Fix it"}, {"body", "all\nof it"}, {"priority", "high"}, {"ttl_s", 60}};
}

// The error of decoding `good` with one member set to `value`.
template <class From>
Error error_with(json good, std::string_view name, json value, From from) {
  good[std::string(name)] = std::move(value);
  const auto decoded = from(good);
  EXPECT_FALSE(decoded) << name;
  return decoded ? Error{} : decoded.error();
}

TEST(Protocol, ANewItemGoesThereAndBack) {
  const NewItem item{.to = "any",
                     .runner = "claude",
                     .title = "t",
                     .body = "b\n\"ü\"",
                     .priority = Priority::urgent,
                     .ttl_s = 5,
                     .issue_id = "iss_1",
                     .repo = "https://x/y.git",
                     .ref = "main",
                     .idempotency_key = "k"};
  const auto back = new_item_from(to_json(item));
  ASSERT_TRUE(back) << describe(back.error());
  EXPECT_EQ(to_json(*back), to_json(item));
}

TEST(Protocol, AnItemGoesThereAndBackWithItsTimes) {
  const InboxItem item{.id = "itm_1",
                       .seq = 7,
                       .to = "dev",
                       .agent_id = "agt_1",
                       .title = "t",
                       .body = "b",
                       .ttl_s = 60,
                       .repo = "r",
                       .state = ItemState::delivered,
                       .attempt = 2,
                       .reason = "because",
                       .created_at = kThen,
                       .expires_at = kThen + Millis{60'000},
                       .pushed_at = kThen + Millis{1},
                       .delivered_at = kThen + Millis{2}};
  const auto back = inbox_item_from(to_json(item));
  ASSERT_TRUE(back) << describe(back.error());
  EXPECT_EQ(to_json(*back), to_json(item));
  EXPECT_EQ(back->pushed_at, kThen + Millis{1});
  EXPECT_FALSE(back->done_at);
}

TEST(Protocol, TheRestGoesThereAndBack) {
  const Registration registration{.name = "dev", .host = "h", .runner = "codex", .agent_id = "agt_1"};
  EXPECT_EQ(to_json(registration_from(to_json(registration)).value()), to_json(registration));
  const Registered registered{.agent_id = "agt_1", .token = "amk_x", .expires_at = kThen, .again = true};
  EXPECT_EQ(to_json(registered_from(to_json(registered)).value()), to_json(registered));
  const AgentState state{
      .agent_id = "agt_1", .version = 3, .status = "idle", .status_since = kThen, .reason = "r"};
  EXPECT_EQ(to_json(agent_state_from(to_json(state), "agt_1").value()), to_json(state));
  const Sync sync{.host = "h",
                  .agents = {state, state},
                  .reports = {{.item_id = "i", .attempt = 2, .state = ItemState::done, .reason = "r"}}};
  EXPECT_EQ(to_json(sync_from(to_json(sync)).value()), to_json(sync));
  const SyncAnswer answer{.agents = {{.agent_id = "a", .before = 1, .version = 2, .expires_at = kThen}},
                          .unknown = {"b"},
                          .refused = {{.item_id = "i", .code = ErrorCode::conflict, .message = "m"}}};
  EXPECT_EQ(to_json(sync_answer_from(to_json(answer)).value()), to_json(answer));
  const AgentInfo info{.agent_id = "agt_1",
                       .name = "dev",
                       .host = "h",
                       .runner = "codex",
                       .state = state,
                       .registered_at = kThen,
                       .seen_at = kThen};
  EXPECT_EQ(to_json(agent_info_from(to_json(info)).value()), to_json(info));
  const Hello hello{.hub_id = "hub_1", .seq = 4, .fresh = true};
  EXPECT_EQ(to_json(hello_from(to_json(hello)).value()), to_json(hello));
  const Identity identity{.tenant = "t", .role = Role::operator_};
  EXPECT_EQ(to_json(identity_from(to_json(identity)).value()), to_json(identity));
  const HeartbeatAnswer beat{.version = 3, .expires_at = kThen};
  EXPECT_EQ(to_json(heartbeat_answer_from(to_json(beat)).value()), to_json(beat));
}

TEST(Protocol, AFrameGoesThereAndBack) {
  const Frame frame{.seq = 12, .type = "assignment", .at = kThen, .data = R"({"a":[1,"x"]})"};
  const auto back = frame_from(frame_text(frame));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->seq, 12);
  EXPECT_EQ(back->type, "assignment");
  EXPECT_EQ(back->at, kThen);
  EXPECT_EQ(back->data, frame.data);
}

TEST(Protocol, WhatIsMissingHasItsDefault) {
  const auto item = new_item_from({{"to", "dev"}, {"title", "t"}, {"ttl_s", nullptr}});
  ASSERT_TRUE(item);
  EXPECT_EQ(item->priority, Priority::normal);
  EXPECT_EQ(item->body, "");
  EXPECT_FALSE(item->ttl_s);
  EXPECT_FALSE(item->idempotency_key);
  EXPECT_TRUE(registration_from({{"name", "a"}, {"host", "h"}, {"runner", "r"}})->restore_context);
}

TEST(Protocol, AnUnknownFieldOfARequestIsNamedWithTheNearest) {
  const Error error = error_with(good_item(), "prioriti", "x", new_item_from);
  EXPECT_EQ(error.code, ErrorCode::invalid);
  EXPECT_NE(error.what.find("'prioriti'"), std::string::npos);
  EXPECT_NE(error.hint.find("priority"), std::string::npos);
}

TEST(Protocol, AnUnknownFieldOfAnAnswerIsSkipped) {
  json answer = to_json(Hello{.hub_id = "h", .seq = 1});
  answer["later"] = json::array();
  EXPECT_TRUE(hello_from(answer));
}

TEST(Protocol, WrongTypesNameTheField) {
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, json>>{{"to", 7},
                                                 {"title", json::array()},
                                                 {"body", json::object()},
                                                 {"priority", 1},
                                                 {"ttl_s", "60"},
                                                 {"ttl_s", 1.5},
                                                 {"ttl_s", true},
                                                 {"ttl_s", std::uint64_t{1} << 63U},
                                                 {"repo", false},
                                                 {"runner", 1}}) {
    const Error error = error_with(good_item(), name, value, new_item_from);
    EXPECT_EQ(error.code, ErrorCode::invalid) << name;
    EXPECT_NE(error.what.find('\'' + name + '\''), std::string::npos) << error.what;
  }
}

TEST(Protocol, WhatIsNotAnObjectIsRefused) {
  for (const json& value : {json(nullptr), json(1), json("x"), json::array({1}), json(true)}) {
    EXPECT_FALSE(new_item_from(value));
    EXPECT_FALSE(registration_from(value));
    EXPECT_FALSE(sync_from(value));
    EXPECT_FALSE(item_report_from(value, "itm_1", ItemState::done));
  }
}

TEST(Protocol, ValuesOutOfTheirLimitsAreRefused) {
  EXPECT_EQ(error_with(good_item(), "title", "", new_item_from).code, ErrorCode::invalid);
  EXPECT_EQ(error_with(good_item(), "to", nullptr, new_item_from).code, ErrorCode::invalid);
  EXPECT_EQ(error_with(good_item(), "title", std::string(kMaxTitleBytes + 1, 'a'), new_item_from).code,
            ErrorCode::exhausted);
  EXPECT_EQ(error_with(good_item(), "body", std::string(kMaxItemBodyBytes + 1, 'a'), new_item_from).code,
            ErrorCode::exhausted);
  EXPECT_EQ(error_with(good_item(), "title", "two\nlines", new_item_from).code, ErrorCode::invalid);
  EXPECT_EQ(error_with(good_item(), "ttl_s", 0, new_item_from).code, ErrorCode::invalid);
  EXPECT_EQ(error_with(good_item(), "ttl_s", kMaxTtlSeconds + 1, new_item_from).code, ErrorCode::invalid);
  EXPECT_EQ(error_with(good_item(), "priority", "huge", new_item_from).code, ErrorCode::invalid);
  EXPECT_EQ(error_with(good_item(), "runner", "codex", new_item_from).code, ErrorCode::invalid);
  json item = good_item();
  item["body"] = std::string(kMaxItemBodyBytes, 'a');
  EXPECT_TRUE(new_item_from(item));
}

TEST(Protocol, TextThatIsNotUtf8IsRefused) {
  EXPECT_EQ(error_with(good_item(), "body", "\xc3\x28", new_item_from).code, ErrorCode::invalid);
  EXPECT_FALSE(parse_json("{\"to\":\"\xff\"}", "hub"));
}

TEST(Protocol, NamesOfAgentsAreChecked) {
  const json good{{"name", "dev"}, {"host", "h"}, {"runner", "codex"}};
  EXPECT_TRUE(registration_from(good));
  for (const std::string_view name : {"any", "Dev", "../x", "a b", ""}) {
    EXPECT_EQ(error_with(good, "name", name, registration_from).code, ErrorCode::invalid) << name;
  }
  for (const std::string_view id : {"A", "a-b", "a/b", "'"}) {
    EXPECT_EQ(error_with(good, "agent_id", id, registration_from).code, ErrorCode::invalid) << id;
  }
}

TEST(Protocol, AStateOfAnotherAgentThanThePathsIsRefused) {
  json state{{"version", 1}, {"status", "idle"}, {"status_since", to_rfc3339(kThen)}};
  EXPECT_TRUE(agent_state_from(state, "agt_1"));
  state["agent_id"] = "agt_2";
  EXPECT_FALSE(agent_state_from(state, "agt_1"));
  EXPECT_EQ(error_with(state, "status_since", "yesterday",
                       [](const json& value) { return agent_state_from(value, "agt_2"); })
                .code,
            ErrorCode::invalid);
}

TEST(Protocol, ASyncHasALimit) {
  const AgentState state{.agent_id = "agt_1", .version = 1, .status = "idle", .status_since = kThen};
  Sync sync{.host = "h", .agents = std::vector<AgentState>(kMaxSyncAgents, state)};
  EXPECT_TRUE(sync_from(to_json(sync)));
  sync.agents.push_back(state);
  EXPECT_EQ(sync_from(to_json(sync)).error().code, ErrorCode::exhausted);
}

TEST(Protocol, AReportOfASyncSaysWhatAHostCanSay) {
  const auto with = [](std::string_view state) {
    return sync_from(
        {{"host", "h"}, {"agents", json::array()}, {"reports", {{{"item_id", "i"}, {"state", state}}}}});
  };
  EXPECT_EQ(with("delivered")->reports.at(0).state, ItemState::delivered);
  EXPECT_EQ(with("delivered")->reports.at(0).attempt, 0);
  EXPECT_FALSE(with("queued"));
  EXPECT_FALSE(with("expired"));
  EXPECT_FALSE(with(""));
}

// The largest sync the client makes is within a body's limit.
TEST(Protocol, AFullSyncFitsABody) {
  const std::string reason(kMaxReasonBytes, '\n');
  const AgentState state{.agent_id = std::string(64, 'a'),
                         .version = INT64_MAX,
                         .status = "waiting_permission",
                         .status_since = kThen,
                         .reason = reason};
  const ItemReport report{
      .item_id = std::string(64, 'i'), .attempt = INT64_MAX, .state = ItemState::delivered, .reason = reason};
  const Sync sync{.host = std::string(kMaxFieldBytes, 'h'),
                  .agents = std::vector<AgentState>(kMaxSyncAgents, state),
                  .reports = std::vector<ItemReport>(kMaxSyncReports, report)};
  EXPECT_LT(dump_json(to_json(sync)).size(), kMaxJsonBytes);
  EXPECT_TRUE(sync_from(to_json(sync)));
}

TEST(Protocol, FramesThatAreNoFramesAreRefused) {
  const std::string good = frame_text({.seq = 1, .type = "inbox", .at = kThen, .data = "{}"});
  for (std::size_t length = 0; length < good.size(); ++length)
    EXPECT_FALSE(frame_from(good.substr(0, length)));
  EXPECT_FALSE(frame_from(std::string(100'000, '[')));
  EXPECT_FALSE(frame_from(R"({"seq":-1,"type":"x","at":"2026-01-01T00:00:00Z","data":1})"));
  EXPECT_FALSE(frame_from(R"({"seq":1,"type":"","at":"2026-01-01T00:00:00Z","data":1})"));
}

TEST(Protocol, EveryNameIsKnownBothWays) {
  for (const auto state : {ItemState::queued, ItemState::pushed, ItemState::delivered, ItemState::done,
                           ItemState::failed, ItemState::expired}) {
    EXPECT_EQ(item_state_from(to_string(state)), state);
  }
  for (const auto priority : {Priority::low, Priority::normal, Priority::high, Priority::urgent}) {
    EXPECT_EQ(priority_from(to_string(priority)), priority);
  }
  for (const auto role : {Role::agent, Role::operator_, Role::admin})
    EXPECT_EQ(role_from(to_string(role)), role);
  EXPECT_FALSE(item_state_from("ack"));
}

}  // namespace
}  // namespace agentmesh::hub
