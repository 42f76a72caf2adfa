#include "sandbox/mount_policy.h"

#include "base/unique_fd.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace agentmesh::sandbox {
namespace {

namespace fs = std::filesystem;

// A little host below a temporary folder: a home, agentmesh's own folder, an engine's socket.
class MountPolicyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = fs::temp_directory_path() / "test-policy-XXXXXX";
    root_ = ::mkdtemp(name.data());
    for (const auto* folder : {"home/u/.ssh/keys", "home/u/.config/gh", "home/u/.config/other",
                               "home/u/.mozilla/firefox", "home/u/code/src", "home/u/.agentmesh/workspaces/a",
                               "home/u/.agentmesh/agents", "engine", "outside", "work/a", "work/b"}) {
      fs::create_directories(root_ / folder);
    }
    std::ofstream(root_ / "work/file") << "x";
    socket_ = listen_at(root_ / "engine/docker.sock");
  }
  void TearDown() override { fs::remove_all(root_); }

  static UniqueFd listen_at(const fs::path& path) {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }

  std::string at(const std::string& path) const { return (root_ / path).string(); }

  MountPolicy policy(std::vector<std::string> allow = {}) const {
    return MountPolicy({.homes = {at("home/u"), "/root"},
                        .agentmesh_home = at("home/u/.agentmesh"),
                        .engine_sockets = {at("engine/docker.sock"), "/var/run/docker.sock"},
                        .tmux_folder = at("tmp/tmux-0"),
                        .allow_roots = std::move(allow),
                        .daemon_uid = ::geteuid()});
  }

  // The rule that refuses the path as a workspace; "ok", or the code's name for another error.
  static std::string rule_of(const Error& error) {
    if (error.code != ErrorCode::denied) return std::string(to_string(error.code));
    const auto start = error.what.find(" by rule ") + 9;
    return error.what.substr(start, error.what.find(':', start) - start);
  }
  std::string rule(const std::string& path, std::vector<std::string> allow = {}) const {
    const auto found = policy(std::move(allow)).workspace(path);
    return found ? "ok" : rule_of(found.error());
  }
  std::string mount_rule(const std::string& source, const std::string& target) const {
    const auto found = policy().mount({source, target, Access::read_only});
    return found ? "ok" : rule_of(found.error());
  }

  fs::path root_;
  UniqueFd socket_;
};

TEST_F(MountPolicyTest, OrdinaryFoldersAreFine) {
  EXPECT_EQ(rule(at("work/a")), "ok");
  EXPECT_EQ(rule(at("home/u/code")), "ok");
  EXPECT_EQ(rule(at("home/u/code/")), "ok");
  EXPECT_EQ(rule(at("home/u/code/../code/./src")), "ok");
  EXPECT_EQ(rule(at("home/u/.config/other")), "ok");
  EXPECT_EQ(rule(at("home/u/.agentmesh/workspaces/a")), "ok");
}

TEST_F(MountPolicyTest, TheSystemIsRefusedByName) {
  const std::vector<std::pair<std::string, std::string>> cases{{"/", "root"},
                                                               {"//", "root"},
                                                               {"/.", "root"},
                                                               {"/tmp/..", "root"},
                                                               {"/etc", "etc"},
                                                               {"/etc/ssl", "etc"},
                                                               {"/etc/", "etc"},
                                                               {"/proc", "proc"},
                                                               {"/proc/1/root", "proc"},
                                                               {"/sys", "sys"},
                                                               {"/dev", "dev"},
                                                               {"/dev/shm", "dev"},
                                                               {"/run", "run"},
                                                               {"/var/run", "run"},
                                                               {"/run/lock", "run"},
                                                               {"/boot", "boot"},
                                                               {"/tmp/../etc", "etc"},
                                                               {"/root", "home"},
                                                               {"/var/run/docker.sock", "engine-socket"},
                                                               {"/root/.ssh", "credentials"}};
  for (const auto& [path, wanted] : cases) EXPECT_EQ(rule(path), wanted) << path;
}

TEST_F(MountPolicyTest, HomesAndSecretsAreRefused) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"home/u", "home"},
      {"home", "home"},
      {"", "engine-socket"},
      {"home/u/.ssh", "credentials"},
      {"home/u/.ssh/keys", "credentials"},
      {"home/u/.config", "credentials"},
      {"home/u/.config/gh", "credentials"},
      {"home/u/.mozilla/firefox", "browser"},
      {"home/u/.agentmesh", "agentmesh-home"},
      {"home/u/.agentmesh/agents", "agentmesh-home"},
      {"home/u/.agentmesh/workspaces", "agentmesh-home"},
      {"home/u/code/../.ssh", "credentials"},
      {"engine", "engine-socket"},
      {"engine/docker.sock", "engine-socket"}};
  for (const auto& [path, wanted] : cases) EXPECT_EQ(rule(at(path)), wanted) << path;
}

