#include "daemon/hub_link.h"

#include "tests/daemon/mesh_fixture.h"

#include <gtest/gtest.h>

namespace agentmesh::daemon::test {
namespace {

class FakeHub final : public hub::HubClient {
 public:
  hub::HubEvents events;
  bool stands = false;
  int registrations = 0;
  int refused_states = 0;  // the next so many
  std::vector<hub::AgentState> states;

  void start(hub::HubEvents told) override { events = std::move(told); }
  void stop() override {}
  bool connected() const override { return stands; }
  Task<hub::Registered> register_agent(hub::Registration asked) override {
    ++registrations;
    if (!stands) co_return fail(ErrorCode::unavailable, "hub", "away");
    co_return hub::Registered{.agent_id = "agt_" + asked.name};
  }
  Result<void> put_state(hub::AgentState state) override {
    if (refused_states > 0) {
      --refused_states;
      return fail(ErrorCode::exhausted, "hub", "the outbox is full");
    }
    states.push_back(std::move(state));
    return {};
  }
  Result<void> report(hub::ItemReport) override { return {}; }
  void forget_agent(const std::string&) override {}
  Task<hub::InboxItem> post_item(hub::NewItem) override { co_return away(); }
  Task<hub::InboxItem> get_item(std::string) override { co_return away(); }
  Task<std::vector<hub::InboxItem>> list_items(hub::ItemQuery) override { co_return away(); }
  Task<hub::InboxItem> retry_item(std::string) override { co_return away(); }
  Task<hub::InboxItem> set_item(hub::ItemReport) override { co_return away(); }
  Task<std::vector<hub::AgentInfo>> list_agents() override { co_return away(); }
  Task<hub::Identity> whoami() override { co_return away(); }

 private:
  static std::unexpected<Error> away() { return fail(ErrorCode::unavailable, "hub", "away"); }
};

class HubLinkTest : public testing::Test {
 protected:
  void begin(const std::string& agent_id) {
    mesh_.agent("a", "opencode", RunId{1});
    ASSERT_TRUE(mesh_.journal->save_agent_id(*AgentName::parse("a"), agent_id));
    mesh_.load();
    mesh_.entry("a").agent.live.blind = false;  // it was looked at
    link_.start(*mesh_.supervisor, *mesh_.mailbox);
    mesh_.on_changed = [this](Entry& entry) { link_.changed(entry); };
  }
  void connect() {
    hub_.stands = true;
    hub_.events.on_connection(true);
    mesh_.settle();
  }
  Mesh mesh_;
  FakeHub hub_;
  HubLink link_{mesh_.io, hub_, *mesh_.journal, mesh_.events, mesh_.clock, "host"};
};

TEST_F(HubLinkTest, AStateThatCouldNotBePutIsToldWithTheNextChange) {
  begin("agt_a");
  hub_.refused_states = 1;
  connect();
  ASSERT_TRUE(hub_.states.empty());
  mesh_.tell("a", watchdog::SignalKind::activity);
  ASSERT_EQ(hub_.states.size(), 1U);
  EXPECT_EQ(hub_.states[0].status, "idle");
  mesh_.tell("a", watchdog::SignalKind::activity);
  EXPECT_EQ(hub_.states.size(), 1U) << "told once";
}

TEST_F(HubLinkTest, NobodyIsRegisteredWhileTheHubIsAway) {
  begin("");
  for (int i = 0; i < 10; ++i) {
    mesh_.tell("a", watchdog::SignalKind::activity);
    mesh_.settle();
  }
  EXPECT_EQ(hub_.registrations, 0);
  connect();
  EXPECT_EQ(hub_.registrations, 1);
  EXPECT_EQ(mesh_.entry("a").agent_id, "agt_a");
}

TEST_F(HubLinkTest, AnExpiryIsNotAPersonsWord) {
  mesh_.agent("a", "opencode", RunId{1});
  mesh_.item("itm_1", "a", Progress::delivered, RunId{1});
  mesh_.item("itm_2", "a", Progress::delivered, RunId{1});
  begin("agt_a");
  hub_.events.on_item_changed({.id = "itm_1", .state = hub::ItemState::expired, .reason = "too late"});
  hub_.events.on_item_changed({.id = "itm_2", .state = hub::ItemState::failed, .reason = "not needed"});
  EXPECT_EQ(mesh_.progress("itm_1"), "delivered");
  EXPECT_EQ(mesh_.mailbox->open_items(*AgentName::parse("a")).size(), 1U);
}

// The client redacts it, and knows no half key.
TEST_F(HubLinkTest, AReasonIsNotCut) {
  begin("agt_a");
  mesh_.entry("a").agent.live.detail = std::string(2 * hub::kMaxReasonBytes, 'x');
  connect();
  ASSERT_EQ(hub_.states.size(), 1U);
  EXPECT_EQ(hub_.states[0].reason.size(), 2 * hub::kMaxReasonBytes);
}

}  // namespace
}  // namespace agentmesh::daemon::test
