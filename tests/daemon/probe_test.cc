// What the files of the kernel say of a silent agent, and what becomes of it as an answer.
#include "daemon/probe.h"

#include "base/files.h"
#include "tests/net/run_task.h"

#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
namespace wd = agentmesh::watchdog;
using namespace std::chrono_literals;

constexpr std::string_view kId = "0123456789abcdef";

class ProbeTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.roots = {.proc = root_ / "proc", .cgroup = root_ / "cg"};
    options_.window = Millis{1};
    fs::create_directories(workspace_);
    put("proc/7/cgroup", "0::/docker/" + std::string(kId) + "\n");
    put(group("cgroup.procs"), "7\n8\n");
    use(0);
    process(7, "node (a) b) c", 1'000, 0);
    process(8, "helper", 1'000 + 2'900, 0);  // 29 s after the first: still the agent's own
  }
  void TearDown() override { fs::remove_all(root_); }

  static std::string group(const std::string& file) { return "cg/docker/" + std::string(kId) + "/" + file; }
  void put(const fs::path& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    ASSERT_TRUE(write_file(root_ / path, text, 0600));
  }
  void use(Millis cpu) { put(group("cpu.stat"), "usage_usec " + std::to_string(cpu.count() * 1000) + "\n"); }
  void use(int cpu_ms) { use(Millis{cpu_ms}); }
  // Times in hundredths of a second, as the kernel writes them.
  void process(int pid, const std::string& name, int started, int cpu) {
    put("proc/" + std::to_string(pid) + "/stat",
        std::to_string(pid) + " (" + name + ") S 1 7 7 0 -1 4194560 0 0 0 0 " + std::to_string(cpu) +
            " 0 99999 99999 20 0 1 0 " + std::to_string(started) + " 0 0\n");
  }
  CpuLook look() const {
    auto found = look_at_cpu(options_.roots, {std::string(kId), 7}, options_.own_within);
    EXPECT_TRUE(found) << (found ? "" : describe(found.error()));
    return found.value_or(CpuLook{});
  }

  wd::Probed probe(WallTime since) {
    Prober prober(
        [this](AgentName, RunId) -> Task<ContainerProcess> {
          if (++looks_ == 2 && between_) between_();
          co_return process_;
        },
        clock_, offload_, options_);
    return run(prober, since);
  }
  wd::Probed run(Prober& prober, WallTime since) {
    asio::io_context io(1);
    wd::Probed answer;
    asio::co_spawn(io,
                   prober.probe(*AgentName::parse("a"), workspace_.string(), {RunId{3}, clock_.now(), since}),
                   [&](std::exception_ptr problem, wd::Probed got) {
                     EXPECT_FALSE(problem);
                     answer = std::move(got);
                   });
    io.run();
    return answer;
  }

  fs::path root_ = fs::temp_directory_path() / ("agentmesh-probe-" + std::to_string(::getpid()));
  fs::path workspace_ = root_ / "workspace";
  ProbeOptions options_;
  ManualClock clock_;
  Offload offload_;
  Result<ContainerProcess> process_ = ContainerProcess{std::string(kId), 7};
  int looks_ = 0;
  std::function<void()> between_;  // before the second look
};

