#include "daemon/host_launch.h"

#include "base/files.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

namespace fs = std::filesystem;

class HostLaunchTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(make_dir(root_ / "work", 0700));
    fs::create_symlink("work", root_ / "link");
    spec_.place = agents::Place::host;
    spec_.permissions = "own";
    spec_.workdir = (root_ / "link").string();
  }
  void TearDown() override { fs::remove_all(root_); }

  fs::path root_ = fs::canonical(fs::temp_directory_path()) / fmt::format("agentmesh-launch-{}", ::getpid());
  Home home_{root_ / "mesh"};
  AgentSpec spec_;
  LaunchInput input_{.name = *AgentName::parse("demo"), .run = RunId{1}, .agent_id = "id-1"};
};

TEST(HandedOnTest, OnlyWhatIsNamed) {
  const auto given = handed_on({{"HOME", "/h"},
                                {"PATH", "/bin"},
                                {"LC_ALL", "C"},
                                {"XDG_CONFIG_HOME", "/x"},
                                {"https_proxy", "http://p"},
                                {"AGENTMESH_HUB_TOKEN", "t"},
                                {"ANTHROPIC_API_KEY", "k"},
                                {"DOCKER_HOST", "d"},
                                {"LD_PRELOAD", "l"}});
  std::vector<std::string> names;
  for (const auto& [name, value] : given) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"HOME", "LC_ALL", "PATH", "XDG_CONFIG_HOME", "https_proxy"}));
}

TEST(FreePortTest, IsBelowTheKernelsOwnAndCanBeListenedOn) {
  const auto port = free_port();
  ASSERT_TRUE(port);
  EXPECT_GE(*port, 12'000);
  EXPECT_LT(*port, 32'768);
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(*port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
}

TEST_F(HostLaunchTest, AServerOfItsOwnHasAPortAndAPasswordInTheEnvironmentAlone) {
  spec_.runner = "opencode";
  const auto launch = prepare_host_launch(spec_, input_, home_);
  ASSERT_TRUE(launch) << describe(launch.error());
  EXPECT_EQ(launch->workdir, (root_ / "work").string());
  EXPECT_NE(launch->http_port, 0);
  const std::string& password = launch->http_password.reveal();
  EXPECT_EQ(password.size(), 32U);
  EXPECT_EQ(launch->env.at("OPENCODE_SERVER_PASSWORD"), password);
  for (const std::string& word : launch->argv) EXPECT_FALSE(word.contains(password)) << word;
  EXPECT_EQ(launch->env.at("AGENTMESH_HOOK"), (home_.agent_run(input_.name) / "hook.sock").string());
  EXPECT_EQ(launch->env.at("AGENTMESH_AGENT_ID"), "id-1");
  EXPECT_FALSE(launch->env.at("OPENCODE_CONFIG_CONTENT").contains("permission"));
  EXPECT_NE(prepare_host_launch(spec_, input_, home_)->http_password.reveal(), password);
}

TEST_F(HostLaunchTest, AProgramWithoutAServerHasNeither) {
  spec_.runner = "custom";
  spec_.command = "true";
  spec_.env = {{"LANG", "de_DE.UTF-8"}};
  const auto launch = prepare_host_launch(spec_, input_, home_);
  ASSERT_TRUE(launch) << describe(launch.error());
  EXPECT_EQ(launch->http_port, 0);
  EXPECT_TRUE(launch->http_password.empty());
  EXPECT_EQ(launch->env.at("LANG"), "de_DE.UTF-8");
  EXPECT_FALSE(launch->env.contains("AGENTMESH_HOME"));
}

// The user's, or nothing.
std::string value_of(const std::map<std::string, std::string>& environment, const std::string& name) {
  const auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

TEST_F(HostLaunchTest, TheUsersVariablesWinButForOursInBothPlaces) {
  spec_.runner = "opencode";
  spec_.env = {{"OPENCODE_CONFIG_CONTENT", "{}"},
               {"LANG", "de_DE.UTF-8"},
               {"AGENTMESH_HOOK", "/nope"},
               {"AGENTMESH_AGENT", "another"},
               {"AGENTMESH_MORE", "x"}};
  const auto host = prepare_host_launch(spec_, input_, home_);
  ASSERT_TRUE(host) << describe(host.error());
  spec_.place = agents::Place::sandbox;
  spec_.network = "none";
  spec_.cpus = 1;
  spec_.memory_bytes = 1ULL << 30;
  spec_.pids = 512;
  input_.image_id = "sha256:0";
  spec_.env["HOME"] = "/nope";
  const auto boxed = prepare_launch(spec_, input_, home_,
                                    sandbox::MountPolicy(sandbox::PolicyFacts{
                                        .agentmesh_home = home_.root.string(), .daemon_uid = ::geteuid()}),
                                    sandbox::HostCapacity{.cpus = 4, .memory_bytes = 8ULL << 30});
  ASSERT_TRUE(boxed) << describe(boxed.error());
  for (const auto& environment : {host->env, boxed->run.environment}) {
    EXPECT_EQ(value_of(environment, "OPENCODE_CONFIG_CONTENT"), "{}");
    EXPECT_EQ(value_of(environment, "LANG"), "de_DE.UTF-8");
    EXPECT_TRUE(value_of(environment, "AGENTMESH_HOOK").ends_with("/hook.sock"));
    EXPECT_EQ(value_of(environment, "AGENTMESH_AGENT"), "demo");
    EXPECT_EQ(value_of(environment, "AGENTMESH_MORE"), "");
    EXPECT_EQ(value_of(environment, "TERM"), "xterm-256color");
    EXPECT_NE(value_of(environment, "HOME"), "/nope");
  }
}

TEST_F(HostLaunchTest, AWorkdirThatIsNoFolderIsAnError) {
  spec_.runner = "custom";
  spec_.command = "true";
  EXPECT_EQ(check_host_launch(spec_, input_.name), (root_ / "work").string());
  for (const char* path : {"/nonexistent", "/etc/passwd", ""}) {
    spec_.workdir = path;
    EXPECT_EQ(check_host_launch(spec_, input_.name).error().code, ErrorCode::invalid) << path;
    EXPECT_EQ(prepare_host_launch(spec_, input_, home_).error().code, ErrorCode::invalid) << path;
  }
}

}  // namespace
}  // namespace agentmesh::daemon
