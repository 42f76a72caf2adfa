// The engine of this machine. Every container carries the label of this test run and is removed at its end.

#include "base/json.h"
#include "base/text.h"
#include "sandbox/docker_engine.h"
#include "sandbox/docker_wire.h"
#include "sandbox/engine_socket.h"
#include "sandbox/image.h"
#include "tests/net/run_task.h"

#include <filesystem>
#include <fstream>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::sandbox {
namespace {

using nlohmann::json;
using test::run_task;

constexpr std::uint64_t kMiB = 1024ULL * 1024;

class RealEngine : public ::testing::Test {
 protected:
  void SetUp() override {
    owner_ = fmt::format("test-engine-{}", ::getpid());
    work_ = std::filesystem::temp_directory_path() / (owner_ + "-ws");
    std::filesystem::create_directories(work_ / "ws");
    std::filesystem::create_directories(work_ / "channel");
    std::filesystem::create_directories(work_ / "home");
    for (const auto* part : {"ws", "channel", "home"}) ::chown((work_ / part).c_str(), 1234, 1235);
    const auto image = run(engine_.inspect_image(std::string(kBaseImage)));
    ASSERT_TRUE(image) << describe(image.error());
    image_ = image->id;
  }
  void TearDown() override {
    const auto left = run(engine_.list({{std::string(kOwnerLabel), owner_}}));
    for (const auto& container : left.value_or(std::vector<ContainerSummary>{}))
      (void)run(engine_.remove(container.id));
    const auto networks = run(engine_.list_networks({{std::string(kOwnerLabel), owner_}}));
    for (const auto& network : networks.value_or(std::vector<NetworkDetails>{}))
      (void)run(engine_.remove_network(network.id));
    std::filesystem::remove_all(work_);
  }

  template <class T>
  Result<T> run(Task<T> task) {
    return run_task<T>(io_, std::move(task));
  }

  RunSpec spec(std::vector<std::string> command) {
    RunSpec out;
    out.image = image_;
    out.command = std::move(command);
    out.user = {1234, 1235};
    out.limits.memory_bytes = 64 * kMiB;
    out.limits.pids = 64;
    out.limits.cpus = 0.5;
    out.hostname = "sandbox";
    out.environment = {{"HOME", "/home/agent"}, {"GREETING", "hello = world"}};
    out.mounts = {{(work_ / "ws").string(), "/workspace", Access::read_write},
                  {(work_ / "channel").string(), "/run/agentmesh", Access::read_write},
                  {(work_ / "home").string(), "/home/agent", Access::read_write}};
    out.labels = {
        {std::string(kOwnerLabel), owner_}, {std::string(kAgentLabel), "a"}, {std::string(kRunLabel), "1"}};
    out.labels[std::string(kSpecLabel)] = spec_hash(out);
    return out;
  }

  Result<std::string> started(RunSpec wanted) {
    const auto ok = validate(wanted, {});
    if (!ok) return pass(ok.error());
    auto id = run(engine_.create(fmt::format("{}-{}", owner_, ++count_), std::move(wanted)));
    if (!id) return id;
    const auto start = run(engine_.start(*id));
    if (!start) return pass(start.error());
    return id;
  }

  std::string inside(const std::string& id, std::string script) {
    ExecRequest request;
    request.command = {"sh", "-c", std::move(script)};
    const auto result = run(engine_.exec(id, request));
    return result ? fmt::format("{}[{}]", result->out, result->exit_code) : describe(result.error());
  }

  json raw_inspect(const std::string& id) {
    net::HttpRequest request;
    request.url = "http://engine/v1.41/containers/" + id + "/json";
    request.unix_socket = socket_;
    const auto response = run(http_.send(request));
    return response ? json::parse(response->body) : json();
  }

