#include "daemon/journal.h"

#include "base/files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

namespace fs = std::filesystem;

class JournalTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(make_dir(folder_, 0700)); }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path path() const { return folder_ / "state.db"; }
  Journal open() { return std::move(*Journal::open(path())); }
  static AgentRow row(const char* name) {
    AgentRow row{watchdog::make_agent(*AgentName::parse(name), from_millis(1)), {}, "agt_1", "ses_1"};
    row.spec.runner = "custom";
    row.spec.mounts = {"/a:/b"};
    row.spec.env = {{"K", "v"}};
    return row;
  }

  fs::path folder_ = fs::temp_directory_path() / ("agentmesh-journal-" + std::to_string(::getpid()));
};

TEST_F(JournalTest, AgentsSurviveBeingClosed) {
  std::string owner;
  {
    Journal journal = open();
    owner = journal.owner();
    ASSERT_TRUE(journal.save(row("demo")));
    auto changed = row("demo").record;
    changed.run = RunId{3};
    ASSERT_TRUE(journal.save_record(changed));
    ASSERT_TRUE(journal.save_session(changed.name, "ses_2"));
  }
  Journal journal = open();
  EXPECT_EQ(journal.owner(), owner);
  const auto agents = journal.agents();
  ASSERT_TRUE(agents);
  ASSERT_EQ(agents->size(), 1U);
  EXPECT_EQ(agents->front().record.run, RunId{3});
  EXPECT_EQ(agents->front().session_id, "ses_2");
  EXPECT_EQ(agents->front().agent_id, "agt_1");
  EXPECT_EQ(agents->front().spec.env.at("K"), "v");
}

TEST_F(JournalTest, ARecordWithoutARowIsNotSaved) {
  Journal journal = open();
  EXPECT_FALSE(journal.save_record(row("nobody").record));
}

TEST_F(JournalTest, AnItemIsAcceptedOnce) {
  Journal journal = open();
  const ItemRow item{.id = "itm_1", .attempt = 1, .agent = "demo", .document = "{}"};
  EXPECT_EQ(journal.accept(item, from_millis(1)), true);
  EXPECT_EQ(journal.accept(item, from_millis(2)), false);
  ItemRow retried = item;
  retried.attempt = 2;
  EXPECT_EQ(journal.accept(retried, from_millis(3)), true);
  ASSERT_TRUE(journal.set_progress("itm_1", 1, Progress::done, "turn ended"));
  EXPECT_EQ(journal.open_items()->size(), 1U);
  EXPECT_EQ(journal.unreported_items()->size(), 2U);
  ASSERT_TRUE(journal.set_reported("itm_1", 1, Progress::done));
  EXPECT_EQ(journal.unreported_items()->size(), 1U);
  ASSERT_TRUE(journal.set_progress("itm_1", 1, Progress::failed, "again"));
  ASSERT_TRUE(journal.set_reported("itm_1", 1, Progress::done));  // the answer to the earlier report
  EXPECT_EQ(journal.unreported_items()->size(), 2U);
}

