// A journal whose write-ahead log ends anywhere, as after a loss of power: every row whose commit returned
// before that byte is there, nothing is altered, and the file opens. AGENTMESH_CUTS sets how many ends are
// tried.
#include "base/files.h"
#include "daemon/journal.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <random>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

namespace fs = std::filesystem;

constexpr int kCuts = 1'000;
constexpr int kCommits = 80;               // so few that SQLite takes no checkpoint of the log meanwhile
constexpr std::size_t kTornBytes = 3'000;  // of rubbish after the cut: less than a page of the log

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void write_bytes(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

class TornJournalTest : public testing::Test {
 protected:
  // Opens a journal, commits, and keeps how long the log was after each commit.
  void SetUp() override {
    ASSERT_TRUE(make_dir(folder_, 0700));
    auto journal = Journal::open(folder_ / "state.db");
    ASSERT_TRUE(journal);
    AgentRow row{watchdog::make_agent(*AgentName::parse("demo"), from_millis(1)), {}, "", ""};
    ASSERT_TRUE(journal->save(row));
    begun_ = fs::file_size(folder_ / "state.db-wal");
    for (int i = 0; i < kCommits; ++i) {
      row.record.run = RunId{static_cast<std::uint64_t>(i)};
      ASSERT_TRUE(i % 2 == 0 ? journal->save_record(row.record) : Result<void>{});
      ASSERT_TRUE(journal->append_event({.agent = "demo", .name = fmt::format("e{}", i)}));
      ASSERT_TRUE(
          journal->accept({.id = fmt::format("i{}", i), .agent = "demo", .document = "{}"}, from_millis(i)));
      lengths_.push_back(fs::file_size(folder_ / "state.db-wal"));
    }
    database_ = bytes_of(folder_ / "state.db");
    log_ = bytes_of(folder_ / "state.db-wal");
  }
  void TearDown() override { fs::remove_all(folder_); }

  // What is wrong with a journal whose log ends at `cut`, with `torn` after it; or empty.
  std::string verdict(std::size_t cut, const std::string& torn) const {
    const fs::path path = folder_ / "cut.db";
    write_bytes(path, database_);
    write_bytes(path.string() + "-wal", log_.substr(0, cut) + torn);
    auto journal = Journal::open(path);
    if (!journal) return "it does not open: " + describe(journal.error());
    const auto events = journal->events_after(0, kCommits + 1);
    const auto items = journal->open_items();
    const auto agents = journal->agents();
    if (!events || !items || !agents) return "it cannot be read";
    const auto whole = static_cast<std::size_t>(std::ranges::upper_bound(lengths_, cut) - lengths_.begin());
    // The commit that was cut may have brought its event and not its item.
    if (items->size() != whole || events->size() < whole || events->size() > whole + 1)
      return fmt::format("{} commits were whole, {} events and {} items are there", whole, events->size(),
                         items->size());
    for (std::size_t i = 0; i < items->size(); ++i) {
      if ((*items)[i].id != fmt::format("i{}", i) || (*events)[i].name != fmt::format("e{}", i))
        return "a row is altered";
    }
    if (whole > 0 && (agents->size() != 1 || agents->front().record.run.value + 1 < whole - 1))
      return "the agent's row is an older one";
    return "";
  }

  // Not on a disk where that can be: a thousand journals are synced.
  fs::path folder_ = (fs::exists("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path()) /
                     ("agentmesh-torn-" + std::to_string(::getpid()));
  std::uintmax_t begun_ = 0;
  std::vector<std::uintmax_t> lengths_;
  std::string database_;
  std::string log_;
};

TEST_F(TornJournalTest, CommittedRowsSurvive) {
  const char* wanted = std::getenv("AGENTMESH_CUTS");
  const int cuts = wanted == nullptr ? kCuts : std::atoi(wanted);
  std::mt19937_64 random(7);
  for (int i = 0; i < cuts; ++i) {
    const std::size_t cut = begun_ + random() % (log_.size() - begun_ + 1);
    std::string torn(i % 2 == 0 ? 0 : random() % kTornBytes, '\0');
    for (char& byte : torn) byte = static_cast<char>(random());
    ASSERT_EQ(verdict(cut, torn), "") << "cut at byte " << cut << " of " << log_.size();
  }
  std::cout << fmt::format("committed rows lost or altered over {} cuts: 0 / 0\n", cuts);
}

}  // namespace
}  // namespace agentmesh::daemon
