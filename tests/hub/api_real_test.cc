// The hub's routes over real HTTP on loopback.
#include "base/text.h"
#include "tests/hub/hub_fixture.h"

#include <fstream>
#include <set>

namespace agentmesh::hub {
namespace {

using nlohmann::json;

class ApiTest : public HubFixture {
 protected:
  ApiTest() { start_hub(); }

  std::string registered(std::string name) {
    const auto answer = ask("POST", "/v1/agents/register",
                            dump_json({{"name", name}, {"host", "h1"}, {"runner", "codex"}, {"model", "m"}}));
    EXPECT_EQ(answer.status, 200) << answer.body;
    token_ = answer.body.value("token", "");
    return answer.body.value("agent_id", "");
  }
  Answer post(json item) { return ask("POST", "/v1/inbox", dump_json(item)); }
  std::string posted(std::string to) { return post({{"to", to}, {"title", "t"}}).body.value("id", ""); }
};

TEST_F(ApiTest, HealthAndReadinessNeedNoKey) {
  EXPECT_EQ(ask("GET", "/healthz", "", "nonsense").status, 200);
  EXPECT_EQ(ask("GET", "/readyz", "", "nonsense").status, 200);
}

TEST_F(ApiTest, EverythingElseNeedsAKey) {
  for (const auto& [method, target] :
       std::vector<std::pair<std::string, std::string>>{{"GET", "/v1/whoami"},
                                                        {"POST", "/v1/agents/register"},
                                                        {"POST", "/v1/agents/a/heartbeat"},
                                                        {"POST", "/v1/sync"},
                                                        {"GET", "/v1/agents"},
                                                        {"POST", "/v1/inbox"},
                                                        {"GET", "/v1/inbox"},
                                                        {"GET", "/v1/inbox/i"},
                                                        {"POST", "/v1/inbox/i/ack"},
                                                        {"POST", "/v1/inbox/i/done"},
                                                        {"POST", "/v1/inbox/i/retry"}}) {
    for (const std::string& key :
         {std::string(""), std::string("amk_0"), new_key().reveal(), std::string(300, 'a')}) {
      const auto answer = ask(method, target, method == "POST" ? "{}" : "", key);
      EXPECT_EQ(answer.status, 401) << target;
      EXPECT_EQ(answer.body["error"]["code"], "denied");
    }
  }
  EXPECT_EQ(ask("GET", "/v1/whoami").body["role"], "admin");
  EXPECT_EQ(ask("GET", "/v1/whoami").body["tenant"], "default");
}

TEST_F(ApiTest, NoKeyIsInTheDatabase) {
  registered("dev");
  store_->sweep(clock_.now());
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    if (entry.path().filename() == "hub.key") continue;
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    EXPECT_EQ(bytes.find(key_.reveal()), std::string::npos) << entry.path();
    EXPECT_EQ(bytes.find(token_), std::string::npos) << entry.path();
  }
}

TEST_F(ApiTest, RegisterHeartbeatAndList) {
  const std::string id = registered("dev");
  EXPECT_EQ(registered("dev"), id);
  const json state{{"version", 3}, {"status", "busy"}, {"status_since", to_rfc3339(clock_.now())}};
  const auto beat = ask("POST", "/v1/agents/" + id + "/heartbeat", dump_json(state));
  EXPECT_EQ(beat.status, 200);
  EXPECT_EQ(beat.body["version"], 3);
  const auto agents = ask("GET", "/v1/agents");
  ASSERT_EQ(agents.body["agents"].size(), 1U);
  EXPECT_EQ(agents.body["agents"][0]["status"], "busy");
  EXPECT_EQ(agents.body["next"], nullptr);
  EXPECT_EQ(ask("POST", "/v1/agents/agt_no/heartbeat", dump_json(state)).status, 404);
  EXPECT_EQ(ask("GET", "/v1/agents?limit=1").body["next"], id);
  EXPECT_TRUE(ask("GET", "/v1/agents?limit=1&after=" + id).body["agents"].empty());
}

TEST_F(ApiTest, AnAgentsTokenSeesItsOwnThingsAlone) {
  const std::string other = registered("other");
  const std::string others_item = posted("other");
  const std::string mine = registered("mine");
  const std::string item = posted("mine");
  const json state{{"version", 1}, {"status", "busy"}, {"status_since", to_rfc3339(clock_.now())}};
  EXPECT_EQ(ask("GET", "/v1/whoami", "", token_).body["agent_id"], mine);
  EXPECT_EQ(ask("GET", "/v1/inbox/" + item, "", token_).status, 200);
  EXPECT_EQ(ask("GET", "/v1/inbox/" + others_item, "", token_).status, 404);
  EXPECT_EQ(ask("POST", "/v1/inbox/" + others_item + "/done", "{}", token_).status, 404);
  EXPECT_EQ(ask("POST", "/v1/inbox/" + item + "/ack", "{}", token_).status, 403);
  EXPECT_EQ(ask("POST", "/v1/inbox", R"({"to":"other","title":"x"})", token_).status, 403);
  EXPECT_EQ(ask("GET", "/v1/agents", "", token_).status, 403);
  EXPECT_EQ(ask("POST", "/v1/agents/" + other + "/heartbeat", dump_json(state), token_).status, 404);
  EXPECT_EQ(ask("POST", "/v1/agents/" + mine + "/heartbeat", dump_json(state), token_).status, 200);
  const auto list = ask("GET", "/v1/inbox?agent=other", "", token_).body["items"];
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0]["id"], item);
  EXPECT_EQ(ask("POST", "/v1/inbox/" + item + "/done", R"({"reason":"finished"})", token_).body["state"],
            "done");
}

