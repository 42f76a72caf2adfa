#include "daemon/crash_report.h"

#include "base/files.h"
#include "base/text.h"

#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::daemon {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class CrashLogTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(make_dir(folder_, 0700)); }
  void TearDown() override { fs::remove_all(folder_); }
  void append(const std::string& block, std::uint64_t max_bytes, std::int64_t files) {
    const config::Crash limits{.lines = 200, .max_bytes = max_bytes, .files = files};
    const auto done = append_crash_log(log_, block, limits);
    ASSERT_TRUE(done) << describe(done.error());
  }
  std::string at(int number) const {
    return read_file(number == 0 ? log_.string() : fmt::format("{}.{}", log_.string(), number), 1 << 20)
        .value_or("absent");
  }

  fs::path folder_ = fs::temp_directory_path() / ("agentmesh-crash-" + std::to_string(::getpid()));
  fs::path log_ = folder_ / "crash-demo.log";
};

TEST_F(CrashLogTest, SoManyFilesAreKept) {
  for (int i = 0; i < 10; ++i) append(std::string(60, static_cast<char>('a' + i)), 100, 3);
  EXPECT_EQ(at(0), std::string(60, 'j'));
  EXPECT_EQ(at(1), std::string(60, 'i'));
  EXPECT_EQ(at(2), std::string(60, 'h'));
  EXPECT_EQ(at(3), "absent");
  struct stat info{};
  ASSERT_EQ(::stat(log_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
}

TEST_F(CrashLogTest, ExactlyTheLimitStillFits) {
  append(std::string(60, 'a'), 100, 2);
  append(std::string(40, 'b'), 100, 2);
  EXPECT_EQ(at(0).size(), 100U);
  EXPECT_EQ(at(1), "absent");
  append("c", 100, 2);
  EXPECT_EQ(at(0), "c");
  EXPECT_EQ(at(1).size(), 100U);
  append(std::string(100, 'd'), 100, 2);
  EXPECT_EQ(at(0), std::string(100, 'd')) << "one that fills the file alone";
}

TEST_F(CrashLogTest, OneFileStartsAnew) {
  append(std::string(60, 'a'), 100, 1);
  append(std::string(60, 'b'), 100, 1);
  EXPECT_EQ(at(0), std::string(60, 'b'));
  EXPECT_EQ(at(1), "absent");
}

TEST_F(CrashLogTest, FewerFilesThanBeforeLeaveNoneBehind) {
  for (int i = 0; i < 6; ++i) append(std::string(60, static_cast<char>('a' + i)), 100, 5);
  EXPECT_EQ(at(4), std::string(60, 'b'));
  append(std::string(60, 'x'), 100, 2);
  EXPECT_EQ(at(0), std::string(60, 'x'));
  EXPECT_EQ(at(1), std::string(60, 'f'));
  for (int number = 2; number <= 5; ++number) EXPECT_EQ(at(number), "absent") << number;
}

TEST_F(CrashLogTest, AReportOverTheLimitLosesItsMiddle) {
  append("small\n", 1'000, 3);
  append("first line\n" + std::string(50'000, 'x') + "\nlast line\n\n", 1'000, 3);
  EXPECT_LE(at(0).size(), 1'000U);
  EXPECT_THAT(at(0), testing::StartsWith("first line\nx"));
  EXPECT_THAT(at(0), testing::EndsWith("x\nlast line\n\n"));
  EXPECT_THAT(at(0), HasSubstr("bytes are left out"));
  EXPECT_EQ(at(1), "small\n");
}

TEST_F(CrashLogTest, WhatCannotBeMovedIsSaidAndTheReportIsWrittenAllTheSame) {
  append(std::string(90, 'a'), 100, 2);
  ASSERT_TRUE(make_dir(log_.string() + ".1/in-the-way", 0700));
  const auto done = append_crash_log(log_, "new", {.lines = 200, .max_bytes = 90, .files = 2});
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().what, HasSubstr("cannot rotate"));
  EXPECT_THAT(at(0), testing::EndsWith("anew"));
}

CrashReport sample() {
  CrashReport report{.at = from_millis(1'700'000'060'000),
                     .agent = "demo",
                     .agent_id = "agt_1",
                     .stage = RunStage::run,
                     .started_at = from_millis(1'700'000'000'000),
                     .container_id = "0123456789abcdef",
                     .image_id = "sha256:fedcba9876543210"};
  report.spec.runner = "opencode";
  report.spec.model = "demo/scripted";
  report.spec.image = "agentmesh/sandbox:latest";
  report.spec.memory_bytes = 2ULL << 30;
  report.spec.pids = 512;
  report.spec.workdir = "/srv/code";
  report.asked.run = RunId{2};
  report.asked.restart_number = 1;
  report.asked.restart_limit = 3;
  report.asked.next_restart_at = from_millis(1'700'000'062'000);
  report.asked.exit = {
      137, 9, true, false, watchdog::ExitReason::out_of_memory, "out of memory (main process)", report.at};
  report.usage = Usage{2ULL << 30, std::chrono::milliseconds(34'500), from_millis(1'700'000'048'000)};
  report.assignments = {{"itm_1", "Fix the build"}, {"itm_2", "key sk-abcdefghijklmnopqrstuv"}};
  report.terminal = "li\u202Ene\x1b]0;t\x07\nkey=sk-abcdefghij\u200Bklmnopqrstuv\nlast";
  report.events = {{1, report.at, "demo", "status", "busy"}};
  return report;
}

TEST(CrashReportTest, SaysWhatHappenedAndKeepsSecretsOut) {
  const json report = to_json(sample());
  EXPECT_EQ(report["stage"], "run");
  EXPECT_EQ(report["container"]["name"], "agentmesh-demo-2");
  EXPECT_EQ(report["container"]["image_id"], "sha256:fedcba9876543210");
  EXPECT_EQ(report["usage"]["peak_memory_bytes"], 2ULL << 30);
  EXPECT_EQ(report["usage"]["cpu_ms"], 34'500);
  EXPECT_EQ(report["assignments"][0], (json{{"id", "itm_1"}, {"title", "Fix the build"}}));
  const std::string text = crash_text(report);
  for (const char* part :
       {"==== demo crashed: ", "demo agt_1, run 2\n", "run, 1m00s after its start\n",
        "exit code 137, signal 9 (SIGKILL), out of memory: the main process\n",
        "1 of 3 at 2023-11-14T22:14:22.000Z\n",
        "2.0 GiB of memory at most, 34s of CPU time, seen 12s before the end\n",
        "0123456789ab from agentmesh/sandbox:latest (fedcba987654)\n", "opencode with demo/scripted\n",
        "assignment itm_1 Fix the build\n", "assignment itm_2 key [redacted]\n", "status busy\n",
        "  key=[redacted]\n", "  last\n\n"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_THAT(text + report.dump(), Not(HasSubstr("sk-abc")));
}

TEST(CrashReportTest, WhatIsNotKnownIsSaidSo) {
  CrashReport report = sample();
  report.usage.reset();
  report.image_id.clear();
  report.assignments.clear();
  report.asked.restart_number = 0;
  report.asked.exit.code.reset();
  report.asked.exit.signal.reset();
  report.asked.exit.oom_main = false;
  const std::string text = crash_text(to_json(report));
  for (const char* part : {"no exit code\n", "none follows\n", "not seen: it ended too soon\n",
                           "from agentmesh/sandbox:latest\n", "assignment none\n"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(CrashReportTest, AReportOfAnotherVersionIsShownAsFarAsItIsUnderstood) {
  EXPECT_THAT(crash_text(json::object()), HasSubstr("an unknown reason"));
  EXPECT_THAT(crash_text(json("nonsense")), HasSubstr("assignment none"));
  const json odd{{"agent", 7},          {"exit_code", "x"}, {"terminal", {1, "two", nullptr}},
                 {"events", {"x", 1}},  {"usage", 3},       {"limits", {{"memory_bytes", -5}}},
                 {"assignments", "no"}, {"container", {}}};
  EXPECT_THAT(crash_text(odd), HasSubstr("  two\n"));
}

TEST(CrashReportTest, ALongTerminalKeepsItsEnd) {
  CrashReport report = sample();
  report.terminal = std::string(3 * kMaxCrashTerminal, 'x') + "\n" + std::string(100, 'y') + "\nlast \xff";
  const json lines = to_json(report)["terminal"];
  EXPECT_LT(lines.dump().size(), kMaxCrashTerminal);
  EXPECT_EQ(lines.back(), "last \uFFFD");
  EXPECT_EQ(lines.size(), 2U);
}

TEST(CrashReportTest, TheStageIsHowFarItCame) {
  using Reason = watchdog::ExitReason;
  EXPECT_EQ(stage_of(Reason::create_failed, RunStage::create), RunStage::create);
  EXPECT_EQ(stage_of(Reason::start_failed, RunStage::launch), RunStage::start);
  EXPECT_EQ(stage_of(Reason::broken_spec, RunStage::create), RunStage::create);
  EXPECT_EQ(stage_of(Reason::broken_spec, RunStage::launch), RunStage::start);
  EXPECT_EQ(stage_of(Reason::command_not_found, RunStage::launch), RunStage::launch);
  EXPECT_EQ(stage_of(Reason::crashed, RunStage::run), RunStage::run);
}

TEST(CrashReportTest, AssignmentsHaveTheirTitles) {
  const auto open = assignments_of({{.id = "itm_1", .document = R"({"title":"Fix it","body":"..."})"},
                                    {.id = "itm_2", .document = "not JSON"},
                                    {.id = "itm_3", .document = R"({"title":5})"}});
  ASSERT_EQ(open.size(), 3U);
  EXPECT_EQ(open[0].title, "Fix it");
  EXPECT_EQ(open[1].title, "");
  EXPECT_EQ(open[2].title, "");
}

}  // namespace
}  // namespace agentmesh::daemon
