#include "agents/opencode_turn.h"

#include "base/json.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {
namespace {

using nlohmann::json;

constexpr std::int64_t kEnd = 1'795'297'432'835;

// The newest message as version 1 lists it: an answer that ended well, with changes.
json answer(const json& changes = json::object()) {
  json info{{"id", "msg_2"},
            {"sessionID", "ses_1"},
            {"role", "assistant"},
            {"parentID", "msg_1"},
            {"time", {{"created", kEnd - 5'000}, {"completed", kEnd}}},
            {"finish", "stop"}};
  info.merge_patch(changes);
  return json::array({{{"info", std::move(info)}, {"parts", json::array()}}});
}

std::optional<Signal> end_of(const json& messages) { return opencode_last_end(dump_json(messages)); }

json api_error(std::string_view message, int status) {
  return {{"error", {{"name", "APIError"}, {"data", {{"message", message}, {"statusCode", status}}}}}};
}

TEST(OpencodeTurn, AnAnswerThatIsCompleteIsATurnsEndAtItsTime) {
  const auto end = end_of(answer());
  ASSERT_TRUE(end);
  EXPECT_EQ(*end, (Signal{.kind = SignalKind::turn_ended, .source = "http", .at = WallTime{Millis{kEnd}}}));
  EXPECT_TRUE(end_of(answer({{"finish", "length"}})));
  json null_error = answer();
  null_error[0]["info"]["error"] = nullptr;
  EXPECT_TRUE(end_of(null_error));
}

TEST(OpencodeTurn, TheLastOfAListIsTheNewest) {
  json list = json::array({answer({{"role", "user"}})[0], answer()[0]});
  EXPECT_TRUE(end_of(list));
  std::swap(list[0], list[1]);
  EXPECT_FALSE(end_of(list));
}

TEST(OpencodeTurn, AnErrorIsATurnThatFailed) {
  auto end = end_of(answer(api_error("the server\nis broken", 500)));
  ASSERT_TRUE(end);
  EXPECT_EQ(end->kind, SignalKind::turn_failed);
  EXPECT_EQ(end->detail, "the server is broken");
  EXPECT_EQ(end->at, WallTime{Millis{kEnd}});
  end = end_of(answer({{"error", {{"name", "MessageOutputLengthError"}}}, {"finish", nullptr}}));
  ASSERT_TRUE(end);
  EXPECT_EQ(end->detail, "MessageOutputLengthError");
}

TEST(OpencodeTurn, WhereItIsNotCertainItSaysNothing) {
  const std::vector<std::pair<const char*, json>> cases{
      {"no turn ever", json::array()},
      {"it runs", answer({{"time", {{"completed", nullptr}}}})},
      {"a person's is the newest", answer({{"role", "user"}})},
      {"the model is asked again with what a tool said", answer({{"finish", "tool-calls"}})},
      {"perhaps it is", answer({{"finish", "unknown"}})},
      {"nothing says that it was the last step", answer({{"finish", nullptr}})},
      {"a summary is no turn", answer({{"summary", true}})},
      {"interrupted", answer({{"error", {{"name", "MessageAbortedError"}}}})},
      {"a usage limit", answer(api_error("Rate limit exceeded", 429))},
      {"a limit without a number", answer(api_error("You have reached your usage limit", 400))},
      {"a missing login", answer(api_error("no key", 401))},
      {"another missing login", answer({{"error", {{"name", "ProviderAuthError"}}}})},
      {"an error of a wrong type", answer({{"error", 7}})},
      {"a time of a wrong type", answer({{"time", {{"completed", "now"}}}})},
      {"a time before all times", answer({{"time", {{"completed", -1}}}})},
      {"a time after all times", answer({{"time", {{"completed", std::uint64_t{1} << 63U}}}})},
      {"no times", answer({{"time", 5}})},
      {"a role of a wrong type", answer({{"role", json::array({"assistant"})}})},
      {"info of a wrong type", json::array({{{"info", 7}}})},
      {"a message of a wrong type", json::array({"assistant"})},
      {"an object", {{"name", "NotFoundError"}}},
      {"nothing", nullptr},
  };
  for (const auto& [what, messages] : cases) EXPECT_FALSE(end_of(messages)) << what;
  EXPECT_FALSE(opencode_last_end(""));
  EXPECT_FALSE(opencode_last_end("<html>"));
}

TEST(OpencodeTurn, ALargeAnswerIsReadAndOneBeyondTheLimitSaysNothing) {
  json large = answer();
  large[0]["parts"] = json::array({{{"type", "text"}, {"text", std::string(kMaxJsonBytes / 2, 'x')}}});
  EXPECT_TRUE(end_of(large));
  large[0]["parts"][0]["text"] = std::string(kMaxJsonBytes, 'x');
  EXPECT_FALSE(end_of(large));
  large[0]["parts"] = json(std::vector<int>(200'000, 1));
  EXPECT_FALSE(end_of(large));
}

TEST(OpencodeTurn, VersionTwoSaysTheSameInItsOwnForm) {
  const auto page = [](const json& changes) {
    json message{{"id", "msg_2"},
                 {"type", "assistant"},
                 {"time", {{"created", kEnd - 5'000}, {"completed", kEnd}}},
                 {"content", json::array()},
                 {"finish", "stop"}};
    message.merge_patch(changes);
    return json{{"data", json::array({std::move(message)})}};
  };
  const auto end = end_of(page(json::object()));
  ASSERT_TRUE(end);
  EXPECT_EQ(end->kind, SignalKind::turn_ended);
  EXPECT_EQ(end->at, WallTime{Millis{kEnd}});
  for (const json& error : {json("it broke"), json{{"type", "unknown"}, {"message", "it broke"}}}) {
    const auto failed = end_of(page({{"error", error}, {"finish", "error"}}));
    ASSERT_TRUE(failed);
    EXPECT_EQ(failed->kind, SignalKind::turn_failed);
    EXPECT_EQ(failed->detail, "it broke");
  }
  EXPECT_FALSE(end_of(page({{"error", {{"type", "aborted"}, {"message", "Step interrupted"}}}})));
  EXPECT_FALSE(end_of(page({{"type", "user"}})));
  EXPECT_FALSE(end_of(page({{"type", "compaction"}})));
  json two = page(json::object());
  two["data"].push_back(two["data"][0]);
  EXPECT_FALSE(end_of(two)) << "in which order they are is not known";
  EXPECT_FALSE(end_of({{"data", 7}}));
}

}  // namespace
}  // namespace agentmesh::agents