TEST_F(JournalTest, FinishedItemsAreBoundedByAgeAndNumber) {
  Journal journal = open();
  const auto add = [&](int number, Progress progress, bool reported, WallTime at) {
    const std::string id = "itm_" + std::to_string(number);
    ASSERT_TRUE(journal.accept({.id = id, .attempt = 1, .agent = "demo", .document = "{}"}, at));
    ASSERT_TRUE(journal.set_progress(id, 1, progress, ""));
    if (reported) ASSERT_TRUE(journal.set_reported(id, 1, progress));
  };
  const auto known = [&](int number) {
    return !*journal.accept(
        {.id = "itm_" + std::to_string(number), .attempt = 1, .agent = "demo", .document = "{}"},
        from_millis(0));
  };
  const WallTime begun = from_millis(1'000);
  const WallTime later = begun + kKeptItemsFor + Millis{1};
  add(1, Progress::done, true, begun);
  add(2, Progress::failed, true, begun);
  add(3, Progress::done, false, begun);      // the hub is still owed
  add(4, Progress::delivered, true, begun);  // open
  for (int i = 5; i <= 200; ++i) add(i, Progress::done, true, later);
  EXPECT_TRUE(known(3) && known(4) && known(5) && known(200));
  EXPECT_FALSE(known(1) || known(2));
}

TEST_F(JournalTest, AFileOfTheFirstVersionIsReadOn) {
  {
    Journal journal = open();
    ASSERT_TRUE(
        journal.accept({.id = "itm_1", .attempt = 1, .agent = "demo", .document = "{}"}, from_millis(1)));
  }
  {
    auto database = Database::open({.path = path().string()});
    ASSERT_TRUE(
        database->exec("DROP INDEX items_open; DROP INDEX items_unreported; "
                       "ALTER TABLE items DROP COLUMN told_at; PRAGMA user_version = 1"));
  }
  Journal journal = open();
  ASSERT_EQ(journal.open_items()->size(), 1U);
  EXPECT_EQ(journal.open_items()->front().told_at, WallTime{});
}

TEST_F(JournalTest, AnItemKeepsTheRunItWasToldToAndWhen) {
  {
    Journal journal = open();
    ASSERT_TRUE(
        journal.accept({.id = "itm_1", .attempt = 1, .agent = "demo", .document = "{}"}, from_millis(1)));
    ASSERT_TRUE(journal.set_run("itm_1", 1, RunId{3}, from_millis(5)));
  }
  Journal journal = open();
  ASSERT_EQ(journal.open_items()->size(), 1U);
  EXPECT_EQ(journal.open_items()->front().run, RunId{3});
  EXPECT_EQ(journal.open_items()->front().told_at, from_millis(5));
}

TEST_F(JournalTest, EventsAreBoundedAndInOrder) {
  Journal journal = open();
  for (int i = 0; i < 5; ++i)
    ASSERT_TRUE(journal.append_event({0, from_millis(i), i % 2 == 0 ? "a" : "b", "e", std::to_string(i)}));
  const auto all = journal.events_after(2, 10);
  ASSERT_EQ(all->size(), 3U);
  EXPECT_EQ(all->front().reason, "2");
  const auto last = journal.last_events_of("a", 2);
  ASSERT_EQ(last->size(), 2U);
  EXPECT_EQ(last->back().reason, "4");
}

TEST_F(JournalTest, ANoisyAgentTakesNobodysHistory) {
  Journal journal = open();
  const auto add = [&](const char* agent, int count) {
    for (int i = 0; i < count; ++i) ASSERT_TRUE(journal.append_event({0, from_millis(i), agent, "e", "x"}));
  };
  add("", 10);
  add("quiet", 30);
  for (int i = 0; i < 98; ++i) add(("agent-" + std::to_string(i)).c_str(), 1);
  add("noisy", 3'000);
  EXPECT_EQ(journal.last_events_of("", 10'000)->size(), 10U);
  EXPECT_EQ(journal.last_events_of("quiet", 10'000)->size(), 30U);
  EXPECT_LE(journal.last_events_of("noisy", 10'000)->size(), 200U);
  EXPECT_GE(journal.last_events_of("noisy", 10'000)->size(), 100U);
}

TEST_F(JournalTest, ARunHasOneCrashReport) {
  Journal journal = open();
  EXPECT_EQ(journal.add_crash({"demo", 1, "{}"}, from_millis(1)), true);
  EXPECT_EQ(journal.add_crash({"demo", 1, "{}"}, from_millis(2)), false);
  for (int run = 2; run < 80; ++run)
    ASSERT_TRUE(journal.add_crash({"demo", static_cast<std::uint64_t>(run), "{}"}, from_millis(run)));
  EXPECT_EQ(journal.crashes("demo", 1000)->size(), static_cast<std::size_t>(kKeptCrashes));
  EXPECT_EQ(journal.crashes("", 1)->front().run, 79U);
  EXPECT_TRUE(journal.crashes("other", 10)->empty());
}

TEST_F(JournalTest, ANewerOrDamagedFileIsRefusedWithItsCure) {
  {
    Journal journal = open();
  }
  {
    auto database = Database::open({.path = path().string()});
    ASSERT_TRUE(database->exec("PRAGMA user_version = 99"));
  }
  const auto newer = Journal::open(path());
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code, ErrorCode::conflict);
  EXPECT_FALSE(newer.error().hint.empty());
  ASSERT_TRUE(write_file(path(), std::string(8192, 'x'), 0600));
  fs::remove(path().string() + "-wal");
  const auto damaged = Journal::open(path());
  ASSERT_FALSE(damaged);
  EXPECT_FALSE(damaged.error().hint.empty());
}

}  // namespace
}  // namespace agentmesh::daemon