TEST_F(MountPolicyTest, MissingAndFilesAreInvalidWithClearText) {
  const auto missing = policy().workspace(at("work/none"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::invalid);
  EXPECT_EQ(missing.error().what, at("work/none") + " does not exist");
  EXPECT_EQ(missing.error().hint, "mkdir -p " + at("work/none"));
  const auto file = policy().workspace(at("work/file"));
  EXPECT_EQ(file.error().code, ErrorCode::invalid);
  EXPECT_EQ(file.error().what, at("work/file") + " is a file, not a folder");
  EXPECT_EQ(rule("relative"), "invalid");
  EXPECT_EQ(rule(""), "invalid");
  EXPECT_EQ(rule(std::string("/tmp\0/x", 7)), "invalid");
  EXPECT_EQ(rule("/" + std::string(5000, 'a')), "invalid");
  EXPECT_EQ(rule(at("work/file/x")), "invalid");
}

TEST_F(MountPolicyTest, LinksStayInTheirFolderOrAreRefused) {
  fs::create_symlink("a", root_ / "work/current");
  fs::create_symlink(at("outside"), root_ / "work/absolute");
  fs::create_symlink("../outside", root_ / "work/out");
  fs::create_symlink("/etc", root_ / "work/etc");
  fs::create_symlink("loop", root_ / "work/loop");
  fs::create_symlink("../b", root_ / "work/a/sideways");
  fs::create_symlink(at("engine/docker.sock"), root_ / "work/sock");
  const auto inside = policy().workspace(at("work/current"));
  ASSERT_TRUE(inside) << describe(inside.error());
  EXPECT_EQ(inside->path, at("work/a"));
  EXPECT_EQ(rule(at("work/absolute")), "link-out");
  EXPECT_EQ(rule(at("work/out")), "link-out");
  EXPECT_EQ(rule(at("work/etc")), "link-out");
  EXPECT_EQ(rule(at("work/etc/ssl")), "link-out");
  EXPECT_EQ(rule(at("work/loop")), "link-out");
  EXPECT_EQ(rule(at("work/a/sideways")), "link-out");
  EXPECT_EQ(rule(at("work/current/sideways")), "ok") << "work/current holds the way, and work/b lies in work";
  EXPECT_EQ(rule(at("work/sock")), "link-out");
  EXPECT_EQ(rule("/proc/self/root"), "proc");
  EXPECT_EQ(rule("/proc/self/cwd"), "proc");
}

TEST_F(MountPolicyTest, TheEnginesSocketIsKnownByAnyName) {
  fs::create_hard_link(root_ / "engine/docker.sock", root_ / "work/a/innocent");
  EXPECT_EQ(rule(at("work/a")), "engine-socket") << "a folder that holds it";
  EXPECT_EQ(mount_rule(at("work/a/innocent"), "/mnt/x"), "engine-socket");
  EXPECT_EQ(rule(at("work/a"), {at("work")}), "engine-socket") << "not even by allow_mounts";
  const auto other = listen_at(root_ / "work/b/other.sock");
  EXPECT_EQ(rule(at("work/b")), "ok") << "a socket of somebody else in the folder";
  EXPECT_EQ(mount_rule(at("work/b/other.sock"), "/mnt/x"), "special-file");
  EXPECT_EQ(mount_rule("/dev/null", "/mnt/x"), "dev");
}

TEST_F(MountPolicyTest, TmuxSocketsAndAllAboveThemAreRefused) {
  fs::create_directories(root_ / "tmp/tmux-0");
  fs::create_directories(root_ / "tmp/work");
  for (const char* path : {"tmp", "tmp/tmux-0"}) {
    EXPECT_EQ(rule(at(path)), "tmux-socket") << path;
    EXPECT_EQ(rule(at(path), {at("tmp")}), "tmux-socket") << "not even by allow_mounts";
    EXPECT_EQ(mount_rule(at(path), "/mnt/x"), "tmux-socket");
  }
  EXPECT_EQ(rule(at("tmp/work")), "ok");
}

TEST_F(MountPolicyTest, AllowRootsLiftOrdinaryRules) {
  EXPECT_EQ(rule(at("home/u/.ssh/keys"), {at("home/u/.ssh")}), "ok");
  EXPECT_EQ(rule(at("home/u/.ssh"), {at("home/u/.ssh/keys")}), "credentials");
  EXPECT_EQ(rule("/etc/ssl", {"/etc/ssl"}), "ok");
  EXPECT_EQ(rule("/", {"/"}), "root");
}

TEST_F(MountPolicyTest, TargetsThatTheSandboxNeedsAreRefused) {
  for (const auto* target : {"/", "/workspace", "/workspace/", "/home", "/home/agent", "/x/../workspace",
                             "/tmp", "/run", "/run/agentmesh", "/run/x", "/proc", "/proc/x", "/sys/x",
                             "/dev/x", "/etc", "/usr", "/bin", "/lib", "//workspace"}) {
    EXPECT_EQ(mount_rule(at("work/a"), target), "target") << target;
  }
  for (const auto* target :
       {"/mnt/x", "/data", "/workspace/sub", "/home/agent/.cache", "/opt/x", "/workspaces"}) {
    EXPECT_EQ(mount_rule(at("work/a"), target), "ok") << target;
  }
  const auto mount = policy().mount({at("work/file"), "/data//x/", Access::read_write});
  ASSERT_TRUE(mount) << describe(mount.error());
  EXPECT_EQ(*mount, (Mount{at("work/file"), "/data/x", Access::read_write}));
}

TEST_F(MountPolicyTest, MountTextIsParsed) {
  const auto parsed = [](std::string_view text) -> std::string {
    const auto request = parse_mount(text);
    if (!request) return std::string(to_string(request.error().code));
    return fmt::format("{}|{}|{}", request->source, request->target,
                       request->access == Access::read_write ? "rw" : "ro");
  };
  EXPECT_EQ(parsed("/a:/b"), "/a|/b|ro");
  EXPECT_EQ(parsed("/a:/b:ro"), "/a|/b|ro");
  EXPECT_EQ(parsed("/a:/b:rw"), "/a|/b|rw");
  EXPECT_EQ(parsed("/a:c:/b:rw"), "/a:c|/b|rw");
  for (const auto* bad :
       {"", ":", "/a", "/a:", ":/b", "a:/b", "/a:b", "/a:/b:rx", "/a:/b:ro:x", "/a:rw", ":rw", "/a::rw"}) {
    EXPECT_EQ(parsed(bad), "invalid") << bad;
  }
  EXPECT_EQ(parsed(std::string_view("/a\0:/b", 6)), "invalid");
  EXPECT_EQ(parsed("/a:/" + std::string(5000, 'b')), "invalid");
}

TEST_F(MountPolicyTest, AgentsRunAsTheOwnerOrNotAtAll) {
  const auto source = policy().workspace(at("work/a"));
  ASSERT_TRUE(source);
  EXPECT_EQ(policy().identity(*source)->uid, ::geteuid());
  auto facts = policy().facts();
  auto foreign = *source;
  foreign.owner = {4321, 4322};
  facts.daemon_uid = 0;
  EXPECT_EQ(*MountPolicy(facts).identity(foreign), (Identity{4321, 4322}));
  facts.daemon_uid = 4321;
  EXPECT_EQ(*MountPolicy(facts).identity(foreign), (Identity{4321, 4322}));
  facts.daemon_uid = 1000;
  EXPECT_EQ(rule_of(MountPolicy(facts).identity(foreign).error()), "owner");
  foreign.owner = {0, 0};
  EXPECT_EQ(rule_of(MountPolicy(facts).identity(foreign).error()), "owner")
      << "a user's daemon never becomes root";
}

TEST_F(MountPolicyTest, ARecheckSeesAReplacedFolder) {
  const auto source = policy().workspace(at("work/a"));
  ASSERT_TRUE(source);
  EXPECT_TRUE(recheck(*source));
  fs::rename(root_ / "work/a", root_ / "work/old");
  EXPECT_FALSE(recheck(*source));
  fs::create_symlink("old", root_ / "work/a");
  EXPECT_FALSE(recheck(*source)) << "the same folder, but by a link";
  fs::remove(root_ / "work/a");
  fs::create_directory(root_ / "work/a");
  EXPECT_FALSE(recheck(*source)) << "another folder by the same name";
}

TEST_F(MountPolicyTest, TenThousandSwapsOfALinkNeverLeadOut) {
  fs::create_directories(root_ / "work/b/x");
  fs::create_directories(root_ / "outside/x");
  const auto judge = policy();
  const pid_t swapper = ::fork();
  if (swapper == 0) {
    const auto link = at("work/link"), spare = at("work/spare");
    for (;;) {
      for (const auto* target : {"b", "../outside"}) {
        ::unlink(spare.c_str());
        if (::symlink(target, spare.c_str()) == 0) ::rename(spare.c_str(), link.c_str());
      }
    }
  }
  int good = 0;
  for (int i = 0; i < 10'000; ++i) {
    const auto found = judge.workspace(at("work/link/x"));
    if (!found) continue;
    ++good;
    ASSERT_EQ(found->path, at("work/b/x"));
  }
  ::kill(swapper, SIGKILL);
  ::waitpid(swapper, nullptr, 0);
  EXPECT_GT(good, 0);
}

TEST(HostFacts, AreTakenFromTheHost) {
  const auto facts = host_facts("/tmp/x", {});
  EXPECT_FALSE(facts.homes.empty());
  EXPECT_NE(std::ranges::find(facts.engine_sockets, "/var/run/docker.sock"), facts.engine_sockets.end());
  EXPECT_EQ(facts.daemon_uid, ::geteuid());
}

}  // namespace
}  // namespace agentmesh::sandbox
