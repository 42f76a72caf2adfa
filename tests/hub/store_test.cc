#include "hub/store.h"

#include "base/json.h"
#include "base/sqlite.h"
#include "base/text.h"
#include "hub/server.h"

#include <filesystem>
#include <fstream>
#include <sys/stat.h>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::hub {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kTenant = "default";

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() {
    std::string pattern = (fs::temp_directory_path() / "agentmesh-hub-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    store_ = open_sqlite_store(":memory:").value();
  }
  ~StoreTest() override { fs::remove_all(folder_); }

  std::string file() const { return (folder_ / "hub.db").string(); }

  std::string add_agent(std::string name, std::string runner = "codex", std::string host = "h1") {
    const Registration registration{.name = name, .host = host, .runner = std::move(runner)};
    const auto registered = store_->register_agent(kTenant, registration, sha256_hex(name + host),
                                                   now_ + Millis{86'400'000}, now_);
    EXPECT_TRUE(registered) << describe(registered.error());
    return registered ? registered->agent_id : "";
  }
  void set_status(const std::string& id, std::string status, std::int64_t version = 1) {
    const auto put = store_->sync(
        kTenant,
        {.agents = {{.agent_id = id, .version = version, .status = std::move(status), .status_since = now_}}},
        now_ + Millis{86'400'000}, now_);
    ASSERT_TRUE(put);
    ASSERT_EQ(put->agents.size(), 1U);
  }
  Result<PostOutcome> post(NewItem item) { return store_->post_item(kTenant, item, now_); }
  InboxItem posted(std::string to, Priority priority = Priority::normal) {
    const auto outcome = post({.to = std::move(to), .title = "t", .body = "the body", .priority = priority});
    EXPECT_TRUE(outcome) << describe(outcome.error());
    return outcome ? outcome->item : InboxItem{};
  }
  Result<InboxItem> report(const std::string& id, ItemState state, std::int64_t attempt = 1) {
    return store_->report_item(kTenant, {.item_id = id, .attempt = attempt, .state = state, .reason = "r"},
                               now_);
  }
  ItemState state_of(const std::string& id) { return store_->get_item(kTenant, id)->state; }
  std::vector<std::string> types_after(std::int64_t cursor, std::string_view host = "") {
    const auto page = store_->changes_after(kTenant, host, cursor, 100);
    std::vector<std::string> types;
    for (const auto& frame : page->frames) types.push_back(frame.type);
    return types;
  }

  fs::path folder_;
  std::unique_ptr<Store> store_;
  WallTime now_ = from_millis(1'700'000'000'000);
};

TEST_F(StoreTest, AKeyIsFoundByItsHashUntilItExpires) {
  const Secret key = new_key();
  EXPECT_EQ(key.reveal().size(), 4U + 64U);
  ASSERT_TRUE(store_->add_key({.id = "k1", .tenant = "t1", .role = Role::admin}, key_hash(key), now_));
  const auto found = store_->find_key(key_hash(key), now_);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->tenant, "t1");
  EXPECT_EQ(found->role, Role::admin);
  EXPECT_EQ(store_->find_key(key_hash(new_key()), now_).error().code, ErrorCode::not_found);
  EXPECT_EQ(store_->find_key(key_hash(key).substr(0, 63) + "x", now_).error().code, ErrorCode::not_found);
  EXPECT_EQ(store_->find_key("", now_).error().code, ErrorCode::not_found);
  EXPECT_EQ(store_->add_key({.id = "k2", .tenant = "t1"}, key_hash(key), now_).error().code,
            ErrorCode::conflict);
  EXPECT_EQ(store_->count_keys(), 1U);
  const Secret brief = new_key();
  ASSERT_TRUE(
      store_->add_key({.id = "k3", .tenant = "t1", .expires_at = now_ + Millis{10}}, key_hash(brief), now_));
  EXPECT_TRUE(store_->find_key(key_hash(brief), now_));
  EXPECT_FALSE(store_->find_key(key_hash(brief), now_ + Millis{10}));
}