  boost::asio::io_context io_;
  net::HttpClient http_{io_.get_executor()};
  std::string socket_ = find_engine_socket(this_host()).value_or("/var/run/docker.sock");
  DockerEngine engine_{http_, {.socket = socket_}};
  std::string owner_;
  std::filesystem::path work_;
  std::string image_;
  int count_ = 0;
};

TEST_F(RealEngine, SaysWhatItIs) {
  ASSERT_TRUE(run(engine_.ping()));
  const auto version = run(engine_.version());
  ASSERT_TRUE(version) << describe(version.error());
  EXPECT_TRUE(version->api.starts_with("1.4"));
  const auto info = run(engine_.info());
  ASSERT_TRUE(info) << describe(info.error());
  EXPECT_GT(info->cpus, 0U);
  EXPECT_GT(info->memory_bytes, 100 * kMiB);
  EXPECT_FALSE(info->cgroup_version.empty());
  EXPECT_TRUE(info->seccomp);
}

TEST_F(RealEngine, TheContainerIsWhatTheSpecSaysFromOutside) {
  const auto id = started(spec({"sleep", "60"}));
  ASSERT_TRUE(id) << describe(id.error());
  const auto all = raw_inspect(*id);
  const auto& host = all["HostConfig"];
  EXPECT_EQ(host["NanoCpus"], 500'000'000);
  EXPECT_EQ(host["Memory"], 64 * kMiB);
  EXPECT_EQ(host["MemorySwap"], 64 * kMiB);
  EXPECT_EQ(host["PidsLimit"], 64);
  EXPECT_EQ(host["CapDrop"], json({"ALL"}));
  EXPECT_EQ(host["SecurityOpt"], json({"no-new-privileges:true"}));
  EXPECT_EQ(host["ReadonlyRootfs"], true);
  EXPECT_EQ(host["IpcMode"], "private");
  EXPECT_EQ(host["CgroupnsMode"], "private");
  EXPECT_EQ(host["PidMode"], "");
  EXPECT_EQ(host["NetworkMode"], "none");
  EXPECT_EQ(host["Init"], true);
  EXPECT_EQ(host["Privileged"], false);
  EXPECT_EQ(host["RestartPolicy"]["Name"], "no");
  EXPECT_EQ(host["LogConfig"]["Type"], "json-file");
  EXPECT_EQ(all["Config"]["User"], "1234:1235");
  EXPECT_EQ(all["Config"]["Tty"], true);
  EXPECT_EQ(all["Config"]["OpenStdin"], true);
  EXPECT_EQ(all["Image"], image_);
  std::map<std::string, bool> writable;
  for (const auto& mount : all["Mounts"]) writable[mount["Destination"]] = mount["RW"];
  EXPECT_EQ(writable, (std::map<std::string, bool>{
                          {"/workspace", true}, {"/run/agentmesh", true}, {"/home/agent", true}}));
}

TEST_F(RealEngine, TheContainerIsWhatTheSpecSaysFromInside) {
  const auto id = started(spec({"sleep", "60"}));
  ASSERT_TRUE(id) << describe(id.error());
  EXPECT_EQ(inside(*id, "grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/1/status"),
            "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
            "CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n[0]");
  EXPECT_EQ(inside(*id, "id -u; id -g; ulimit -c; ulimit -n; hostname; pwd; echo \"$GREETING\""),
            "1234\n1235\n0\n16384\nsandbox\n/workspace\nhello = world\n[0]");
  EXPECT_EQ(inside(*id, "touch /workspace/a /home/agent/a /run/agentmesh/a /run/a /tmp/a && echo fine"),
            "fine\n[0]");
  EXPECT_EQ(
      inside(
          *id,
          "cp /bin/true /tmp/t && /tmp/t && echo runs; cp /bin/true /run/t; /run/t 2>/dev/null || echo no"),
      "runs\nno\n[0]");
  const auto mounts = inside(*id, "grep -E ' (/|/tmp|/run|/run/agentmesh|/workspace) ' /proc/mounts");
  for (const auto line : split(mounts, '\n')) {
    if (line.find(" / ") != std::string_view::npos)
      EXPECT_NE(line.find(" ro,"), std::string_view::npos) << line;
    if (line.starts_with("tmpfs /tmp "))
      EXPECT_NE(line.find("rw,nosuid,nodev"), std::string_view::npos) << line;
    if (line.starts_with("tmpfs /run "))
      EXPECT_NE(line.find("rw,nosuid,nodev,noexec"), std::string_view::npos) << line;
  }
}

TEST_F(RealEngine, NothingLeavesTheSandbox) {
  auto wanted = spec({"sleep", "60"});
  wanted.mounts.push_back({"/usr/share/doc", "/docs", Access::read_only});
  const auto id = started(wanted);
  ASSERT_TRUE(id) << describe(id.error());
  for (const auto* attempt : {"touch /x",
                              "touch /etc/x",
                              "touch /docs/x",
                              "mkdir /dev/x",
                              "mount -t tmpfs x /tmp",
                              "umount /workspace",
                              "mount -o remount,rw /",
                              "mount -o remount,rw /docs",
                              "unshare -U true",
                              "unshare -m true",
                              "chroot / true",
                              "mknod /tmp/d b 8 0",
                              "cat /proc/kcore",
                              "echo 1 > /proc/sys/kernel/panic",
                              "echo b > /proc/sysrq-trigger",
                              "ls /var/run/docker.sock",
                              "chown 0 /workspace",
                              "su -c true",
                              "cat /proc/1/root/etc/shadow",
                              "ip link add x type dummy",
                              "hostname x",
                              "test $(nice -n -5 nice) -lt 0",
                              "dmesg",
                              "test $(ls /sys/class/net | wc -l) -gt 1",
                              "mount --bind / /tmp"}) {
    EXPECT_EQ(inside(*id, std::string("(") + attempt + ") >/dev/null 2>&1 && echo escaped || echo held"),
              "held\n[0]")
        << attempt;
  }
}

TEST_F(RealEngine, RootInsideHasNoRights) {
  auto wanted = spec({"sleep", "60"});
  wanted.user = {0, 0};
  const auto id = started(wanted);
  ASSERT_TRUE(id) << describe(id.error());
  EXPECT_EQ(inside(*id, "grep CapEff /proc/self/status"), "CapEff:\t0000000000000000\n[0]");
  for (const auto* attempt : {"touch /workspace/x", "touch /etc/x", "mount -t tmpfs x /tmp",
                              "chown 0 /workspace", "unshare -m true"}) {
    EXPECT_EQ(inside(*id, std::string("(") + attempt + ") >/dev/null 2>&1 && echo escaped || echo held"),
              "held\n[0]")
        << attempt;
  }
}

TEST_F(RealEngine, ALifeFromCreateToRemove) {
  auto wanted = spec({"sh", "-c", "echo one; echo two; read line; exit 7"});
  auto id = run(engine_.create(owner_ + "-life", wanted));
  ASSERT_TRUE(id) << describe(id.error());
  auto details = run(engine_.inspect(*id));
  ASSERT_TRUE(details) << describe(details.error());
  EXPECT_EQ(details->state, ContainerState::created);
  EXPECT_EQ(details->name, owner_ + "-life");
  EXPECT_EQ(details->labels, wanted.labels);
  EXPECT_FALSE(details->started_at);
  EXPECT_EQ(run(engine_.create(owner_ + "-life", wanted)).error().code, ErrorCode::conflict);
  EXPECT_EQ(run(engine_.kill(*id, SIGTERM)).error().code, ErrorCode::conflict);
  EXPECT_EQ(run(engine_.resize(*id, {100, 40})).error().code, ErrorCode::conflict);
  ASSERT_TRUE(run(engine_.start(*id)));
  ASSERT_TRUE(run(engine_.start(*id))) << "already running is success";
  ASSERT_TRUE(run(engine_.resize(*id, {100, 40})));
  details = run(engine_.inspect(*id));
  EXPECT_EQ(details->state, ContainerState::running);
  EXPECT_GT(details->pid, 0);
  EXPECT_TRUE(details->terminal);
  EXPECT_TRUE(details->started_at);
  ASSERT_TRUE(run(engine_.kill(*id, SIGKILL)));
  EXPECT_EQ(run(engine_.wait(*id)).value_or(-1), 137);
  EXPECT_EQ(run(engine_.wait(*id)).value_or(-1), 137) << "waiting for the dead answers at once";
  details = run(engine_.inspect(*id));
  EXPECT_EQ(details->state, ContainerState::exited);
  EXPECT_EQ(details->exit_code, 137);
  EXPECT_EQ(run(engine_.logs(*id, {})).value_or(""), "one\r\ntwo\r\n");
  EXPECT_EQ(run(engine_.logs(*id, {.tail_lines = 1})).value_or(""), "two\r\n");
  ASSERT_TRUE(run(engine_.stop(*id, Millis{1000}))) << "stopping the dead is success";
  ASSERT_TRUE(run(engine_.remove(*id)));
  ASSERT_TRUE(run(engine_.remove(*id))) << "twice is success";
  EXPECT_EQ(run(engine_.inspect(*id)).error().code, ErrorCode::not_found);
  EXPECT_EQ(run(engine_.start(*id)).error().code, ErrorCode::not_found);
  EXPECT_EQ(run(engine_.stop(*id, Millis{0})).error().code, ErrorCode::not_found);
  EXPECT_EQ(run(engine_.kill(*id, SIGTERM)).error().code, ErrorCode::not_found);
  EXPECT_EQ(run(engine_.wait(*id)).error().code, ErrorCode::not_found);
  EXPECT_EQ(run(engine_.logs(*id, {})).error().code, ErrorCode::not_found);
  EXPECT_EQ(run(engine_.resize(*id, {80, 24})).error().code, ErrorCode::not_found);
  EXPECT_EQ(run(engine_.inspect("")).error().code, ErrorCode::invalid);
}

TEST_F(RealEngine, StopsWithTermThenKill) {
  const auto polite = started(spec({"sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.02; done"}));
  const auto deaf = started(spec({"sh", "-c", "trap '' TERM; while :; do sleep 0.02; done"}));
  ASSERT_TRUE(polite && deaf);
  ASSERT_TRUE(run(engine_.stop(*polite, Millis{5000})));
  EXPECT_EQ(run(engine_.inspect(*polite))->exit_code, 3);
  ASSERT_TRUE(run(engine_.stop(*deaf, Millis{500})));
  EXPECT_EQ(run(engine_.inspect(*deaf))->exit_code, 137);
}

TEST_F(RealEngine, TheProcessorLimitIsLifted) {
  const auto limit_of =
      "cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null | cut -d' ' -f1";
  const auto id = started(spec({"sleep", "60"}));
  ASSERT_TRUE(id) << describe(id.error());
  EXPECT_TRUE(inside(*id, limit_of).starts_with("50000\n")) << inside(*id, limit_of);
  ASSERT_TRUE(run(engine_.lift_cpu_limit(*id)));
  const auto lifted = inside(*id, limit_of);
  EXPECT_TRUE(lifted.starts_with("-1\n") || lifted.starts_with("max\n")) << lifted;
  EXPECT_EQ(run(engine_.lift_cpu_limit(owner_ + "-none")).error().code, ErrorCode::not_found);
}

TEST_F(RealEngine, ListsByLabelInAllStates) {
  ASSERT_TRUE(started(spec({"true"})));
  ASSERT_TRUE(started(spec({"sleep", "60"})));
  auto other = spec({"true"});
  other.labels[std::string(kAgentLabel)] = "b";
  ASSERT_TRUE(run(engine_.create(owner_ + "-other", other)));
  EXPECT_EQ(run(engine_.list({{std::string(kOwnerLabel), owner_}}))->size(), 3U);
  const auto only = run(engine_.list({{std::string(kOwnerLabel), owner_}, {std::string(kAgentLabel), "b"}}));
  ASSERT_EQ(only->size(), 1U);
  EXPECT_EQ(only->front().state, ContainerState::created);
  EXPECT_EQ(only->front().name, owner_ + "-other");
  EXPECT_EQ(only->front().labels.at(std::string(kAgentLabel)), "b");
  EXPECT_TRUE(run(engine_.list({{std::string(kOwnerLabel), owner_ + "x"}}))->empty());
}

TEST_F(RealEngine, LogsWithoutATerminalAreUnframed) {
  auto wanted =
      spec({"sh", "-c", "echo out; echo err >&2; head -c 300000 /dev/zero | tr '\\0' z; echo; echo last"});
  wanted.terminal = Terminal::no;
  const auto id = started(wanted);
  ASSERT_TRUE(id) << describe(id.error());
  ASSERT_TRUE(run(engine_.wait(*id)));
  const auto all = run(engine_.logs(*id, {}));
  ASSERT_TRUE(all) << describe(all.error());
  EXPECT_TRUE(all->ends_with("z\nlast\n"));
  EXPECT_EQ(all->size(), 300'000U + 1 + 4 + 4 + 5);
  EXPECT_EQ(run(engine_.logs(*id, {.tail_lines = 10, .max_bytes = 6})).value_or(""), "\nlast\n");
}

TEST_F(RealEngine, ExecTellsOutputCodeAndFailure) {
  const auto id = started(spec({"sleep", "60"}));
  ASSERT_TRUE(id);
  ExecRequest request;
  request.command = {"sh", "-c", "echo \"$A\"; pwd; echo bad >&2; exit 5"};
  request.environment = {{"A", "b c"}};
  request.workdir = "/tmp";
  auto result = run(engine_.exec(*id, request));
  ASSERT_TRUE(result) << describe(result.error());
  EXPECT_EQ(result->out, "b c\n/tmp\n");
  EXPECT_EQ(result->err, "bad\n");
  EXPECT_EQ(result->exit_code, 5);
  EXPECT_FALSE(result->truncated);
  request.command = {"sh", "-c", "head -c 5000000 /dev/zero; echo end >&2"};
  request.max_output_bytes = 1000;
  result = run(engine_.exec(*id, request));
  ASSERT_TRUE(result) << describe(result.error());
  EXPECT_EQ(result->out.size(), 1000U);
  EXPECT_EQ(result->err, "end\n");
  EXPECT_TRUE(result->truncated);
  request.command = {"sleep", "60"};
  request.deadline = Millis{300};
  EXPECT_EQ(run(engine_.exec(*id, request)).error().code, ErrorCode::timeout);
  request.deadline = Millis{5000};
  request.command = {"/no/such/program"};
  result = run(engine_.exec(*id, request));
  EXPECT_TRUE(!result || result->exit_code != 0) << (result ? result->out : describe(result.error()));
  ASSERT_TRUE(run(engine_.kill(*id, SIGKILL)));
  ASSERT_TRUE(run(engine_.wait(*id)));
  EXPECT_EQ(run(engine_.exec(*id, request)).error().code, ErrorCode::conflict);
}

TEST_F(RealEngine, WhatCannotStartSaysWhy) {
  const auto no_program = started(spec({"/no/such/program"}));
  ASSERT_TRUE(no_program) << "the init starts; the program does not";
  EXPECT_EQ(run(engine_.wait(*no_program)).value_or(-1), 127);
  EXPECT_NE(run(engine_.logs(*no_program, {})).value_or("").find("/no/such/program"), std::string::npos);
  auto wanted = spec({"true"});
  wanted.image = "sha256:" + std::string(64, '0');
  const auto no_image = run(engine_.create(owner_ + "-x", wanted));
  ASSERT_FALSE(no_image);
  EXPECT_EQ(no_image.error().code, ErrorCode::not_found);
  EXPECT_NE(no_image.error().hint.find("agentmesh image build"), std::string::npos);
  wanted = spec({"true"});
  wanted.mounts[0].source = "/no/such/folder";
  const auto no_source = run(engine_.create(owner_ + "-y", wanted));
  ASSERT_FALSE(no_source);
  EXPECT_EQ(no_source.error().code, ErrorCode::invalid) << describe(no_source.error());
  wanted = spec({"true"});
  wanted.network = {NetworkKind::named, "test-no-such-network"};
  const auto no_network = started(wanted);
  ASSERT_FALSE(no_network);
}

TEST_F(RealEngine, ImagesAreFoundImportedAndRemoved) {
  EXPECT_EQ(run(engine_.inspect_image("agentmesh/no-such:1")).error().code, ErrorCode::not_found);
  EXPECT_EQ(run(resolve_image(engine_, std::string(kBaseImage))).value_or(""), image_);
  const auto missing = run(resolve_image(engine_, "agentmesh/no-such:1"));
  EXPECT_EQ(missing.error().hint, "agentmesh image pull agentmesh/no-such:1");
  EXPECT_FALSE(run(engine_.list_images({}))->empty());

  std::filesystem::create_directories(work_ / "root/etc");
  std::ofstream(work_ / "root/etc/motd") << "tiny\n";
  const auto tar = (work_ / "root.tar").string();
  auto upload = tar_upload((work_ / "root").string());
  ASSERT_TRUE(upload);
  std::ofstream file(tar, std::ios::binary);
  std::vector<char> buffer(4096);
  for (std::size_t size = 1; size > 0;) {
    size = upload->pull(buffer).value_or(0);
    file.write(buffer.data(), static_cast<std::streamsize>(size));
  }
  file.close();
  const std::string tag = "test-engine/tiny:" + std::to_string(::getpid());
  std::vector<std::string> said;
  const auto id = run(engine_.import_image({tar, tag, {"CMD [\"/bin/true\"]", "LABEL a=b"}},
                                           [&](const ImageProgress& p) { said.push_back(p.status); }));
  ASSERT_TRUE(id) << describe(id.error());
  EXPECT_TRUE(id->starts_with("sha256:"));
  EXPECT_FALSE(said.empty());
  EXPECT_EQ(run(engine_.inspect_image(tag))->labels.at("a"), "b");
  ASSERT_TRUE(run(engine_.remove_image(tag)));
  ASSERT_TRUE(run(engine_.remove_image(tag)));
  std::ofstream(tar) << "this is not a tar";
  EXPECT_FALSE(run(engine_.import_image({tar, tag, {}}, {})));
}

TEST_F(RealEngine, BuildsFromAFolderWithProgressAndErrors) {
  std::filesystem::create_directories(work_ / "ctx/sub");
  std::ofstream(work_ / "ctx/Dockerfile.test")
      << "FROM debian:bookworm-slim\nARG WHO\nCOPY sub /sub\nLABEL who=$WHO\nCMD [\"cat\",\"/sub/a\"]\n";
  std::ofstream(work_ / "ctx/sub/a") << "content\n";
  const std::string tag = "test-engine/built:" + std::to_string(::getpid());
  BuildRequest request{(work_ / "ctx").string(), "Dockerfile.test", tag,
                       {{"WHO", "me you"}},      {{"x", "y"}},      ""};
  std::string said;
  const auto id = run(engine_.build_image(request, [&](const ImageProgress& p) { said += p.status + "\n"; }));
  ASSERT_TRUE(id) << describe(id.error()) << said;
  EXPECT_NE(said.find("Step 1/"), std::string::npos);
  const auto image = run(engine_.inspect_image(tag));
  EXPECT_EQ(image->id, *id);
  EXPECT_EQ(image->labels.at("who"), "me you");
  EXPECT_EQ(image->labels.at("x"), "y");
  ASSERT_TRUE(run(engine_.remove_image(tag)));
  std::ofstream(work_ / "ctx/Dockerfile.test") << "FROM debian:bookworm-slim\nCOPY missing /x\n";
  const auto broken = run(engine_.build_image(request, {}));
  ASSERT_FALSE(broken);
  EXPECT_NE(broken.error().what.find("missing"), std::string::npos) << describe(broken.error());
}

TEST_F(RealEngine, APullWithoutARegistrySaysSo) {
  const auto pulled = run(engine_.pull_image("127.0.0.1:1/no/such:1", {}));
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code, ErrorCode::unavailable) << describe(pulled.error());
}

TEST_F(RealEngine, InternalNetworksComeAndGo) {
  const auto name = owner_ + "-net";
  NetworkRequest request{
      name, Reach::internal, "10.213.77.0/24", "10.213.77.1", {{std::string(kOwnerLabel), owner_}}};
  const auto id = run(engine_.create_network(request));
  if (!id) GTEST_SKIP() << "this engine makes no networks: " << describe(id.error());
  EXPECT_EQ(run(engine_.create_network(request)).error().code, ErrorCode::conflict);
  request.name += "2";
  EXPECT_EQ(run(engine_.create_network(request)).error().code, ErrorCode::conflict) << "same subnet";
  const auto details = run(engine_.inspect_network(name));
  ASSERT_TRUE(details);
  EXPECT_EQ(details->reach, Reach::internal);
  EXPECT_EQ(details->gateway, "10.213.77.1");
  auto wanted = spec({"sleep", "60"});
  wanted.network = {NetworkKind::named, name};
  const auto container = started(wanted);
  ASSERT_TRUE(container) << describe(container.error());
  EXPECT_TRUE(run(engine_.inspect(*container))->addresses.at(name).starts_with("10.213.77."));
  EXPECT_EQ(run(engine_.inspect_network(name))->container_ids, std::vector<std::string>{*container});
  EXPECT_EQ(run(engine_.remove_network(name)).error().code, ErrorCode::conflict);
  ASSERT_TRUE(run(engine_.remove(*container)));
  EXPECT_EQ(run(engine_.list_networks({{std::string(kOwnerLabel), owner_}}))->size(), 1U);
  ASSERT_TRUE(run(engine_.remove_network(name)));
  ASSERT_TRUE(run(engine_.remove_network(name)));
  EXPECT_EQ(run(engine_.inspect_network(name)).error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace agentmesh::sandbox
