#include "base/sqlite.h"

#include <filesystem>
#include <fstream>
#include <sys/stat.h>

#include <gtest/gtest.h>

namespace agentmesh {
namespace {

namespace fs = std::filesystem;

class SqliteTest : public ::testing::Test {
 protected:
  SqliteTest() {
    std::string pattern = (fs::temp_directory_path() / "agentmesh-sqlite-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~SqliteTest() override { fs::remove_all(folder_); }

  std::string file() const { return (folder_ / "t.db").string(); }
  Result<Database> open(OpenMode mode) const {
    return Database::open({.path = file(), .mode = mode, .stage = "journal"});
  }

  fs::path folder_;
};

constexpr std::string_view kSteps[] = {
    "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, note TEXT) STRICT",
    "CREATE TABLE u(x INTEGER) STRICT",
};

TEST_F(SqliteTest, ValuesComeBackAsTheyWent) {
  auto database = open(OpenMode::create);
  ASSERT_TRUE(database) << describe(database.error());
  ASSERT_TRUE(database->migrate(kSteps));
  ASSERT_TRUE(database->execute("INSERT INTO t VALUES(?1, ?2, ?3)", 7, "a\"b'c", std::nullopt));
  ASSERT_TRUE(database->execute("INSERT INTO t VALUES(?1, ?2, ?3)", INT64_MAX, std::string("ü\0x", 4),
                                std::optional<std::string>("")));
  EXPECT_EQ(database->changes(), 1);
  auto rows = database->prepare("SELECT id, name, note FROM t ORDER BY id");
  ASSERT_TRUE(rows);
  ASSERT_TRUE(rows->step().value());
  EXPECT_EQ(rows->column_int(0), 7);
  EXPECT_EQ(rows->column_text(1), "a\"b'c");
  EXPECT_TRUE(rows->is_null(2));
  EXPECT_EQ(rows->column_optional_text(2), std::nullopt);
  ASSERT_TRUE(rows->step().value());
  EXPECT_EQ(rows->column_int(0), INT64_MAX);
  EXPECT_EQ(rows->column_text(1), std::string("ü\0x", 4));
  EXPECT_EQ(rows->column_optional_text(2), "");
  EXPECT_FALSE(rows->step().value());
}

TEST_F(SqliteTest, TheFileIsPrivateDurableAndWal) {
  auto database = open(OpenMode::create);
  ASSERT_TRUE(database);
  struct stat status{};
  ASSERT_EQ(stat(file().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  auto mode = database->prepare("PRAGMA journal_mode");
  ASSERT_TRUE(mode->step().value());
  EXPECT_EQ(mode->column_text(0), "wal");
  auto synchronous = database->prepare("PRAGMA synchronous");
  ASSERT_TRUE(synchronous->step().value());
  EXPECT_EQ(synchronous->column_int(0), 2);
}

TEST_F(SqliteTest, AnErrorOrAnExceptionRollsBack) {
  auto database = open(OpenMode::create);
  ASSERT_TRUE(database->migrate(kSteps));
  const auto add = [&](std::string_view name) {
    return database->execute("INSERT INTO t(name) VALUES(?1)", name);
  };
  auto failed = database->transaction([&]() -> Result<int> {
    if (auto ok = add("a"); !ok) return pass(ok.error());
    return fail(ErrorCode::conflict, "x", "no");
  });
  EXPECT_EQ(failed.error().code, ErrorCode::conflict);
  EXPECT_THROW(std::ignore = database->transaction([&]() -> Result<void> {
    std::ignore = add("b");
    throw std::runtime_error("boom");
  }),
               std::runtime_error);
  EXPECT_TRUE(database->transaction([&]() -> Result<void> { return add("c"); }));
  auto rows = database->prepare("SELECT group_concat(name) FROM t");
  ASSERT_TRUE(rows->step().value());
  EXPECT_EQ(rows->column_text(0), "c");
}

TEST_F(SqliteTest, AConstraintIsAConflict) {
  auto database = open(OpenMode::create);
  ASSERT_TRUE(database->migrate(kSteps));
  ASSERT_TRUE(database->execute("INSERT INTO t(name) VALUES('a')"));
  const auto again = database->execute("INSERT INTO t(name) VALUES('a')");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::conflict);
  EXPECT_EQ(again.error().stage, "journal");
}

TEST_F(SqliteTest, EveryRowIsReadOrNone) {
  auto database = open(OpenMode::create);
  ASSERT_TRUE(database->migrate(kSteps));
  const auto number = [](const Statement& row) { return row.column_int(0); };
  EXPECT_EQ(rows_of<std::int64_t>(database->prepare("SELECT x FROM u"), number)->size(), 0U);
  ASSERT_TRUE(database->exec("INSERT INTO u VALUES(1); INSERT INTO u VALUES(2)"));
  EXPECT_EQ(*rows_of<std::int64_t>(database->prepare("SELECT x FROM u ORDER BY x"), number),
            (std::vector<std::int64_t>{1, 2}));
  const auto only_one = [](const Statement& row) -> Result<std::int64_t> {
    if (row.column_int(0) == 1) return 1;
    return fail(ErrorCode::invalid, "test", "not one");
  };
  EXPECT_EQ(rows_of<std::int64_t>(database->prepare("SELECT x FROM u ORDER BY x"), only_one).error().what,
            "not one");
  EXPECT_FALSE(rows_of<std::int64_t>(database->prepare("SELECT nothing FROM u"), number));
  auto bound = database->prepare("SELECT x FROM u WHERE x = ?1");
  bound->bind(2, 1);
  EXPECT_FALSE(rows_of<std::int64_t>(std::move(bound), number)) << "the error is step()'s";
}

TEST_F(SqliteTest, ABindOutOfRangeIsToldByStep) {
  auto database = open(OpenMode::create);
  auto statement = database->prepare("SELECT ?1");
  EXPECT_FALSE(statement->bind(2, 1).step());
}

TEST_F(SqliteTest, MigrationsRunOnceAndANewerFileIsRefused) {
  {
    auto database = open(OpenMode::create);
    ASSERT_TRUE(database->migrate(std::span(kSteps).first(1)));
    EXPECT_EQ(database->user_version(), 1);
    ASSERT_TRUE(database->migrate(kSteps));
    ASSERT_TRUE(database->migrate(kSteps));
    EXPECT_EQ(database->user_version(), 2);
  }
  auto database = open(OpenMode::existing);
  const auto older = database->migrate(std::span(kSteps).first(1));
  ASSERT_FALSE(older);
  EXPECT_EQ(older.error().code, ErrorCode::conflict);
  EXPECT_NE(older.error().what.find("schema version 2"), std::string::npos);
}

TEST_F(SqliteTest, AFailedMigrationLeavesTheVersion) {
  constexpr std::string_view bad[] = {"CREATE TABLE a(x INTEGER) STRICT; CREATE TABLE a(x INTEGER) STRICT"};
  auto database = open(OpenMode::create);
  EXPECT_FALSE(database->migrate(bad));
  EXPECT_EQ(database->user_version(), 0);
  EXPECT_TRUE(database->exec("CREATE TABLE a(x INTEGER) STRICT"));
}

TEST_F(SqliteTest, MissingFileIsNotFound) {
  EXPECT_EQ(open(OpenMode::existing).error().code, ErrorCode::not_found);
  EXPECT_EQ(open(OpenMode::read_only).error().code, ErrorCode::not_found);
  EXPECT_EQ(Database::open({.path = (folder_ / "no" / "t.db").string()}).error().code, ErrorCode::not_found);
}

TEST_F(SqliteTest, ReadOnlyIsDenied) {
  ASSERT_TRUE(open(OpenMode::create)->migrate(kSteps));
  auto database = open(OpenMode::read_only);
  ASSERT_TRUE(database) << describe(database.error());
  const auto written = database->execute("INSERT INTO t(name) VALUES('a')");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::denied);
}

TEST_F(SqliteTest, NotADatabaseSaysSo) {
  std::ofstream(file()) << std::string(4096, 'x');
  const auto database = open(OpenMode::create);
  ASSERT_FALSE(database);
  EXPECT_EQ(database.error().code, ErrorCode::internal);
  EXPECT_NE(database.error().what.find("not a database"), std::string::npos);
  EXPECT_NE(database.error().what.find(file()), std::string::npos);
  EXPECT_FALSE(database.error().hint.empty());
}

TEST_F(SqliteTest, ADamagedPageIsFoundByCheck) {
  {
    auto database = open(OpenMode::create);
    ASSERT_TRUE(database->migrate(kSteps));
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(database->execute("INSERT INTO t(name, note) VALUES(?1, ?2)", i, std::string(400, 'n')));
    }
    EXPECT_TRUE(database->check());
  }
  std::fstream raw(file(), std::ios::in | std::ios::out | std::ios::binary);
  raw.seekp(3 * 4096);
  raw << std::string(8192, '\xff');
  raw.close();
  auto database = open(OpenMode::existing);
  ASSERT_TRUE(database);
  const auto checked = database->check();
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, ErrorCode::internal);
  EXPECT_NE(checked.error().what.find("damaged"), std::string::npos);
}

TEST_F(SqliteTest, AFullDiskIsExhausted) {
  auto database = open(OpenMode::create);
  ASSERT_TRUE(database->migrate(kSteps));
  ASSERT_TRUE(database->exec("PRAGMA max_page_count=6"));
  Result<void> written;
  for (int i = 0; written && i < 100; ++i) {
    written = database->execute("INSERT INTO t(name, note) VALUES(?1, ?2)", i, std::string(1000, 'n'));
  }
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::exhausted);
}

TEST_F(SqliteTest, ALockedFileIsUnavailableAfterTheBusyTimeout) {
  auto holder = open(OpenMode::create);
  ASSERT_TRUE(holder->exec("BEGIN IMMEDIATE"));
  auto other = Database::open({.path = file(), .stage = "journal", .busy_timeout = Millis{1}});
  ASSERT_TRUE(other);
  const auto begun = other->transaction([]() -> Result<void> { return {}; });
  ASSERT_FALSE(begun);
  EXPECT_EQ(begun.error().code, ErrorCode::unavailable);
}

}  // namespace
}  // namespace agentmesh