TEST_F(StoreTest, TheSameAgentIsRegisteredOnce) {
  const std::string id = add_agent("dev");
  EXPECT_EQ(add_agent("dev"), id);
  EXPECT_NE(add_agent("dev", "codex", "h2"), id);
  const auto again = store_->register_agent(
      kTenant, {.name = "dev", .host = "h9", .runner = "claude", .agent_id = id}, "hash", now_, now_);
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->again);
  EXPECT_EQ(again->agent_id, id);
  EXPECT_EQ(store_->find_agent(kTenant, id)->host, "h9");
  const auto renamed = store_->register_agent(
      kTenant, {.name = "other", .host = "h9", .runner = "claude", .agent_id = id}, "hash2", now_, now_);
  EXPECT_EQ(renamed.error().code, ErrorCode::conflict);
}

TEST_F(StoreTest, AnIdThisHubNeverGaveIsKept) {
  const auto registered = store_->register_agent(
      kTenant, {.name = "dev", .host = "h", .runner = "codex", .agent_id = "agt_old"}, "hash", now_, now_);
  EXPECT_EQ(registered->agent_id, "agt_old");
  EXPECT_FALSE(registered->again);
  const auto foreign = store_->register_agent(
      "other", {.name = "dev", .host = "h", .runner = "codex", .agent_id = "agt_old"}, "hash3", now_, now_);
  ASSERT_TRUE(foreign);
  EXPECT_NE(foreign->agent_id, "agt_old");
}