TEST_F(ApiTest, ATokenEndsUnlessAHeartbeatRenewsIt) {
  const std::string id = registered("dev");
  const json state{{"version", 1}, {"status", "idle"}, {"status_since", to_rfc3339(clock_.now())}};
  clock_.advance(std::chrono::hours(23));
  EXPECT_EQ(ask("POST", "/v1/agents/" + id + "/heartbeat", dump_json(state)).status, 200);
  clock_.advance(std::chrono::hours(23));
  EXPECT_EQ(ask("GET", "/v1/whoami", "", token_).status, 200);
  clock_.advance(std::chrono::hours(2));
  EXPECT_EQ(ask("GET", "/v1/whoami", "", token_).status, 401);
}

TEST_F(ApiTest, AnItemsWay) {
  registered("dev");
  const auto created = post({{"to", "dev"}, {"title", "Fix"}, {"body", "all of it"}, {"priority", "high"}});
  ASSERT_EQ(created.status, 201) << created.body;
  const std::string path = "/v1/inbox/" + created.body.value("id", "");
  EXPECT_EQ(created.body["state"], "queued");
  EXPECT_EQ(ask("GET", path).body, created.body);
  EXPECT_EQ(ask("GET", "/v1/inbox?agent=dev&state=queued").body["items"].size(), 1U);
  EXPECT_EQ(ask("POST", path + "/ack").body["state"], "pushed");
  EXPECT_EQ(ask("POST", path + "/ack").body["state"], "pushed");
  EXPECT_EQ(ask("POST", path + "/delivered", R"({"attempt":1})").body["state"], "delivered");
  EXPECT_EQ(ask("POST", path + "/failed", R"({"attempt":1,"reason":"cannot"})").body["reason"], "cannot");
  EXPECT_EQ(ask("POST", path + "/done", R"({"attempt":1})").status, 409);
  EXPECT_EQ(ask("POST", path + "/retry").body["attempt"], 2);
  EXPECT_EQ(ask("POST", path + "/done", R"({"attempt":2})").body["state"], "done");
  EXPECT_EQ(ask("POST", path + "/retry").status, 409);
  EXPECT_TRUE(ask("GET", "/v1/inbox?state=queued").body["items"].empty());
  EXPECT_EQ(ask("GET", "/v1/inbox/itm_no").status, 404);
  EXPECT_EQ(ask("POST", "/v1/inbox/itm_no/done").status, 404);
}

TEST_F(ApiTest, ARepeatedKeyIsTheSameItemAndAnotherBodyIs409) {
  registered("dev");
  json item{{"to", "dev"}, {"title", "t"}, {"body", "one"}, {"idempotency_key", "k"}};
  const auto first = post(item);
  const auto second = post(item);
  EXPECT_EQ(first.status, 201);
  EXPECT_EQ(second.status, 200);
  EXPECT_EQ(first.body["id"], second.body["id"]);
  item["body"] = "two";
  EXPECT_EQ(post(item).status, 409);
  restart_hub();
  EXPECT_EQ(post(item).status, 409);
  EXPECT_EQ(ask("GET", "/v1/inbox").body["items"].size(), 1U);
}

TEST_F(ApiTest, PagesOfItems) {
  registered("dev");
  for (int i = 0; i < 5; ++i) posted("dev");
  std::vector<std::string> ids;
  std::string after = "0";
  for (int pages = 0; pages < 5; ++pages) {
    const auto page = ask("GET", "/v1/inbox?limit=2&after=" + after).body;
    for (const auto& item : page["items"]) ids.push_back(item["id"]);
    if (page["next"].is_null()) break;
    after = std::to_string(page["next"].get<int>());
  }
  EXPECT_EQ(ids.size(), 5U);
  EXPECT_EQ(std::set(ids.begin(), ids.end()).size(), 5U);
}

TEST_F(ApiTest, AnyIsClaimedWhenAnAgentIsIdle) {
  const std::string id = registered("dev");
  const std::string item = posted("any");
  EXPECT_EQ(ask("GET", "/v1/inbox/" + item).body["agent_id"], "");
  const json state{{"version", 1}, {"status", "idle"}, {"status_since", to_rfc3339(clock_.now())}};
  ask("POST", "/v1/agents/" + id + "/heartbeat", dump_json(state));
  EXPECT_EQ(ask("GET", "/v1/inbox/" + item).body["agent_id"], id);
}

TEST_F(ApiTest, ItemsExpire) {
  registered("dev");
  const std::string item = posted("dev");
  clock_.advance(std::chrono::minutes(31));
  EXPECT_TRUE(soon([&] { return store_->get_item("default", item)->state == ItemState::expired; }));
}

