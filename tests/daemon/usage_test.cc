// What a run has used is what the kernel's files said while it lived.
#include "daemon/usage.h"

#include "base/files.h"
#include "tests/fakes/fake_engine.h"

#include <filesystem>
#include <unistd.h>

#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr std::string_view kId = "0123456789abcdef";
const AgentName kAgent = *AgentName::parse("a");

class UsageTest : public testing::Test {
 protected:
  void SetUp() override {
    put("proc/7/cgroup", "0::/docker/" + std::string(kId) + "\n");
    use(1'000, 5);
    runs(RunId{1});
  }
  void TearDown() override { fs::remove_all(root_); }

  void put(const fs::path& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    ASSERT_TRUE(write_file(root_ / path, text, 0600));
  }
  fs::path group() const { return root_ / "cg/docker" / kId; }
  void use(int peak_bytes, int cpu_us) {
    put("cg/docker/" + std::string(kId) + "/memory.peak", std::to_string(peak_bytes) + "\n");
    put("cg/docker/" + std::string(kId) + "/cpu.stat", "usage_usec " + std::to_string(cpu_us) + "\n");
  }
  void runs(RunId run, std::int64_t pid = 7) {
    engine_.containers[container_name(kAgent, run)] = {.id = std::string(kId), .pid = pid};
  }
  void settle() {
    io_.restart();
    io_.run();
  }
  void look(RunId run) {
    watch_.look(kAgent, run);
    settle();
  }

  fs::path root_ = fs::temp_directory_path() / ("agentmesh-usage-" + std::to_string(::getpid()));
  boost::asio::io_context io_{1};
  test::FakeEngine engine_;
  ManualClock clock_;
  UsageWatch watch_{io_, engine_, clock_, {.proc = root_ / "proc", .cgroup = root_ / "cg"}};
};

TEST_F(UsageTest, ARunIsAskedForOnceAndReadAtEachLook) {
  EXPECT_FALSE(watch_.of(kAgent, RunId{1}));
  look(RunId{1});
  const auto first = watch_.of(kAgent, RunId{1});
  ASSERT_TRUE(first);
  EXPECT_EQ(first->peak_memory_bytes, 1'000U);
  EXPECT_EQ(first->cpu_time, 5us);
  EXPECT_EQ(first->seen_at, clock_.now());
  clock_.advance(1min);
  use(3'000, 8);
  look(RunId{1});
  const auto second = watch_.of(kAgent, RunId{1});
  EXPECT_EQ(second->peak_memory_bytes, 3'000U);
  EXPECT_EQ(second->cpu_time, 8us);
  EXPECT_EQ(second->seen_at, first->seen_at + 1min);
  EXPECT_EQ(engine_.inspected.size(), 1U) << "the cgroup is known";
}

TEST_F(UsageTest, LooksWhileTheEngineIsAskedAskNoMore) {
  for (int i = 0; i < 100; ++i) watch_.look(kAgent, RunId{1});
  settle();
  EXPECT_EQ(engine_.inspected.size(), 1U);
  EXPECT_TRUE(watch_.of(kAgent, RunId{1}));
}

TEST_F(UsageTest, ThePeakIsNeverLessThanWasSeen) {
  look(RunId{1});
  use(10, 9);  // a kernel that tells only what is used now
  look(RunId{1});
  EXPECT_EQ(watch_.of(kAgent, RunId{1})->peak_memory_bytes, 1'000U);
  EXPECT_EQ(watch_.of(kAgent, RunId{1})->cpu_time, 9us);
}

TEST_F(UsageTest, WhatWasSeenStaysWhenTheRunHasEnded) {
  look(RunId{1});
  fs::remove_all(group());
  look(RunId{1});
  EXPECT_EQ(watch_.of(kAgent, RunId{1})->peak_memory_bytes, 1'000U);
}

TEST_F(UsageTest, NothingIsKeptOfAnEarlierRun) {
  look(RunId{1});
  look(RunId{2});  // which the engine does not know
  EXPECT_FALSE(watch_.of(kAgent, RunId{1}));
  EXPECT_FALSE(watch_.of(kAgent, RunId{2}));
  runs(RunId{2});
  look(RunId{2});
  EXPECT_TRUE(watch_.of(kAgent, RunId{2})) << "a look that failed is made again";
}

TEST_F(UsageTest, AnAnswerOfARunThatIsOverTellsNothingOfTheNext) {
  runs(RunId{2}, 0);  // it was created and does not run
  watch_.look(kAgent, RunId{1});
  watch_.look(kAgent, RunId{2});
  settle();
  EXPECT_FALSE(watch_.of(kAgent, RunId{1}));
  EXPECT_FALSE(watch_.of(kAgent, RunId{2}));
}

TEST_F(UsageTest, AProcessThatIsAnothersTellsNothing) {
  put("proc/7/cgroup", "0::/user.slice\n");
  look(RunId{1});
  EXPECT_FALSE(watch_.of(kAgent, RunId{1}));
}

TEST_F(UsageTest, AnAnswerAfterItsEndIsHeardByNobody) {
  auto watch = std::make_unique<UsageWatch>(io_, engine_, clock_,
                                            CgroupRoots{.proc = root_ / "proc", .cgroup = root_ / "cg"});
  watch->look(kAgent, RunId{1});
  watch.reset();
  settle();
  EXPECT_EQ(engine_.inspected.size(), 1U);
}

}  // namespace
}  // namespace agentmesh::daemon
