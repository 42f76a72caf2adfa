#include "host/process_tree.h"

#include "base/files.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace agentmesh::host {
namespace {

using std::chrono::microseconds;

std::string stat_line(pid_t pid, std::string_view name, pid_t parent, pid_t session, int user, int waited) {
  return fmt::format("{} ({}) S {} {} {} 0 -1 4194304 1 2 3 4 {} 0 {} 0 20 0 1 0 999 1000 10\n", pid, name,
                     parent, pid, session, user, waited);
}

class ProcTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(make_dir(proc_, 0700)); }
  void TearDown() override { std::filesystem::remove_all(proc_); }

  void add(pid_t pid, std::string_view name, pid_t parent, pid_t session) {
    const auto folder = proc_ / std::to_string(pid);
    ASSERT_TRUE(make_dir(folder, 0700));
    ASSERT_TRUE(write_file(folder / "stat", stat_line(pid, name, parent, session, 10, 5), 0600));
  }

  std::filesystem::path proc_ =
      std::filesystem::temp_directory_path() / fmt::format("agentmesh-proc-{}", ::getpid());
};

TEST(ParseStatTest, ReadsWhatIsAfterTheNameWhateverTheNameHolds) {
  const auto seen = parse_stat(stat_line(42, "a) S 1 (b c", 7, 5, 100, 50));
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->pid, 42);
  EXPECT_EQ(seen->parent, 7);
  EXPECT_EQ(seen->session, 5);
  const auto tick = microseconds(1'000'000 / ::sysconf(_SC_CLK_TCK));
  EXPECT_EQ(seen->started, 999 * tick);
  EXPECT_EQ(seen->cpu, 100 * tick);
  EXPECT_EQ(seen->waited_cpu, 50 * tick);
}

TEST(ParseStatTest, RefusesAnotherFormat) {
  for (const char* line : {"", "42", "42 (x) S", "x (y) S 1 1 1 0 0 0 0 0 0 0 1 1 1 1", "42 x) S 1 1 1 0"}) {
    EXPECT_FALSE(parse_stat(line)) << line;
  }
}

TEST_F(ProcTest, OneThatHasEndedOrIsNotWhatTheKernelWritesIsNotSeen) {
  add(10, "x", 1, 10);
  ASSERT_TRUE(read_process(10, proc_));
  EXPECT_EQ(read_process(10, proc_)->parent, 1);
  EXPECT_FALSE(read_process(11, proc_));
  ASSERT_TRUE(write_file(proc_ / "10" / "stat", "10 (x) S 1\n", 0600));
  EXPECT_FALSE(read_process(10, proc_));
}

TEST_F(ProcTest, DescendantsAreFoundAtAnyDepthAndNobodyElse) {
  add(10, "holder", 1, 10);
  add(11, "agent", 10, 11);
  add(5, "tool", 11, 11);  // a pid that wrapped around
  add(13, "escaped", 5, 13);
  add(20, "stranger", 1, 20);
  std::vector<pid_t> pids;
  for (const ProcessSeen& process : descendants_of(10, proc_)) pids.push_back(process.pid);
  EXPECT_EQ(pids, (std::vector<pid_t>{11, 5, 13}));
  EXPECT_TRUE(descendants_of(20, proc_).empty());
  const auto tick = microseconds(1'000'000 / ::sysconf(_SC_CLK_TCK));
  EXPECT_EQ(cpu_below(10, proc_), (5 + 3 * (10 + 5)) * tick);
}

TEST_F(ProcTest, CarriersHoldTheWholeVariable) {
  add(10, "a", 1, 10);
  add(11, "b", 1, 11);
  add(12, "c", 1, 12);
  const auto environ_of = [&](int pid) { return proc_ / std::to_string(pid) / "environ"; };
  ASSERT_TRUE(write_file(environ_of(10), std::string("A=1\0RUN=host-1\0", 15), 0600));
  ASSERT_TRUE(write_file(environ_of(11), std::string("RUN=host-12\0XRUN=host-1\0", 24), 0600));
  EXPECT_EQ(carriers_of("RUN=host-1", proc_), std::vector<pid_t>{10});
}

// A child that sleeps until it is killed.
class Sleeper {
 public:
  Sleeper() {
    pid_ = ::fork();
    if (pid_ == 0) {
      ::pause();
      ::_exit(0);
    }
  }
  ~Sleeper() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  ProcessSeen seen() const { return read_process(pid_, "/proc").value_or(ProcessSeen{}); }
  // Of the one that a SIGKILL makes; 0: it has got none. A SIGSTOP that we send tells that what we sent
  // before has arrived.
  int killed_by() const {
    ::kill(pid_, SIGSTOP);
    int status = 0;
    ::waitpid(pid_, &status, WUNTRACED);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }

 private:
  pid_t pid_ = 0;
};

TEST(SignalTest, ReachesTheProcessThatWasSeenAndNoLaterOneOfItsPid) {
  Sleeper sleeper;
  ProcessSeen other = sleeper.seen();
  ASSERT_GT(other.pid, 0);
  other.started -= std::chrono::seconds(1);
  signal_seen(other, SIGKILL, "/proc");
  EXPECT_EQ(sleeper.killed_by(), 0);
  signal_seen(sleeper.seen(), SIGKILL, "/proc");
  EXPECT_EQ(sleeper.killed_by(), SIGKILL);
}

TEST(CarriersTest, FindsOurselvesInTheRealProc) {
  // What a process was started with is in the kernel's copy; PATH is always there.
  const char* path = std::getenv("PATH");
  ASSERT_NE(path, nullptr);
  const auto found = carriers_of(std::string("PATH=") + path, "/proc");
  EXPECT_NE(std::find(found.begin(), found.end(), ::getpid()), found.end());
}

}  // namespace
}  // namespace agentmesh::host
