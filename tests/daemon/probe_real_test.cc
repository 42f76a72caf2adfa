// The kernel's own numbers: a container whose program spins, and one whose program lets a tool work.
#include "base/files.h"
#include "daemon/probe.h"
#include "sandbox/docker_engine.h"
#include "sandbox/engine_socket.h"
#include "sandbox/image.h"
#include "tests/fakes/eventually.h"
#include "tests/net/run_task.h"

#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
namespace wd = agentmesh::watchdog;

// Spins itself until it is told to work; then children spin, one after the other.
constexpr std::string_view kProgram =
    "while [ ! -e /workspace/go ]; do :; done; "
    "while :; do sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'; done";

class RealProbe : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(work_ / "ws");
    fs::create_directories(work_ / "elsewhere");
    ASSERT_EQ(::chown((work_ / "ws").c_str(), 1234, 1235), 0);
    const auto image = run(engine_.inspect_image(std::string(sandbox::kBaseImage)));
    ASSERT_TRUE(image) << describe(image.error());
    sandbox::RunSpec spec;
    spec.image = image->id;
    spec.command = {"sh", "-c", std::string(kProgram)};
    spec.user = {1234, 1235};
    spec.limits = {.cpus = 0.5, .memory_bytes = 64ULL << 20U, .pids = 64};
    spec.hostname = "sandbox";
    spec.mounts = {{(work_ / "ws").string(), "/workspace", sandbox::Access::read_write}};
    spec.labels = {{std::string(sandbox::kOwnerLabel), owner_}};
    const auto id = run(engine_.create(container_name(agent_, RunId{1}), std::move(spec)));
    ASSERT_TRUE(id) << describe(id.error());
    id_ = *id;
    const auto started = run(engine_.start(id_));
    ASSERT_TRUE(started) << describe(started.error());
  }
  void TearDown() override {
    if (!id_.empty()) (void)run(engine_.remove(id_));
    fs::remove_all(work_);
  }

  template <class T>
  Result<T> run(Task<T> task) {
    return test::run_task<T>(io_, std::move(task));
  }

  wd::Probed probe(const fs::path& workspace, Millis age) {
    wd::Probed answer;
    asio::co_spawn(io_,
                   prober_.probe(agent_, workspace.string(),
                                 {.run = RunId{1}, .asked = clock_.now(), .since = clock_.now() - age}),
                   [&](std::exception_ptr problem, wd::Probed got) {
                     EXPECT_FALSE(problem);
                     answer = std::move(got);
                     io_.stop();
                   });
    io_.restart();
    io_.run();
    return answer;
  }

  asio::io_context io_;
  net::HttpClient http_{io_.get_executor()};
  std::string socket_ = sandbox::find_engine_socket(sandbox::this_host()).value_or("/var/run/docker.sock");
  sandbox::DockerEngine engine_{http_, {.socket = socket_}};
  host::Runs host_{io_.get_executor(), http_, {.folder = "/nonexistent"}, {}};
  std::string owner_ = fmt::format("test-probe-{}", ::getpid());
  AgentName agent_ = *AgentName::parse(owner_);
  fs::path work_ = fs::temp_directory_path() / owner_;
  std::string id_;
  SystemClock clock_;
  Offload offload_;
  Prober prober_{
      find_process(engine_, host_), clock_, offload_, {.own_within = Millis{1'000}, .window = Millis{1'000}}};
};

TEST_F(RealProbe, ASpinnerIsNoWorkAndAToolIs) {
  const auto spinning = probe(work_ / "elsewhere", Millis{});
  EXPECT_EQ(spinning.progress, wd::Progress::none) << spinning.detail;
  ASSERT_TRUE(write_file(work_ / "ws/go", "", 0644));
  const bool seen = test::eventually(io_, Millis{20'000}, [&] {
    return probe(work_ / "elsewhere", Millis{}).progress == wd::Progress::seen;
  });
  EXPECT_TRUE(seen);
  EXPECT_EQ(probe(work_ / "ws", Millis{60'000}).detail, "go was written to");
}

TEST_F(RealProbe, AContainerThatHasEndedIsNotKnown) {
  const auto killed = run(engine_.remove(std::exchange(id_, "")));
  ASSERT_TRUE(killed) << describe(killed.error());
  EXPECT_EQ(probe(work_ / "elsewhere", Millis{}).progress, wd::Progress::unknown);
}

}  // namespace
}  // namespace agentmesh::daemon