TEST_F(ApiTest, BadBodiesAreRefusedByName) {
  registered("dev");
  const auto refused = [&](std::string body) { return ask("POST", "/v1/inbox", std::move(body)).status; };
  EXPECT_EQ(refused(""), 400);
  EXPECT_EQ(refused("{"), 400);
  EXPECT_EQ(refused("[]"), 400);
  EXPECT_EQ(refused("null"), 400);
  EXPECT_EQ(refused(R"({"to":"dev"})"), 400);
  EXPECT_EQ(refused(R"({"to":"dev","title":1})"), 400);
  EXPECT_EQ(refused(R"({"to":"dev","title":"t","extra":1})"), 400);
  EXPECT_EQ(refused("{\"to\":\"dev\",\"title\":\"\xff\xfe\"}"), 400);
  EXPECT_EQ(refused(R"({"to":"dev","title":"\ud800"})"), 400);
  EXPECT_EQ(refused(R"({"to":"dev","title":"t","ttl_s":1e99})"), 400);
  EXPECT_EQ(refused(R"({"to":"dev","title":"t","ttl_s":99999999999999999999})"), 400);
  EXPECT_EQ(refused(std::string(200'000, '[')), 413);
  EXPECT_EQ(refused(R"({"to":"dev","title":"t","body":)" + std::string(100'000, '[')), 413);
  EXPECT_EQ(refused(std::string(1024 * 1024, ' ')), 400);
  EXPECT_EQ(
      refused(dump_json({{"to", "dev"}, {"title", "t"}, {"body", std::string(kMaxItemBodyBytes + 1, 'x')}})),
      413);
  EXPECT_EQ(
      refused(dump_json({{"to", "dev"}, {"title", "t"}, {"body", std::string(kMaxItemBodyBytes, 'x')}})),
      201);
  EXPECT_EQ(ask("GET", "/v1/inbox?state=lost").status, 400);
  EXPECT_EQ(ask("GET", "/v1/inbox?limit=501").status, 400);
  EXPECT_EQ(ask("GET", "/v1/inbox?limit=-1").status, 400);
  EXPECT_EQ(ask("GET", "/v1/inbox?stat=queued").status, 400);
  EXPECT_EQ(ask("GET", "/v1/inbox?agent=nobody").status, 404);
  EXPECT_EQ(ask("DELETE", "/v1/inbox").status, 405);
  EXPECT_EQ(ask("GET", "/v2/inbox").status, 404);
}

TEST_F(ApiTest, ABodyOverTheLimitIs413) {
  const auto client = test::RawClient::tcp(io_, options_.port);
  client->send(fmt::format(
      "POST /v1/inbox HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
      key_.reveal(), 1024 * 1024 + 1));
  ASSERT_TRUE(soon([&] { return client->has("\r\n\r\n"); }));
  EXPECT_EQ(client->status(), 413);
}

TEST_F(ApiTest, HalfARequestDoesNothing) {
  registered("dev");
  const auto client = test::RawClient::tcp(io_, options_.port);
  client->send(fmt::format(
      "POST /v1/inbox HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 100\r\n\r\n"
      R"({{"to":"dev","title":"t"}})",
      key_.reveal()));
  io_.poll();
  client->close();
  EXPECT_TRUE(ask("GET", "/v1/inbox").body["items"].empty());
}

class LimitedTest : public HubFixture {};

TEST_F(LimitedTest, AKeyHasItsRate) {
  options_.rate = {.per_second = 1, .burst = 3};
  start_hub();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask("GET", "/v1/whoami").status, 200);
  const auto refused = ask("GET", "/v1/whoami");
  EXPECT_EQ(refused.status, 429);
  EXPECT_TRUE(std::ranges::any_of(refused.headers,
                                  [](const auto& h) { return h.name == "retry-after" && h.value == "1"; }));
  clock_.advance(Millis{1'000});
  EXPECT_EQ(ask("GET", "/v1/whoami").status, 200);
}

TEST_F(LimitedTest, BeyondLoopbackNeedsAKeyAndConsent) {
  store_ = open_sqlite_store(database()).value();
  options_.address = "0.0.0.0";
  HubServer keyless(io_, *store_, clock_, options_);
  EXPECT_EQ(keyless.start().error().code, ErrorCode::denied);
  ASSERT_TRUE(ensure_admin_key(*store_, folder_ / "hub.key", clock_.now()));
  HubServer in_clear(io_, *store_, clock_, options_);
  const auto refused = in_clear.start();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::denied);
  EXPECT_NE(refused.error().hint.find("--insecure"), std::string::npos);
  options_.address = "localhost";
  HubServer named(io_, *store_, clock_, options_);
  EXPECT_FALSE(named.start());
}

TEST_F(LimitedTest, ATakenPortIsAConflict) {
  start_hub();
  HubServer second(io_, *store_, clock_, options_);
  EXPECT_EQ(second.start().error().code, ErrorCode::conflict);
}

}  // namespace
}  // namespace agentmesh::hub
