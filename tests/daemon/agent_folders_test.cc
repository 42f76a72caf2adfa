#include "daemon/agent_folders.h"

#include "base/files.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

namespace fs = std::filesystem;

class AgentFoldersTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(make_dir(folder_, 0700)); }
  void TearDown() override { fs::remove_all(folder_); }

  AgentFolders folders() const {
    return {.home = folder_ / "home",
            .run = folder_ / "run",
            .pane = folder_ / "pane",
            .password = folder_ / "password",
            .owner = {::geteuid(), ::getegid()},
            .files = {{.path = ".tool/settings.json", .content = "{\"ours\":1}"}},
            .emptied = {".tool/sessions"}};
  }
  std::string text(const char* relative) const {
    return read_file(folder_ / "home" / relative, 1 << 20).value_or("(none)");
  }
  std::size_t entries(const fs::path& path) const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(path), fs::directory_iterator()));
  }
  void put(const char* relative, std::string_view content) const {
    ASSERT_TRUE(make_dir((folder_ / "home" / relative).parent_path(), 0700));
    ASSERT_TRUE(write_file(folder_ / "home" / relative, content, 0600));
  }

  fs::path folder_ = fs::temp_directory_path() / ("agentmesh-folders-" + std::to_string(::getpid()));
};

TEST_F(AgentFoldersTest, WhatTheAgentFilledIsPutAsideAndRemovedInParts) {
  const fs::path sessions = folder_ / "home/.tool/sessions";
  ASSERT_TRUE(make_dir(sessions / "deep/er", 0700));
  ASSERT_TRUE(write_file(sessions / "deep/er/x", "x", 0600));
  for (std::size_t i = 0; i < 2 * kRemovedAtOnce; ++i) fs::create_symlink("/", sessions / std::to_string(i));
  const auto aside = prepare_folders(folders());
  ASSERT_TRUE(aside) << describe(aside.error());
  ASSERT_EQ(aside->size(), 1U);
  EXPECT_TRUE(fs::is_empty(sessions));
  int parts = 1;
  Removed removed = Removed::some;
  while ((removed = remove_some(folder_ / "home", aside->front())) == Removed::some) ++parts;
  EXPECT_EQ(removed, Removed::all);
  EXPECT_GE(parts, 2);
  EXPECT_EQ(entries(folder_ / "home/.tool"), 2U) << "the empty folder and the settings";
  EXPECT_TRUE(fs::exists("/tmp")) << "no link was followed";
}

TEST_F(AgentFoldersTest, WhatAKillLeftAsideIsFoundAtTheNextStart) {
  put(".tool/sessions/1", "x");
  ASSERT_TRUE(prepare_folders(folders()));  // and what it puts aside is removed by nobody
  put(".tool/sessions/2", "x");
  put(".tool/.sessions.mine", "x");
  put(".tool/.sessions.0123456789abcdeg", "x");
  put(".tool/.other.0123456789abcdef", "x");
  const auto aside = prepare_folders(folders());
  ASSERT_TRUE(aside) << describe(aside.error());
  EXPECT_EQ(aside->size(), 2U);
  for (const fs::path& left : *aside) EXPECT_EQ(remove_some(folder_ / "home", left), Removed::all) << left;
  EXPECT_EQ(entries(folder_ / "home/.tool"), 5U) << "the empty folder, the settings and what is not ours";
  const auto again = prepare_folders(folders());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->size(), 1U);
}

TEST_F(AgentFoldersTest, AFilledFolderIsNotReadToItsEnd) {
  ASSERT_TRUE(make_dir(folder_ / "home/.tool", 0700));
  for (std::size_t i = 0; i < 2 * kRemovedAtOnce; ++i)
    fs::create_symlink("/", folder_ / fmt::format("home/.tool/.sessions.{:016x}", i));
  const auto aside = prepare_folders(folders());
  ASSERT_TRUE(aside) << describe(aside.error());
  EXPECT_GT(aside->size(), kRemovedAtOnce / 2);
  EXPECT_LE(aside->size(), kRemovedAtOnce);
}

TEST_F(AgentFoldersTest, ALinkOrAFileInTheFoldersPlaceIsPutAside) {
  ASSERT_TRUE(make_dir(folder_ / "outside", 0700));
  ASSERT_TRUE(write_file(folder_ / "outside/kept", "x", 0600));
  ASSERT_TRUE(make_dir(folder_ / "home/.tool", 0700));
  fs::create_directory_symlink(folder_ / "outside", folder_ / "home/.tool/sessions");
  const auto aside = prepare_folders(folders());
  ASSERT_TRUE(aside) << describe(aside.error());
  EXPECT_FALSE(fs::is_symlink(folder_ / "home/.tool/sessions"));
  EXPECT_EQ(remove_some(folder_ / "home", aside->front()), Removed::all);
  EXPECT_TRUE(fs::exists(folder_ / "outside/kept"));
}

TEST_F(AgentFoldersTest, NothingIsPutAsideWhereNothingWas) {
  const auto aside = prepare_folders(folders());
  ASSERT_TRUE(aside);
  EXPECT_TRUE(aside->empty());
  EXPECT_EQ(text(".tool/settings.json"), "{\"ours\":1}");
  EXPECT_EQ(remove_some(folder_ / "home", ".tool/absent"), Removed::all);
}

TEST_F(AgentFoldersTest, AFileOfTheAgentIsKeptAndAnEmptyOneCountsAsAbsent) {
  put(".tool/settings.json", "{\"theirs\":1}");
  ASSERT_TRUE(prepare_folders(folders()));
  EXPECT_EQ(text(".tool/settings.json"), "{\"theirs\":1}");
  put(".tool/settings.json", "");
  ASSERT_TRUE(prepare_folders(folders()));
  EXPECT_EQ(text(".tool/settings.json"), "{\"ours\":1}");
  AgentFolders always = folders();
  always.files.front().rewrite = agents::Rewrite::always;
  fs::remove(folder_ / "home/.tool/settings.json");
  fs::create_symlink(folder_ / "password", folder_ / "home/.tool/settings.json");
  ASSERT_TRUE(prepare_folders(always));
  EXPECT_FALSE(fs::is_symlink(folder_ / "home/.tool/settings.json"));
  EXPECT_EQ(text(".tool/settings.json"), "{\"ours\":1}");
}

TEST_F(AgentFoldersTest, AFileThatCannotBeWrittenWholeIsNotThere) {
  ASSERT_TRUE(prepare_folders(folders()));
  fs::remove(folder_ / "home/.tool/settings.json");
  AgentFolders large = folders();
  large.files.front().content.assign(100'000, 'x');
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{4'096, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto failed = prepare_folders(large);
  ::setrlimit(RLIMIT_FSIZE, &before);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::exhausted);
  EXPECT_THAT(failed.error().what, testing::HasSubstr("File too large"));
  EXPECT_EQ(entries(folder_ / "home/.tool"), 1U) << "the folder of sessions alone";
  ASSERT_TRUE(prepare_folders(folders()));
  EXPECT_EQ(text(".tool/settings.json"), "{\"ours\":1}");
}

}  // namespace
}  // namespace agentmesh::daemon
