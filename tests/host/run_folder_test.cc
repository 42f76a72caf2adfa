#include "host/run_folder.h"

#include "base/files.h"

#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace agentmesh::host {
namespace {

const RunIdentity kRun{"owner", "coder", RunId{3}};

class RunFolderTest : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(runs_); }

  std::filesystem::path runs_ =
      std::filesystem::temp_directory_path() / fmt::format("agentmesh-runs-{}", ::getpid());
  RunFolder folder_{runs_, id_of(kRun)};
};

// Another process holds the run while it lives: locks are a process's, ours would not be seen.
class OtherHolder {
 public:
  explicit OtherHolder(const RunFolder& folder) {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      const auto lock = folder.hold();
      (void)!::write(ready[1], lock ? "y" : "n", 1);
      ::pause();
      ::_exit(0);
    }
    char answer = 0;
    EXPECT_EQ(::read(ready[0], &answer, 1), 1);
    holds_ = answer == 'y';
    ::close(ready[0]);
    ::close(ready[1]);
  }
  ~OtherHolder() { kill(); }
  void kill() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, 0), nullptr, 0);
  }
  pid_t pid() const { return pid_; }
  bool holds() const { return holds_; }

 private:
  pid_t pid_ = 0;
  bool holds_ = false;
};

TEST(IdTest, IsTheRunsAndNobodyElses) {
  EXPECT_EQ(id_of(kRun), id_of(kRun));
  EXPECT_TRUE(id_of(kRun).starts_with("host-"));
  EXPECT_NE(id_of(kRun), id_of({"owner", "coder", RunId{4}}));
  EXPECT_NE(id_of(kRun), id_of({"owner", "coder2", RunId{3}}));
  EXPECT_NE(id_of(kRun), id_of({"other", "coder", RunId{3}}));
}

TEST_F(RunFolderTest, MakingItTwiceIsAConflict) {
  ASSERT_TRUE(folder_.make(kRun));
  EXPECT_EQ(folder_.make(kRun).error().code, ErrorCode::conflict);
  EXPECT_EQ(folder_.identity(), kRun);
}

TEST_F(RunFolderTest, WhileItsHolderLivesItIsCreatedThenRunning) {
  ASSERT_TRUE(folder_.make(kRun));
  EXPECT_FALSE(folder_.holder());
  const OtherHolder holder(folder_);
  ASSERT_TRUE(holder.holds());
  EXPECT_EQ(folder_.holder(), holder.pid());
  EXPECT_EQ(folder_.look()->state, RunState::created);
  ASSERT_TRUE(folder_.set_started(1234, WallTime{}));
  EXPECT_EQ(folder_.look()->state, RunState::running);
  EXPECT_FALSE(OtherHolder(folder_).holds());
}

TEST_F(RunFolderTest, AHolderThatWasKilledHasKilledItsAgent) {
  ASSERT_TRUE(folder_.make(kRun));
  OtherHolder holder(folder_);
  ASSERT_TRUE(folder_.set_started(1234, WallTime{}));
  holder.kill();
  const auto seen = folder_.look();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->state, RunState::exited);
  EXPECT_EQ(seen->exit_code, 137);
}

TEST_F(RunFolderTest, AHolderThatDiedBeforeTheStartLeavesNothing) {
  ASSERT_TRUE(folder_.make(kRun));
  OtherHolder(folder_).kill();
  EXPECT_EQ(folder_.look()->state, RunState::nothing);
}

TEST_F(RunFolderTest, TheExitIsKnownWhoeverLives) {
  ASSERT_TRUE(folder_.make(kRun));
  ASSERT_TRUE(folder_.set_started(1234, WallTime{}));
  ASSERT_TRUE(folder_.set_exit({.exit_code = 7, .at = from_millis(5'000), .use = {1 << 20, Millis{30}}}));
  EXPECT_EQ(folder_.look()->state, RunState::exited);
  EXPECT_EQ(folder_.look()->exit_code, 7);
  const auto end = folder_.look()->end;
  ASSERT_TRUE(end);
  EXPECT_EQ(end->at, from_millis(5'000));
  EXPECT_EQ(end->use.peak_memory_bytes, 1U << 20);
  EXPECT_EQ(end->use.cpu, Millis{30});
  const OtherHolder holder(folder_);
  EXPECT_EQ(folder_.look()->state, RunState::exited);
}

TEST_F(RunFolderTest, AFileThatIsNotARunsIsAnError) {
  EXPECT_EQ(folder_.look().error().code, ErrorCode::not_found);
  ASSERT_TRUE(folder_.make(kRun));
  for (const char* text : {"", "[]", "{\"owner\":1}", "{\"owner\":\"a\",\"agent\":\"b\",\"run\":0}"}) {
    ASSERT_TRUE(write_file(folder_.path() / "run.json", text, 0600));
    EXPECT_EQ(folder_.look().error().code, ErrorCode::invalid) << text;
  }
}

TEST_F(RunFolderTest, RemovalTakesEverything) {
  ASSERT_TRUE(folder_.make(kRun));
  ASSERT_TRUE(folder_.set_exit({}));
  ASSERT_TRUE(folder_.remove());
  EXPECT_FALSE(std::filesystem::exists(folder_.path()));
  EXPECT_TRUE(folder_.remove());
}

TEST_F(RunFolderTest, WhatHasAHolderIsNotRemoved) {
  ASSERT_TRUE(folder_.make(kRun));
  OtherHolder holder(folder_);
  EXPECT_EQ(folder_.remove().error().code, ErrorCode::unavailable);
  EXPECT_EQ(folder_.look()->state, RunState::created);
  holder.kill();
  EXPECT_TRUE(folder_.remove());
}

TEST_F(RunFolderTest, AnExitOfAnotherFormIsAKill) {
  ASSERT_TRUE(folder_.make(kRun));
  for (const char* text : {"{}", R"({"exit_code":"7","at":7,"cpu_ms":-1,"peak_memory_bytes":"x"})"}) {
    ASSERT_TRUE(write_file(folder_.path() / "exit.json", text, 0600));
    const auto seen = folder_.look();
    ASSERT_TRUE(seen) << text;
    EXPECT_EQ(seen->exit_code, 137) << text;
    EXPECT_EQ(seen->end->use.cpu, Millis{0}) << text;
  }
}

}  // namespace
}  // namespace agentmesh::host