TEST_F(StoreTest, ANewTokenReplacesTheOldAndAHeartbeatRenewsIt) {
  const auto once = [&](std::string_view hash) {
    return store_->register_agent(kTenant, {.name = "dev", .host = "h", .runner = "codex"}, hash,
                                  now_ + Millis{100}, now_);
  };
  const std::string id = once(sha256_hex("1"))->agent_id;
  ASSERT_TRUE(once(sha256_hex("2")));
  EXPECT_FALSE(store_->find_key(sha256_hex("1"), now_));
  EXPECT_EQ(store_->find_key(sha256_hex("2"), now_)->agent_id, id);
  set_status(id, "idle");
  EXPECT_TRUE(store_->find_key(sha256_hex("2"), now_ + Millis{5'000}));
}

TEST_F(StoreTest, TheGreatestVersionOfAStateIsKept) {
  const std::string id = add_agent("dev");
  set_status(id, "busy", 5);
  set_status(id, "idle", 4);
  EXPECT_EQ(store_->find_agent(kTenant, id)->state.status, "busy");
  const auto answer = store_->sync(
      kTenant,
      {.host = "h1", .agents = {{.agent_id = id, .version = 6, .status = "idle"}, {.agent_id = "agt_no"}}},
      now_, now_);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->agents.at(0).before, 5);
  EXPECT_EQ(answer->agents.at(0).version, 6);
  EXPECT_EQ(answer->unknown, std::vector<std::string>{"agt_no"});
  const auto elsewhere =
      store_->sync(kTenant, {.host = "h2", .agents = {{.agent_id = id, .version = 7}}}, now_, now_);
  EXPECT_EQ(elsewhere->unknown, std::vector<std::string>{id});
}

TEST_F(StoreTest, ASyncTakesReportsAndNamesThoseItRefuses) {
  const std::string agent = add_agent("dev");
  const std::string good = posted("dev").id;
  const std::string failed = posted("dev").id;
  ASSERT_TRUE(report(failed, ItemState::failed));
  const auto answer = store_->sync(kTenant,
                                   {.host = "h1",
                                    .agents = {{.agent_id = agent, .version = 2, .status = "idle"}},
                                    .reports = {{.item_id = "itm_no", .state = ItemState::done},
                                                {.item_id = failed, .state = ItemState::done},
                                                {.item_id = good, .state = ItemState::done, .reason = "ok"}}},
                                   now_, now_);
  ASSERT_TRUE(answer);
  ASSERT_EQ(answer->refused.size(), 2U);
  EXPECT_EQ(answer->refused[0].code, ErrorCode::not_found);
  EXPECT_EQ(answer->refused[1].code, ErrorCode::conflict);
  EXPECT_EQ(state_of(good), ItemState::done);
  EXPECT_EQ(state_of(failed), ItemState::failed);
}

TEST_F(StoreTest, AnotherTenantsThingsAreNotThere) {
  const std::string id = add_agent("dev");
  const InboxItem item = posted("dev");
  EXPECT_EQ(store_->find_agent("other", id).error().code, ErrorCode::not_found);
  EXPECT_EQ(store_->get_item("other", item.id).error().code, ErrorCode::not_found);
  EXPECT_EQ(store_->report_item("other", {.item_id = item.id, .state = ItemState::done}, now_).error().code,
            ErrorCode::not_found);
  EXPECT_EQ(store_->retry_item("other", item.id, now_).error().code, ErrorCode::not_found);
  EXPECT_EQ(store_->post_item("other", {.to = "dev", .title = "t"}, now_).error().code, ErrorCode::not_found);
  EXPECT_TRUE(store_->list_items("other", {})->empty());
  EXPECT_TRUE(store_->list_agents("other", "", 10)->empty());
  EXPECT_TRUE(store_->changes_after("other", "", 0, 100)->frames.empty());
  const auto put = store_->sync("other", {.agents = {{.agent_id = id, .version = 9}}}, now_, now_);
  EXPECT_EQ(put->unknown.size(), 1U);
}

TEST_F(StoreTest, AnItemIsAddressedByNameOrIdAndNeverAmbiguously) {
  const std::string id = add_agent("dev");
  EXPECT_EQ(posted("dev").agent_id, id);
  EXPECT_EQ(posted(id).agent_id, id);
  EXPECT_EQ(post({.to = "nobody", .title = "t"}).error().code, ErrorCode::not_found);
  add_agent("dev", "codex", "h2");
  const auto ambiguous = post({.to = "dev", .title = "t"});
  EXPECT_EQ(ambiguous.error().code, ErrorCode::conflict);
  EXPECT_NE(ambiguous.error().hint.find("agt_"), std::string::npos);
}

TEST_F(StoreTest, TheDefaultTimeToLiveIsByPriority) {
  add_agent("dev");
  EXPECT_EQ(posted("dev").ttl_s, 30 * 60);
  EXPECT_EQ(posted("dev", Priority::urgent).ttl_s, 2 * 3600);
  EXPECT_EQ(post({.to = "dev", .title = "t", .ttl_s = 7})->item.expires_at, now_ + Millis{7'000});
}

TEST_F(StoreTest, AnIdempotencyKeyIsOneItem) {
  add_agent("dev");
  const NewItem item{.to = "dev", .title = "t", .body = "b", .idempotency_key = "k"};
  const auto first = post(item);
  const auto second = post(item);
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(first->existed);
  EXPECT_TRUE(second->existed);
  EXPECT_EQ(first->item.id, second->item.id);
  NewItem other = item;
  other.body = "another";
  EXPECT_EQ(post(other).error().code, ErrorCode::conflict);
  EXPECT_EQ(store_->list_items(kTenant, {})->size(), 1U);
}

TEST_F(StoreTest, AnAgentsInboxHasADepth) {
  add_agent("dev");
  std::string last;
  for (std::size_t i = 0; i < kMaxOpenItems; ++i) last = posted("dev").id;
  EXPECT_EQ(post({.to = "dev", .title = "t"}).error().code, ErrorCode::exhausted);
  ASSERT_TRUE(report(last, ItemState::delivered));
  EXPECT_TRUE(post({.to = "dev", .title = "t"}));
}

TEST_F(StoreTest, EachStateHasItsTimeAndReason) {
  add_agent("dev");
  const std::string id = posted("dev").id;
  now_ += Millis{1};
  ASSERT_TRUE(report(id, ItemState::pushed));
  now_ += Millis{1};
  ASSERT_TRUE(report(id, ItemState::delivered));
  now_ += Millis{1};
  const auto done = report(id, ItemState::done);
  ASSERT_TRUE(done);
  EXPECT_EQ(*done->pushed_at, done->created_at + Millis{1});
  EXPECT_EQ(*done->delivered_at, done->created_at + Millis{2});
  EXPECT_EQ(*done->done_at, done->created_at + Millis{3});
  EXPECT_EQ(done->reason, "r");
}

// from, report, afterwards; nullopt: refused.
TEST_F(StoreTest, EveryReportOnEveryState) {
  using S = ItemState;
  struct Row {
    S from;
    S report;
    std::optional<S> then;
  };
  const std::vector<Row> rows{
      {S::queued, S::pushed, S::pushed},
      {S::queued, S::delivered, S::delivered},
      {S::queued, S::done, S::done},
      {S::queued, S::failed, S::failed},
      {S::pushed, S::pushed, S::pushed},
      {S::pushed, S::delivered, S::delivered},
      {S::pushed, S::done, S::done},
      {S::pushed, S::failed, S::failed},
      {S::delivered, S::pushed, S::delivered},
      {S::delivered, S::delivered, S::delivered},
      {S::delivered, S::done, S::done},
      {S::delivered, S::failed, S::failed},
      {S::done, S::pushed, S::done},
      {S::done, S::delivered, S::done},
      {S::done, S::done, S::done},
      {S::done, S::failed, std::nullopt},
      {S::failed, S::pushed, S::failed},
      {S::failed, S::delivered, std::nullopt},
      {S::failed, S::done, std::nullopt},
      {S::failed, S::failed, S::failed},
      {S::expired, S::pushed, S::expired},
      {S::expired, S::delivered, S::delivered},
      {S::expired, S::done, S::done},
      {S::expired, S::failed, S::failed},
  };
  for (const auto& row : rows) {
    store_ = open_sqlite_store(":memory:").value();
    add_agent("dev");
    const std::string id = posted("dev").id;
    if (row.from == S::expired) {
      now_ += std::chrono::hours(1);
      ASSERT_TRUE(store_->sweep(now_));
    } else if (row.from != S::queued) {
      ASSERT_TRUE(report(id, row.from));
    }
    ASSERT_EQ(state_of(id), row.from);
    const auto after = report(id, row.report);
    const auto label = fmt::format("{} {}", to_string(row.from), to_string(row.report));
    if (row.then) {
      ASSERT_TRUE(after) << label << ' ' << describe(after.error());
      EXPECT_EQ(after->state, *row.then) << label;
    } else {
      EXPECT_EQ(after.error().code, ErrorCode::conflict) << label;
    }
    EXPECT_EQ(state_of(id), row.then.value_or(row.from)) << label;
  }
}

TEST_F(StoreTest, ARetryIsANewAttemptAndLateReportsOfTheOldChangeNothing) {
  add_agent("dev");
  const std::string id = posted("dev").id;
  EXPECT_EQ(store_->retry_item(kTenant, id, now_)->attempt, 1);
  ASSERT_TRUE(report(id, ItemState::pushed));
  EXPECT_EQ(store_->retry_item(kTenant, id, now_).error().code, ErrorCode::conflict);
  ASSERT_TRUE(report(id, ItemState::failed));
  const auto again = store_->retry_item(kTenant, id, now_);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->attempt, 2);
  EXPECT_EQ(again->state, ItemState::queued);
  EXPECT_FALSE(again->failed_at);
  ASSERT_TRUE(report(id, ItemState::failed, 1));
  EXPECT_EQ(state_of(id), ItemState::queued);
  ASSERT_TRUE(report(id, ItemState::done, 2));
  EXPECT_EQ(state_of(id), ItemState::done);
  EXPECT_EQ(store_->retry_item(kTenant, "itm_no", now_).error().code, ErrorCode::not_found);
}

TEST_F(StoreTest, WhatIsNotDeliveredInTimeExpires) {
  add_agent("dev");
  const std::string queued = posted("dev").id;
  const std::string pushed = posted("dev").id;
  const std::string delivered = posted("dev").id;
  ASSERT_TRUE(report(pushed, ItemState::pushed));
  ASSERT_TRUE(report(delivered, ItemState::delivered));
  now_ += std::chrono::minutes(30);
  EXPECT_EQ(store_->sweep(now_), 2U);
  EXPECT_EQ(state_of(queued), ItemState::expired);
  EXPECT_EQ(state_of(pushed), ItemState::expired);
  EXPECT_EQ(state_of(delivered), ItemState::delivered);
  EXPECT_EQ(store_->sweep(now_), 0U);
  EXPECT_FALSE(store_->get_item(kTenant, queued)->reason.empty());
}

TEST_F(StoreTest, WhatIsFinishedLongAgoIsForgotten) {
  add_agent("dev");
  const std::string done = posted("dev").id;
  const std::string open = posted("dev").id;
  ASSERT_TRUE(report(done, ItemState::done));
  ASSERT_TRUE(report(open, ItemState::delivered));
  now_ += kKeepFinished + Millis{1};
  ASSERT_TRUE(store_->sweep(now_));
  EXPECT_FALSE(store_->get_item(kTenant, done));
  EXPECT_TRUE(store_->get_item(kTenant, open));
}

TEST_F(StoreTest, AnyGoesToOneIdleAgentOfTheRunner) {
  const std::string busy = add_agent("busy");
  const std::string idle = add_agent("idle", "claude");
  set_status(busy, "busy");
  set_status(idle, "idle");
  const auto wants_codex = post({.to = "any", .runner = "codex", .title = "t"})->item;
  const auto first = post({.to = "any", .title = "first"})->item;
  const auto urgent = post({.to = "any", .title = "urgent", .priority = Priority::urgent})->item;
  EXPECT_EQ(store_->claim_items(now_ - Millis{1}, now_), 1U);
  EXPECT_EQ(store_->get_item(kTenant, urgent.id)->agent_id, idle);
  EXPECT_EQ(store_->get_item(kTenant, first.id)->agent_id, "");
  EXPECT_EQ(store_->claim_items(now_ - Millis{1}, now_), 0U);
  ASSERT_TRUE(report(urgent.id, ItemState::delivered));
  EXPECT_EQ(store_->claim_items(now_ - Millis{1}, now_), 1U);
  EXPECT_EQ(store_->get_item(kTenant, first.id)->agent_id, idle);
  set_status(busy, "idle", 2);
  EXPECT_EQ(store_->claim_items(now_ + Millis{1}, now_), 0U) << "not seen lately";
  EXPECT_EQ(store_->claim_items(now_, now_), 1U);
  EXPECT_EQ(store_->get_item(kTenant, wants_codex.id)->agent_id, busy);
}

TEST_F(StoreTest, ARetriedItemToAnyIsFreeAgain) {
  const std::string one = add_agent("one");
  set_status(one, "idle");
  const auto item = post({.to = "any", .title = "t"})->item;
  ASSERT_EQ(store_->claim_items(now_, now_), 1U);
  ASSERT_TRUE(report(item.id, ItemState::failed));
  EXPECT_EQ(store_->retry_item(kTenant, item.id, now_)->agent_id, "");
}

TEST_F(StoreTest, ChangesAreToldOncePerObjectAsItIsNow) {
  const std::string id = add_agent("dev");
  const InboxItem item = posted("dev");
  EXPECT_EQ(types_after(0), (std::vector<std::string>{"agent", "assignment"}));
  EXPECT_EQ(item.seq, *store_->last_change());
  set_status(id, "busy", 1);
  set_status(id, "idle", 2);
  EXPECT_EQ(types_after(item.seq), std::vector<std::string>{"agent"});
  ASSERT_TRUE(report(item.id, ItemState::pushed));
  ASSERT_TRUE(report(item.id, ItemState::delivered));
  EXPECT_EQ(types_after(0), (std::vector<std::string>{"agent", "inbox"}))
      << "acknowledged: no assignment any more";
  const auto page = store_->changes_after(kTenant, "", item.seq, 100);
  const auto told = parse_json(page->frames.back().data, "test");
  EXPECT_EQ(told->at("state"), "delivered");
  EXPECT_EQ(told->at("body"), "");
  EXPECT_EQ(page->cursor, *store_->last_change());
}

TEST_F(StoreTest, AHostHearsOfItsOwnItemsAlone) {
  add_agent("one", "codex", "h1");
  add_agent("two", "codex", "h2");
  const InboxItem mine = posted("one");
  posted("two");
  const auto page = store_->changes_after(kTenant, "h1", 0, 100);
  ASSERT_EQ(page->frames.size(), 1U);
  EXPECT_EQ(page->frames[0].seq, mine.seq);
  EXPECT_EQ(parse_json(page->frames[0].data, "test")->at("body"), "the body");
}

TEST_F(StoreTest, PagesOfChangesGoOnWhereTheyEnded) {
  for (int i = 0; i < 7; ++i) add_agent(fmt::format("a{}", i));
  std::int64_t cursor = 0;
  std::size_t seen = 0;
  for (int pages = 0; pages < 10; ++pages) {
    const auto page = store_->changes_after(kTenant, "", cursor, 3);
    ASSERT_TRUE(page);
    seen += page->frames.size();
    cursor = page->cursor;
    if (!page->more) break;
  }
  EXPECT_EQ(seen, 7U);
}

TEST_F(StoreTest, AHostThatForgotGetsWhatItHadAgain) {
  const std::string id = add_agent("dev");
  const std::string pushed = posted("dev").id;
  const std::string delivered = posted("dev").id;
  set_status(id, "busy", 9);
  ASSERT_TRUE(report(pushed, ItemState::pushed));
  ASSERT_TRUE(report(delivered, ItemState::delivered));
  ASSERT_TRUE(store_->register_agent(
      kTenant, {.name = "dev", .host = "h1", .runner = "codex", .agent_id = id}, "a", now_, now_));
  EXPECT_EQ(state_of(pushed), ItemState::pushed) << "it came with its id: it has its journal";
  add_agent("dev");
  EXPECT_EQ(state_of(pushed), ItemState::queued);
  EXPECT_EQ(store_->get_item(kTenant, pushed)->attempt, 1);
  EXPECT_EQ(state_of(delivered), ItemState::delivered);
  EXPECT_EQ(store_->find_agent(kTenant, id)->state.version, 0);
}

TEST_F(StoreTest, EverythingIsThereAfterTheFileIsOpenedAgain) {
  store_ = open_sqlite_store(file()).value();
  const std::string hub_id = store_->hub_id();
  add_agent("dev");
  const InboxItem item = posted("dev");
  const std::int64_t last = store_->last_change().value();
  store_.reset();
  store_ = open_sqlite_store(file()).value();
  EXPECT_EQ(store_->hub_id(), hub_id);
  EXPECT_EQ(store_->last_change(), last);
  EXPECT_EQ(to_json(*store_->get_item(kTenant, item.id)), to_json(item));
  EXPECT_TRUE(store_->ready());
}

TEST_F(StoreTest, ANewerFileIsRefused) {
  ASSERT_TRUE(open_sqlite_store(file()));
  ASSERT_TRUE(Database::open({.path = file()})->exec("PRAGMA user_version=99"));
  const auto refused = open_sqlite_store(file());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_NE(refused.error().what.find("99"), std::string::npos);
  EXPECT_FALSE(refused.error().hint.empty());
}

TEST_F(StoreTest, AFileThatIsNoDatabaseIsRefused) {
  std::ofstream(file()) << std::string(10'000, 'z');
  const auto refused = open_sqlite_store(file());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::internal);
  EXPECT_FALSE(refused.error().hint.empty());
}

TEST_F(StoreTest, ADamagedFileIsRefused) {
  {
    store_ = open_sqlite_store(file()).value();
    for (int i = 0; i < 50; ++i) add_agent(fmt::format("a{}", i));
    store_ = open_sqlite_store(":memory:").value();
  }
  std::fstream raw(file(), std::ios::in | std::ios::out | std::ios::binary);
  raw.seekp(4096 * 2);
  raw << std::string(4096 * 4, '\xff');
  raw.close();
  const auto refused = open_sqlite_store(file());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::internal);
  EXPECT_NE(refused.error().what.find("damaged"), std::string::npos);
}

TEST_F(StoreTest, TheAdminKeyIsMadeOnceAndKeptPrivate) {
  const fs::path key_file = folder_ / "hub.key";
  const auto key = ensure_admin_key(*store_, key_file, now_);
  ASSERT_TRUE(key) << describe(key.error());
  struct stat status{};
  ASSERT_EQ(::stat(key_file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  EXPECT_EQ(ensure_admin_key(*store_, key_file, now_)->reveal(), key->reveal());
  EXPECT_EQ(store_->count_keys(), 1U);
  EXPECT_EQ(store_->find_key(key_hash(*key), now_)->role, Role::admin);
  const auto replaced = open_sqlite_store(":memory:").value();
  EXPECT_EQ(ensure_admin_key(*replaced, key_file, now_)->reveal(), key->reveal());
  EXPECT_TRUE(replaced->find_key(key_hash(*key), now_));
}

TEST_F(StoreTest, AKeyFileThatOthersReadOrThatHoldsNoKeyIsRefused) {
  const fs::path key_file = folder_ / "hub.key";
  std::ofstream(key_file) << "amk_short\n";
  fs::permissions(key_file, fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(ensure_admin_key(*store_, key_file, now_).error().code, ErrorCode::invalid);
  fs::permissions(key_file, fs::perms::others_read, fs::perm_options::add);
  EXPECT_EQ(ensure_admin_key(*store_, key_file, now_).error().code, ErrorCode::denied);
}

}  // namespace
}  // namespace agentmesh::hub
