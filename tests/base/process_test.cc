#include "base/process.h"

#include "base/files.h"

#include <array>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
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

}  // namespace
}  // namespace agentmesh
