// A Docker engine of the test's own, stopped in the middle of its work and let go again.

#include "sandbox/docker_engine.h"
#include "sandbox/events_feed.h"
#include "tests/net/run_task.h"

#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace agentmesh::sandbox {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;

// Its own root, socket and containerd; no bridge, no firewall rules.
class PrivateEngine {
 public:
  PrivateEngine() {
    std::string name = "/tmp/test-engine-own-XXXXXX";
    root_ = ::mkdtemp(name.data());
    const std::vector<std::string> words{"dockerd",
                                         "--data-root=" + (root_ / "data").string(),
                                         "--exec-root=" + (root_ / "exec").string(),
                                         "--pidfile=" + (root_ / "pid").string(),
                                         "--host=unix://" + socket(),
                                         "--bridge=none",
                                         "--iptables=false",
                                         "--ip6tables=false"};
    std::vector<char*> argv;
    for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ != 0) return;
    // Even with no bridge of its own it would delete the host's docker0.
    if (::unshare(CLONE_NEWNET) != 0) ::_exit(126);
    ::setenv("DOCKER_TMPDIR", root_.c_str(), 1);
    const int quiet = ::open("/dev/null", O_RDWR);
    for (const int fd : {0, 1, 2}) ::dup2(quiet, fd);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  ~PrivateEngine() {
    if (alive()) {
      ::kill(pid_, SIGCONT);
      ::kill(pid_, SIGTERM);
      ::waitpid(pid_, nullptr, 0);
    }
    std::error_code ec;
    fs::remove_all(root_, ec);
  }
  std::string socket() const { return (root_ / "sock").string(); }
  // Once it is reaped its number belongs to nobody we may signal.
  bool alive() const { return pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == 0; }
  void signal(int number) const { ::kill(pid_, number); }

 private:
  fs::path root_;
  pid_t pid_ = -1;
};

class HungEngine : public ::testing::Test {
 protected:
  bool eventually(Millis limit, const std::function<bool()>& condition) {
    const auto until = std::chrono::steady_clock::now() + limit;
    io_.restart();
    asio::steady_timer look(io_);
    while (!condition() && std::chrono::steady_clock::now() < until) {
      look.expires_after(Millis{20});
      look.async_wait([](boost::system::error_code) {});
      io_.run_one();
    }
    return condition();
  }
  bool answers(DockerEngine& engine) { return test::run_task<void>(io_, engine.ping()).has_value(); }

  asio::io_context io_;
  net::HttpClient http_{io_.get_executor()};
};

TEST_F(HungEngine, IsToldInTimeAndFoundAgain) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to start an engine";
  const PrivateEngine own;
  DockerEngine engine(http_, {.socket = own.socket(), .deadline = Millis{500}});
  ASSERT_TRUE(eventually(Millis{20'000}, [&] { return answers(engine) || !own.alive(); }));
  if (!own.alive()) GTEST_SKIP() << "no engine can be started here";

  int connected = 0;
  std::vector<Error> lost;
  EventsFeed feed(io_.get_executor(), http_,
                  {.socket = own.socket(),
                   .owner = "test-engine-own",
                   .quiet_limit = Millis{300},
                   .ping_deadline = Millis{300}},
                  {{}, [&] { ++connected; }, [&](const Error& error) { lost.push_back(error); }});
  feed.start();
  ASSERT_TRUE(eventually(Millis{5000}, [&] { return connected == 1; }));

  own.signal(SIGSTOP);
  const auto asked = test::run_task<std::vector<ContainerSummary>>(io_, engine.list({}));
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().code, ErrorCode::timeout) << describe(asked.error());
  ASSERT_TRUE(eventually(Millis{3000}, [&] { return lost.size() == 1; }));
  EXPECT_EQ(lost[0].code, ErrorCode::timeout) << describe(lost[0]);
  EXPECT_FALSE(feed.is_connected());

  own.signal(SIGCONT);
  EXPECT_TRUE(eventually(Millis{6000}, [&] { return feed.is_connected(); }));
  EXPECT_EQ(lost.size(), 1U) << "one break, told once";
  EXPECT_TRUE((test::run_task<std::vector<ContainerSummary>>(io_, engine.list({}))));

  own.signal(SIGTERM);
  EXPECT_TRUE(eventually(Millis{5000}, [&] { return lost.size() == 2; }));
  EXPECT_EQ((test::run_task<std::vector<ContainerSummary>>(io_, engine.list({}))).error().code,
            ErrorCode::unavailable);
}

}  // namespace
}  // namespace agentmesh::sandbox