TEST_F(ProbeTest, TheAgentsOwnProcessesAreTakenOff) {
  const CpuLook before = look();
  use(5'000);
  process(7, "node", 1'000, 500);
  EXPECT_EQ(tools_cpu(before, look()), 0us) << "a spinner is no work";
  use(6'000);
  process(8, "helper", 3'900, 100);
  EXPECT_EQ(tools_cpu(before, look()), 0us);
  use(7'500);
  EXPECT_EQ(tools_cpu(before, look()), 1500ms) << "of a tool that has ended";
}

TEST_F(ProbeTest, AYoungerProcessIsATool) {
  const CpuLook before = look();
  put(group("cgroup.procs"), "7\n8\n9\n");
  process(9, "cc", 1'000 + 3'001, 250);
  use(2'500);
  EXPECT_EQ(tools_cpu(before, look()), 2500ms);
}

TEST_F(ProbeTest, ANumberThatWasGivenAwayIsAnotherProcess) {
  process(8, "helper", 3'900, 900);
  use(9'000);
  const CpuLook before = look();
  process(8, "other", 3'950, 100);
  use(10'000);
  EXPECT_EQ(tools_cpu(before, look()), 0us);
}

TEST_F(ProbeTest, ProcessesThatEndMeanwhileOrLieAreLeftOut) {
  put(group("cgroup.procs"), "7\n8\n9\n10\n");
  put("proc/9/stat", "9 (short) S 1\n");
  put("proc/10/stat", "10 no parentheses");
  EXPECT_EQ(look().own_processes.size(), 2U);
}

TEST_F(ProbeTest, BelowAHolderItIsTheSame) {
  const auto child = [&](int pid, int parent, int started, int cpu) {
    put("proc/" + std::to_string(pid) + "/stat", std::to_string(pid) + " (x) S " + std::to_string(parent) +
                                                     " 7 7 0 -1 4194560 0 0 0 0 " + std::to_string(cpu) +
                                                     " 0 0 0 20 0 1 0 " + std::to_string(started) + " 0 0\n");
  };
  child(20, 1, 900, 5'000);            // the holder is not the agent
  child(21, 20, 1'000, 100);           // the agent
  child(22, 21, 1'000 + 2'900, 100);   // its helper, 29 s younger
  child(23, 22, 1'000 + 10'000, 100);  // a tool
  const auto before = look_below(root_ / "proc", 20, options_.own_within);
  child(20, 1, 900, 6'000);
  child(21, 20, 1'000, 300);
  child(22, 21, 1'000 + 2'900, 300);
  child(23, 22, 1'000 + 10'000, 140);
  const auto after = look_below(root_ / "proc", 20, options_.own_within);
  ASSERT_TRUE(before && after);
  EXPECT_EQ(tools_cpu(*before, *after), 400ms);
  EXPECT_EQ(look_below(root_ / "proc", 23, options_.own_within).error().code, ErrorCode::not_found);
}

TEST_F(ProbeTest, ToolsAtWorkAreLife) {
  between_ = [this] {
    clock_.advance(Millis{5'000});
    use(250);
  };
  const auto answer = probe(clock_.now());
  EXPECT_EQ(answer.progress, wd::Progress::seen);
  EXPECT_EQ(answer.detail, "tools used 0.2 s of CPU time in 5 s");
  EXPECT_EQ(answer.run, RunId{3});
}

TEST_F(ProbeTest, LessThanTheShareIsNone) {
  between_ = [this] {
    clock_.advance(Millis{5'000});
    use(249);
  };
  const auto answer = probe(clock_.now());
  EXPECT_EQ(answer.progress, wd::Progress::none);
  EXPECT_EQ(answer.detail, "no activity, no CPU time of tools, no write in the workspace");
}

TEST_F(ProbeTest, AWriteInTheWorkspaceIsLifeWithoutALookAtTheCpu) {
  put("workspace/new\nfile", "x");
  process_ = fail(ErrorCode::unavailable, "engine", "is away");
  const auto answer = probe(clock_.now() - Millis{60'000});
  EXPECT_EQ(answer.progress, wd::Progress::seen);
  EXPECT_EQ(answer.detail, "new?file was written to");
  EXPECT_EQ(looks_, 0);
}

TEST_F(ProbeTest, WhatCannotBeLookedAtIsUnknown) {
  process_ = fail(ErrorCode::unavailable, "engine", "the engine is away");
  EXPECT_EQ(probe(clock_.now()).progress, wd::Progress::unknown);
  EXPECT_EQ(probe(clock_.now()).detail, "no activity; CPU time not known: the engine is away");
  process_ = ContainerProcess{"ffffffff", 7};
  EXPECT_EQ(probe(clock_.now()).progress, wd::Progress::unknown) << "not the container's process";
  process_ = ContainerProcess{std::string(kId), 7};
  put(group("cpu.stat"), "nonsense\n");
  EXPECT_EQ(probe(clock_.now()).progress, wd::Progress::unknown);
  fs::remove_all(workspace_);
  use(0);
  EXPECT_EQ(probe(clock_.now()).progress, wd::Progress::none) << "no workspace, no write";
}

TEST_F(ProbeTest, TheNextProbeComparesWithTheLastLook) {
  Prober prober([this](AgentName, RunId) -> Task<ContainerProcess> { co_return process_; }, clock_, offload_,
                options_);
  EXPECT_EQ(run(prober, clock_.now()).progress, wd::Progress::none);
  const WallTime first = clock_.now();
  clock_.advance(Millis{100'000});
  use(5'000);
  EXPECT_EQ(run(prober, first).detail, "tools used 5.0 s of CPU time in 100 s");
  clock_.advance(Millis{100'000});
  use(10'000);
  EXPECT_EQ(run(prober, clock_.now() - Millis{1}).progress, wd::Progress::none)
      << "that look is older than the last sign of life: what was used since may be older too";
}

}  // namespace
}  // namespace agentmesh::daemon
