#include "base/process.h"

#include "base/files.h"

#include <array>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace agentmesh {
namespace {

Result<Output> run_now(Command command) {
  boost::asio::io_context context;
  Result<Output> answer;
  boost::asio::co_spawn(context, run(context.get_executor(), std::move(command)),
                        [&](std::exception_ptr, Result<Output> result) { answer = std::move(result); });
  context.run();
  return answer;
}

TEST(ProcessTest, AnswersOutputAndExitCode) {
  const auto output = run_now({.argv = {"sh", "-c", "cat; echo err >&2; exit 7"}, .input = "hello"});
  ASSERT_TRUE(output) << describe(output.error());
  EXPECT_EQ(output->out, "hello");
  EXPECT_EQ(output->err, "err\n");
  EXPECT_EQ(output->exit_code, 7);
  EXPECT_EQ(run_now({.argv = {"sh", "-c", "kill -9 $$"}})->exit_code, 137);
}

TEST(ProcessTest, AChildSeesOnlyStandardDescriptors) {
  const UniqueFd leaked(::open("/dev/null", O_RDONLY));  // without O_CLOEXEC on purpose
  const auto output = run_now({.argv = {"ls", "/proc/self/fd"}});
  ASSERT_TRUE(output);
  EXPECT_EQ(output->out, "0\n1\n2\n3\n");  // 3 is ls's own view of the folder
}

TEST(ProcessTest, ErrorsAreValues) {
  EXPECT_EQ(run_now({.argv = {"no-such-program-here"}}).error().code, ErrorCode::not_found);
  EXPECT_EQ(run_now({.argv = {"sleep", "60"}, .deadline = Millis{50}}).error().code, ErrorCode::timeout);
  EXPECT_EQ(run_now({.argv = {"yes"}, .max_output = 100'000}).error().code, ErrorCode::exhausted);
}

TEST(ProcessTest, WhatAGroupStartedEndsWithIt) {
  const auto path = std::filesystem::temp_directory_path() / ("agentmesh-fifo-" + std::to_string(::getpid()));
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const UniqueFd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  const std::string script = "sleep 60 3>" + path.string() + " & wait";
  const auto output = run_now({.argv = {"sh", "-c", script}, .deadline = Millis{1'000}, .kill = Kill::group});
  EXPECT_EQ(output.error().code, ErrorCode::timeout);
  pollfd hangup{.fd = reader.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&hangup, 1, 5'000), 1);
  EXPECT_NE(hangup.revents & POLLHUP, 0) << "sleep still runs";
  std::filesystem::remove(path);
}

TEST(ProcessTest, ASmallEnvironmentHasPathAndWhatIsNamed) {
  ::setenv("AGENTMESH_TEST_NAMED", "1", 1);
  ::setenv("AGENTMESH_TEST_OTHER", "1", 1);
  const auto env =
      small_environment(std::array<std::string_view, 2>{"AGENTMESH_TEST_NAMED", "AGENTMESH_TEST_UNSET"});
  EXPECT_EQ(env.size(), 2U);
  EXPECT_TRUE(env.contains("PATH"));
  EXPECT_TRUE(env.contains("AGENTMESH_TEST_NAMED"));
}

TEST(ProcessTest, TheEnvironmentIsExactlyWhatWasGiven) {
  const auto output = run_now({.argv = {"env"}, .env = std::map<std::string, std::string>{{"A", "1"}}});
  ASSERT_TRUE(output);
  EXPECT_EQ(output->out, "A=1\n");
}

struct Terminal {
  UniqueFd ours{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
  UniqueFd theirs;
  Terminal() {
    char name[64];
    EXPECT_EQ(::grantpt(ours.get()) + ::unlockpt(ours.get()) + ::ptsname_r(ours.get(), name, sizeof name), 0);
    theirs = UniqueFd(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
  }
  std::string all() {
    theirs.reset();
    std::string text;
    char chunk[4096];
    for (ssize_t got = 0; (got = ::read(ours.get(), chunk, sizeof chunk)) > 0;) text.append(chunk, got);
    return text;
  }
};

std::map<std::string, std::string> only_path() { return {{"PATH", "/usr/bin:/bin"}}; }

TEST(InTerminalTest, ItLeadsASessionInTheForegroundWithDefaultSignalsAndLimits) {
  ::signal(SIGUSR1, SIG_IGN);
  Terminal terminal;
  const auto pid =
      start_in_terminal({.argv = {"sh", "-c",
                                  "tty; umask; ulimit -n; ulimit -c; pwd; "
                                  "grep SigIgn /proc/$$/status; cut -d' ' -f5,6,8 /proc/$$/stat"},
                         .env = only_path(),
                         .workdir = "/usr",
                         .terminal = terminal.theirs.get(),
                         .open_files = 77});
  ::signal(SIGUSR1, SIG_DFL);
  ASSERT_TRUE(pid) << describe(pid.error());
  int status = 0;
  ASSERT_EQ(::waitpid(*pid, &status, 0), *pid);
  EXPECT_EQ(status, 0);
  const std::string text = terminal.all();
  for (const std::string& line :
       {std::string("/dev/pts/"), std::string("\r\n0022\r\n77\r\n0\r\n/usr\r\n"),
        std::string("SigIgn:\t0000000000000000"), fmt::format("{0} {0} {0}\r\n", *pid)}) {
    EXPECT_TRUE(text.contains(line)) << line << " is not in:\n" << text;
  }
}

TEST(InTerminalTest, WhatCannotBeStartedIsAnError) {
  Terminal terminal;
  const auto code = [&](std::string program, std::string folder) {
    const auto pid = start_in_terminal({.argv = {std::move(program)},
                                        .env = only_path(),
                                        .workdir = std::move(folder),
                                        .terminal = terminal.theirs.get(),
                                        .open_files = 64});
    return pid ? ErrorCode::internal : pid.error().code;
  };
  EXPECT_EQ(code("no-such-program-here", "/"), ErrorCode::not_found);
  EXPECT_EQ(code("true", "/nonexistent"), ErrorCode::not_found);
}

TEST(InTerminalTest, ItEndsWithItsParent) {
  int report[2];
  ASSERT_EQ(::pipe(report), 0);
  const pid_t parent = ::fork();
  if (parent == 0) {
    Terminal terminal;
    const auto pid = start_in_terminal({.argv = {"sleep", "60"},
                                        .env = only_path(),
                                        .workdir = "/",
                                        .terminal = terminal.theirs.get(),
                                        .open_files = 64});
    const int child = pid ? *pid : 0;
    (void)!::write(report[1], &child, sizeof child);
    ::pause();
  }
  int child = 0;
  ASSERT_EQ(::read(report[0], &child, sizeof child), static_cast<ssize_t>(sizeof child));
  ASSERT_GT(child, 0);
  const int watched = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  pollfd end{watched, POLLIN, 0};
  EXPECT_EQ(::poll(&end, 1, 5'000), 1);
  for (const int fd : {report[0], report[1], watched}) ::close(fd);
}

TEST(DetachedTest, ItsInputIsHandedOverWhole) {
  const auto out = std::filesystem::temp_directory_path() / fmt::format("agentmesh-detached-{}", ::getpid());
  const std::string text(200'000, 'x');
  const auto pid =
      start_detached({.argv = {"sh", "-c", "wc -c"}, .env = only_path(), .output = out, .input = text});
  ASSERT_TRUE(pid) << describe(pid.error());
  boost::asio::io_context context;
  boost::asio::co_spawn(context, reap(context.get_executor(), *pid), boost::asio::detached);
  context.run();
  EXPECT_EQ(read_file(out, 100), "200000\n");
  EXPECT_EQ(::kill(*pid, 0), -1);
  std::filesystem::remove(out);
}

TEST(FilesTest, WritesAtomicallyAndReadsWithALimit) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("agentmesh-files-" + std::to_string(::getpid()));
  ASSERT_TRUE(make_dir(folder, 0700));
  const auto path = folder / "text";
  ASSERT_TRUE(write_file(path, "one", 0600));
  ASSERT_TRUE(write_file(path, "two", 0600));
  ASSERT_TRUE(append_file(path, "+", 0600));
  EXPECT_EQ(read_file(path, 100), "two+");
  EXPECT_EQ(read_file(path, 2).error().code, ErrorCode::exhausted);
  EXPECT_EQ(read_file(folder / "none", 2).error().code, ErrorCode::not_found);
  const auto lock = lock_file(folder / "lock");
  ASSERT_TRUE(lock);
  EXPECT_EQ(lock_file(folder / "lock").error().code, ErrorCode::conflict);
  std::filesystem::remove_all(folder);
}

TEST(ProcessTest, KnowsItsOwnProgramAndItsHost) {
  EXPECT_EQ(own_program().filename(), "unit_base");
  EXPECT_FALSE(host_name().empty());
}

}  // namespace
}  // namespace agentmesh
