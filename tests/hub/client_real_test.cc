// The daemon's client against the hub, over real HTTP and WebSockets on loopback.
#include "net/websocket.h"
#include "tests/hub/hub_fixture.h"

#include <random>

namespace agentmesh::hub {
namespace {

using nlohmann::json;

class ClientTest : public HubFixture {
 protected:
  ClientTest() { start_hub(); }

  InboxItem posted(std::string to, Priority priority = Priority::normal) {
    const auto answer = ask(
        "POST", "/v1/inbox",
        dump_json(to_json(NewItem{.to = std::move(to), .title = "t", .body = "b", .priority = priority})));
    EXPECT_EQ(answer.status, 201) << answer.body;
    return inbox_item_from(answer.body).value_or(InboxItem{});
  }
  ItemState state_of(const std::string& id) { return store_->get_item("default", id)->state; }
  std::shared_ptr<net::WebSocket> stream(std::string query) {
    const auto socket = wait_for(net::connect_websocket(url() + "/v1/stream" + query,
                                                        {{"Authorization", "Bearer " + key_.reveal()}}, {}));
    EXPECT_TRUE(socket) << describe(socket.error());
    return socket.value_or(nullptr);
  }
  Frame next(const std::shared_ptr<net::WebSocket>& from) {
    const auto text = wait_for(from->receive());
    EXPECT_TRUE(text) << describe(text.error());
    return text ? frame_from(*text).value() : Frame{};
  }
};

TEST_F(ClientTest, AnAssignmentIsPushedKeptAndAcknowledged) {
  FakeJournal journal;
  HubClient& client = add_client(journal);
  const std::string agent = add_agent(client, "dev");
  ASSERT_TRUE(soon([&] { return client.connected(); }));
  const auto item = wait_for(client.post_item({.to = "dev", .title = "Fix", .body = "all of it"}));
  ASSERT_TRUE(item) << describe(item.error());
  ASSERT_TRUE(soon([&] { return state_of(item->id) == ItemState::pushed; }));
  const InboxItem& kept = journal.items.at(item->id + "/1");
  EXPECT_EQ(kept.body, "all of it");
  EXPECT_EQ(kept.agent_id, agent);
  ASSERT_TRUE(client.report({.item_id = item->id, .state = ItemState::delivered}));
  ASSERT_TRUE(soon([&] { return journal.reported[item->id] == "delivered"; }));
  EXPECT_EQ(state_of(item->id), ItemState::delivered);
}

TEST_F(ClientTest, WhatTheJournalRefusedIsPushedAgain) {
  FakeJournal journal;
  journal.disk_full = true;
  HubClient& client = add_client(journal);
  add_agent(client, "dev");
  const auto item = posted("dev");
  ASSERT_TRUE(soon([&] { return client.connected(); }));
  ASSERT_TRUE(soon([&] { return !client.connected(); }));
  EXPECT_EQ(state_of(item.id), ItemState::queued);
  journal.disk_full = false;
  EXPECT_TRUE(soon([&] { return state_of(item.id) == ItemState::pushed; }));
}

TEST_F(ClientTest, WaitingItemsComeInOrderOfPriority) {
  FakeJournal journal;
  HubClient& client = add_client(journal);
  add_agent(client, "dev");
  client.stop();
  io_.poll();
  const auto low = posted("dev", Priority::low);
  const auto first = posted("dev");
  const auto urgent = posted("dev", Priority::urgent);
  const auto second = posted("dev");
  const auto peer = stream("?host=h1");
  EXPECT_EQ(next(peer).type, "hello");
  std::vector<std::string> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(parse_json(next(peer).data, "test")->value("id", ""));
  EXPECT_EQ(ids, (std::vector<std::string>{urgent.id, first.id, second.id, low.id}));
}

TEST_F(ClientTest, AHostGetsItsOwnAgentsAssignmentsAlone) {
  FakeJournal one;
  FakeJournal two;
  HubClient& first = add_client(one, "h1");
  HubClient& second = add_client(two, "h2");
  add_agent(first, "a", "h1");
  add_agent(second, "b", "h2");
  const auto for_a = posted("a");
  const auto for_b = posted("b");
  ASSERT_TRUE(soon([&] { return one.items.size() == 1 && two.items.size() == 1; }));
  EXPECT_TRUE(one.items.contains(for_a.id + "/1"));
  EXPECT_TRUE(two.items.contains(for_b.id + "/1"));
}

TEST_F(ClientTest, AHubThatWasAwayIsCaughtUpWith) {
  FakeJournal journal;
  HubClient& client = add_client(journal);
  const std::string agent = add_agent(client, "dev");
  const auto item = posted("dev");
  ASSERT_TRUE(soon([&] { return state_of(item.id) == ItemState::pushed; }));
  stop_hub();
  ASSERT_TRUE(soon([&] { return !client.connected(); }));
  for (std::int64_t version = 1; version <= 500; ++version)
    ASSERT_TRUE(client.put_state(idle(agent, version)));
  ASSERT_TRUE(client.report({.item_id = item.id, .state = ItemState::delivered}));
  ASSERT_TRUE(client.report({.item_id = item.id, .state = ItemState::done, .reason = "finished"}));
  EXPECT_FALSE(wait_for(client.whoami()));
  start_hub();
  ASSERT_TRUE(soon([&] { return client.connected() && state_of(item.id) == ItemState::done; }));
  EXPECT_TRUE(soon([&] { return store_->find_agent("default", agent)->state.version == 500; }));
  EXPECT_EQ(store_->get_item("default", item.id)->reason, "finished");
  EXPECT_EQ(journal.told[item.id + "/1"], 1);
}

// A host of 50 agents with full inboxes, after a long absence of the hub: caught up within 10 s.
TEST_F(ClientTest, FiftyAgentsAreCaughtUpWithin10Seconds) {
  FakeJournal journal;
  HubClient& client = add_client(journal);
  std::vector<std::string> agents;
  for (int i = 0; i < 50; ++i) agents.push_back(add_agent(client, fmt::format("a{}", i)));
  std::vector<std::string> items;
  for (const auto& agent : agents) {
    for (int i = 0; i < 40; ++i) {
      items.push_back(store_->post_item("default", {.to = agent, .title = "t"}, clock_.now())->item.id);
    }
  }
  stop_hub();
  ASSERT_TRUE(soon([&] { return !client.connected(); }));
  for (const auto& agent : agents) ASSERT_TRUE(client.put_state(idle(agent, 1'000)));
  for (const auto& id : items) ASSERT_TRUE(client.report({.item_id = id, .state = ItemState::done}));
  start_hub();
  ASSERT_TRUE(soon([&] { return journal.reported.size() == items.size(); }));
  ASSERT_TRUE(soon([&] { return store_->find_agent("default", agents.back())->state.version == 1'000; }));
  for (const auto& id : items) ASSERT_EQ(state_of(id), ItemState::done);
}

TEST_F(ClientTest, AClientThatWasAwayGetsWhatItMissed) {
  FakeJournal journal;
  add_agent(add_client(journal), "dev");
  clients_.clear();
  io_.poll();
  const auto item = posted("dev");
  add_client(journal);
  EXPECT_TRUE(soon([&] { return state_of(item.id) == ItemState::pushed; }));
  EXPECT_EQ(journal.told[item.id + "/1"], 1);
}

TEST_F(ClientTest, AnUnacknowledgedAssignmentIsPushedOnEveryStreamUntilItIs) {
  FakeJournal journal;
  add_agent(add_client(journal), "dev");
  clients_.clear();
  io_.poll();
  const auto item = posted("dev");
  for (int i = 0; i < 3; ++i) {
    const auto peer = stream("?host=h1&after=1");
    EXPECT_EQ(next(peer).type, "hello");
    const Frame frame = next(peer);
    EXPECT_EQ(frame.type, "assignment");
    EXPECT_EQ(parse_json(frame.data, "test")->value("id", ""), item.id);
  }
  ASSERT_EQ(ask("POST", "/v1/inbox/" + item.id + "/ack").status, 200);
  const auto peer = stream("?host=h1");
  EXPECT_EQ(next(peer).type, "hello");
  posted("dev");
  EXPECT_NE(parse_json(next(peer).data, "test")->value("id", ""), item.id);
}

// Killed at any moment: afterwards every item that was accepted is with the daemon, each once, and in one
// state.
TEST_F(ClientTest, AHubKilledWhilePushingLosesAndDoublesNothing) {
  FakeJournal journal;
  HubClient& client = add_client(journal);
  std::vector<std::string> agents;
  for (int i = 0; i < 4; ++i) agents.push_back(add_agent(client, fmt::format("a{}", i)));
  std::mt19937 random(7);
  std::map<std::string, ItemState> accepted;
  for (int kill = 0; kill < 60; ++kill) {
    for (int i = 0; i < 3; ++i) {
      const auto item =
          store_->post_item("default", {.to = agents[random() % 4], .title = "t"}, clock_.now());
      if (item) accepted[item->item.id] = ItemState::pushed;
    }
    hub_->stop();  // the streams hear of what was posted, or do not
    const auto handlers = random() % 60;
    for (unsigned i = 0; i < handlers; ++i) io_.poll_one();
    for (const auto& [key, item] : journal.items) {
      if (random() % 4 != 0) continue;
      ASSERT_TRUE(
          client.report({.item_id = item.id, .attempt = item.attempt, .state = ItemState::delivered}));
      accepted[item.id] = ItemState::delivered;
    }
    stop_hub();
    for (unsigned i = 0; i < handlers; ++i) io_.poll_one();
    start_hub();
    for (unsigned i = 0; i < handlers; ++i) io_.poll_one();
    // Room for more: an inbox is 50 deep.
    ASSERT_TRUE(soon([&] { return journal.items.size() == accepted.size(); })) << kill;
  }
  for (const auto& [id, state] : accepted) {
    EXPECT_TRUE(soon([&] { return state_of(id) == state; })) << id;
    EXPECT_EQ(journal.items.count(id + "/1"), 1U);
  }
  EXPECT_EQ(journal.items.size(), accepted.size());
}

TEST_F(ClientTest, ARestoredHubIsNoticedByItsStates) {
  FakeJournal journal;
  HubClient& client = add_client(journal);
  const std::string agent = add_agent(client, "dev");
  ASSERT_TRUE(client.put_state(idle(agent, 5)));
  ASSERT_TRUE(soon([&] { return store_->find_agent("default", agent)->state.version == 5; }));
  stop_hub();
  std::filesystem::copy_file(database(), folder_ / "copy");
  start_hub();
  ASSERT_TRUE(client.put_state(idle(agent, 9)));
  ASSERT_TRUE(soon([&] { return store_->find_agent("default", agent)->state.version == 9; }));
  // The client must have heard of it too.
  ASSERT_TRUE(soon([&] { return client.connected(); }));
  EXPECT_FALSE(test::eventually(io_, Millis{100}, [&] { return journal.fresh > 0; }));
  stop_hub();
  std::filesystem::copy_file(folder_ / "copy", database(), std::filesystem::copy_options::overwrite_existing);
  start_hub();
  EXPECT_TRUE(soon([&] { return journal.fresh > 0; }));
  EXPECT_TRUE(soon([&] { return store_->find_agent("default", agent)->state.version == 9; }));
}

TEST_F(ClientTest, AnotherHubInItsPlaceIsNoticedAndItsAgentsAreUnknown) {
  FakeJournal journal;
  HubClient& client = add_client(journal);
  const std::string agent = add_agent(client, "dev");
  ASSERT_TRUE(client.put_state(idle(agent, 5)));
  ASSERT_TRUE(
      soon([&] { return client.connected() && store_->find_agent("default", agent)->state.version == 5; }));
  stop_hub();
  std::filesystem::remove(database());
  start_hub();
  ASSERT_TRUE(soon([&] { return journal.fresh > 0 && !journal.unknown.empty(); }));
  EXPECT_EQ(journal.unknown.front(), agent);
  EXPECT_EQ(add_agent(client, "dev", "h1", agent), agent);
  EXPECT_TRUE(soon([&] { return store_->find_agent("default", agent)->state.version == 5; }));
}

TEST_F(ClientTest, AReportTheHubRefusesIsToldAndDropped) {
  FakeJournal journal;
  HubClient& client = add_client(journal);
  ASSERT_TRUE(client.report({.item_id = "itm_never", .state = ItemState::done}));
  EXPECT_TRUE(soon([&] { return journal.reported["itm_never"] == "not_found"; }));
}

TEST_F(ClientTest, WhatAPersonEndsAtTheHubIsTold) {
  FakeJournal journal;
  HubClient& client = add_client(journal);
  add_agent(client, "dev");
  const auto item = posted("dev");
  ASSERT_TRUE(soon([&] { return state_of(item.id) == ItemState::pushed; }));
  ASSERT_EQ(ask("POST", "/v1/inbox/" + item.id + "/failed", R"({"reason":"not needed"})").status, 200);
  EXPECT_TRUE(soon([&] {
    return !journal.changed.empty() && journal.changed.back().state == ItemState::failed &&
           journal.changed.back().reason == "not needed";
  }));
}

TEST_F(ClientTest, ARetriedItemComesAgainAsItsNextAttempt) {
  FakeJournal journal;
  HubClient& client = add_client(journal);
  add_agent(client, "dev");
  const auto item = posted("dev");
  ASSERT_TRUE(soon([&] { return state_of(item.id) == ItemState::pushed; }));
  ASSERT_TRUE(wait_for(client.set_item({.item_id = item.id, .state = ItemState::failed, .reason = "x"})));
  ASSERT_TRUE(wait_for(client.retry_item(item.id)));
  EXPECT_TRUE(
      soon([&] { return journal.items.contains(item.id + "/2") && state_of(item.id) == ItemState::pushed; }));
}

TEST_F(ClientTest, TheCommandLinesQuestions) {
  FakeJournal journal;
  HubClient& client = add_client(journal);
  const std::string agent = add_agent(client, "dev");
  EXPECT_EQ(wait_for(client.whoami())->role, Role::admin);
  EXPECT_EQ(wait_for(client.list_agents())->at(0).agent_id, agent);
  EXPECT_EQ(wait_for(client.post_item({.to = "nobody", .title = "t"})).error().code, ErrorCode::not_found);
  const auto item = wait_for(client.post_item({.to = "dev", .title = "t"}));
  ASSERT_TRUE(item);
  EXPECT_EQ(wait_for(client.get_item(item->id))->title, "t");
  EXPECT_EQ(wait_for(client.list_items({.agent = "dev"}))->size(), 1U);
  EXPECT_EQ(wait_for(client.list_items({.agent = "de/v"})).error().code, ErrorCode::not_found);
  EXPECT_TRUE(wait_for(client.list_items({.state = ItemState::expired}))->empty());
}

TEST_F(ClientTest, AReasonOverItsLimitHoldsUpNothing) {
  FakeJournal journal;
  HubClient& client = add_client(journal);
  const std::string agent = add_agent(client, "dev");
  AgentState state = idle(agent, 1);
  for (int i = 0; i < 1'500; ++i) state.reason += "ü";
  state.reason += "\xff";
  ASSERT_TRUE(client.put_state(state));
  EXPECT_TRUE(soon([&] { return store_->find_agent("default", agent)->state.version == 1; }));
}

// What a permission prompt shows, and what a provider says, may hold a key; the limit may cut it in two.
TEST_F(ClientTest, TheHubIsToldNoSecret) {
  const std::string key = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789";
  FakeJournal journal;
  HubClient& client = add_client(journal);
  const std::string agent = add_agent(client, "dev");
  const auto item = posted("dev");
  AgentState state = idle(agent, 1);
  state.reason = std::string(kMaxReasonBytes - key.size() / 2, 'x') + " " + key;
  ASSERT_TRUE(client.put_state(state));
  ASSERT_TRUE(client.report(
      {.item_id = item.id, .state = ItemState::failed, .reason = "the turn failed: no key " + key + "\n"}));
  ASSERT_TRUE(soon([&] { return state_of(item.id) == ItemState::failed; }));
  ASSERT_TRUE(soon([&] { return store_->find_agent("default", agent)->state.version == 1; }));
  EXPECT_FALSE(store_->find_agent("default", agent)->state.reason.contains("sk-"));
  EXPECT_TRUE(store_->get_item("default", item.id)->reason.starts_with("the turn failed: no key [redacted]"));
}

TEST_F(ClientTest, AStreamWithoutAHostTellsEverythingFromItsCursor) {
  FakeJournal journal;
  add_agent(add_client(journal), "dev");
  const auto item = posted("dev");
  ASSERT_TRUE(soon([&] { return state_of(item.id) == ItemState::pushed; }));
  const auto all = stream("?after=0");
  EXPECT_EQ(next(all).type, "hello");
  EXPECT_EQ(next(all).type, "agent");
  const Frame changed = next(all);
  EXPECT_EQ(changed.type, "inbox");
  const auto resumed = stream(fmt::format("?after={}", changed.seq));
  EXPECT_EQ(next(resumed).type, "hello");
  ASSERT_EQ(ask("POST", "/v1/inbox/" + item.id + "/done").status, 200);
  EXPECT_EQ(parse_json(next(resumed).data, "test")->value("state", ""), "done");
}

TEST_F(ClientTest, ACursorOfAnotherHistoryIsFresh) {
  const auto peer = stream("?host=h1&after=999999");
  const auto hello = parse_json(next(peer).data, "test");
  EXPECT_TRUE(hello->value("fresh", false));
}

TEST_F(ClientTest, BadStreamsAreRefused) {
  const auto refused = [&](std::string query, std::string key) {
    return wait_for(
               net::connect_websocket(url() + "/v1/stream" + query, {{"Authorization", "Bearer " + key}}, {}))
        .error()
        .code;
  };
  EXPECT_EQ(refused("?host=h1", "amk_no"), ErrorCode::denied);
  EXPECT_EQ(refused("?after=x", key_.reveal()), ErrorCode::invalid);
  EXPECT_EQ(refused("?after=-1", key_.reveal()), ErrorCode::invalid);
  EXPECT_EQ(refused("?hots=h1", key_.reveal()), ErrorCode::invalid);
  FakeJournal journal;
  add_agent(add_client(journal), "dev");
  EXPECT_EQ(refused("?host=h1", token_), ErrorCode::denied);
}

TEST_F(ClientTest, APeerThatTalksOnAStreamIsClosed) {
  const auto peer = stream("?host=h1");
  EXPECT_EQ(next(peer).type, "hello");
  ASSERT_TRUE(peer->send("hello to you"));
  const auto end = wait_for(peer->receive());
  ASSERT_FALSE(end);
  EXPECT_NE(end.error().what.find("1008"), std::string::npos) << end.error().what;
}

TEST_F(ClientTest, AHubThatTalksNonsenseIsLeftAlone) {
  net::Routes routes;
  int connections = 0;
  routes.add_websocket(
      "/v1/stream", [](const net::ServerRequest&) { return std::nullopt; },
      [&](net::ServerRequest, std::shared_ptr<net::WebSocket> peer) -> Task<> {
        ++connections;
        std::ignore = peer->send(connections % 2 == 0 ? std::string(10'000, '[') : R"({"seq":"x"})");
        co_await peer->ended();
        co_return Result<void>{};
      });
  net::HttpServer liar(io_, std::move(routes), {});
  HubClientOptions options{.url = fmt::format("http://127.0.0.1:{}", *liar.listen_tcp("127.0.0.1", 0)),
                           .key = key_,
                           .host = "h1",
                           .backoff_first = Millis{1},
                           .backoff_most = Millis{5}};
  const auto client = make_hub_client(io_, http_, std::move(options));
  FakeJournal journal;
  client->start(events(journal));
  EXPECT_TRUE(soon([&] { return connections >= 4; }));
  EXPECT_FALSE(client->connected());
  client->stop();
}

TEST_F(ClientTest, StopEndsTheClientAtOnce) {
  FakeJournal journal;
  HubClient& client = add_client(journal);
  ASSERT_TRUE(soon([&] { return client.connected(); }));
  client.stop();
  EXPECT_FALSE(wait_for(client.whoami()));
  hub_->stop();
  test::complete(io_, hub_->stopped(), kLimit);
}

}  // namespace
}  // namespace agentmesh::hub
