#include "sandbox/run_spec.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::sandbox {
namespace {

using nlohmann::json;

constexpr std::uint64_t kGiB = 1024ULL * 1024 * 1024;

RunSpec example() {
  RunSpec spec;
  spec.image = "sha256:0123";
  spec.command = {"opencode"};
  spec.hostname = "builder";
  spec.user = {1000, 1001};
  spec.environment = {{"HOME", "/home/agent"}, {"AGENTMESH_AGENT_ID", "agt_1"}};
  spec.mounts = {{"/srv/code", "/workspace", Access::read_write},
                 {"/srv/channel", "/run/agentmesh", Access::read_write},
                 {"/usr/share/doc", "/docs", Access::read_only}};
  spec.limits = {.cpus = 1.5, .memory_bytes = 2 * kGiB, .pids = 512};
  spec.network = {NetworkKind::named, "agentmesh-egress"};
  spec.extra_hosts = {{"gateway", "10.0.0.1"}};
  spec.labels = {{"agentmesh.owner", "own"},
                 {"agentmesh.agent", "builder"},
                 {"agentmesh.run", "7"},
                 {"agentmesh.spec", "x"}};
  return spec;
}

constexpr std::string_view kGolden = R"({
  "Cmd": ["opencode"],
  "Env": ["AGENTMESH_AGENT_ID=agt_1", "HOME=/home/agent"],
  "HostConfig": {
    "AutoRemove": false,
    "CapAdd": [],
    "CapDrop": ["ALL"],
    "CgroupnsMode": "private",
    "Devices": [],
    "ExtraHosts": ["gateway:10.0.0.1"],
    "Init": true,
    "IpcMode": "private",
    "LogConfig": {"Config": {"max-file": "1", "max-size": "10485760"}, "Type": "json-file"},
    "Memory": 2147483648,
    "MemorySwap": 2147483648,
    "Mounts": [
      {"BindOptions": {"NonRecursive": false, "Propagation": "rprivate"}, "ReadOnly": false,
       "Source": "/srv/code", "Target": "/workspace", "Type": "bind"},
      {"BindOptions": {"NonRecursive": false, "Propagation": "rprivate"}, "ReadOnly": false,
       "Source": "/srv/channel", "Target": "/run/agentmesh", "Type": "bind"},
      {"BindOptions": {"NonRecursive": true, "Propagation": "rprivate"}, "ReadOnly": true,
       "Source": "/usr/share/doc", "Target": "/docs", "Type": "bind"}],
    "NanoCpus": 1500000000,
    "NetworkMode": "agentmesh-egress",
    "PidMode": "",
    "PidsLimit": 512,
    "Privileged": false,
    "PublishAllPorts": false,
    "ReadonlyRootfs": true,
    "RestartPolicy": {"Name": "no"},
    "SecurityOpt": ["no-new-privileges:true"],
    "Tmpfs": {"/run": "rw,nosuid,nodev,noexec,mode=0755,uid=1000,gid=1001,size=16777216",
              "/tmp": "rw,nosuid,nodev,exec,mode=1777,size=1073741824"},
    "UTSMode": "",
    "Ulimits": [{"Hard": 0, "Name": "core", "Soft": 0}, {"Hard": 16384, "Name": "nofile", "Soft": 16384}]
  },
  "Hostname": "builder",
  "Image": "sha256:0123",
  "Labels": {"agentmesh.agent": "builder", "agentmesh.owner": "own", "agentmesh.run": "7", "agentmesh.spec": "x"},
  "OpenStdin": true,
  "StdinOnce": false,
  "Tty": true,
  "User": "1000:1001",
  "WorkingDir": "/workspace"
})";

TEST(RunSpec, BecomesExactlyThisJson) {
  EXPECT_EQ(json::parse(create_json(example())), json::parse(kGolden)) << create_json(example());
  EXPECT_EQ(create_json(example()), json::parse(kGolden).dump()) << "members in order";
}

TEST(RunSpec, OptionalPartsAppearOnlyWhenAsked) {
  auto spec = example();
  spec.publish = PublishedPort{3001, 4096};
  spec.dns = {"10.0.0.1"};
  spec.entrypoint = {"/bin/sh", "-c"};
  spec.terminal = Terminal::no;
  spec.network = {NetworkKind::bridge, ""};
  const auto body = json::parse(create_json(spec));
  EXPECT_EQ(body["HostConfig"]["PortBindings"],
            json::parse(R"({"4096/tcp":[{"HostIp":"127.0.0.1","HostPort":"3001"}]})"));
  EXPECT_EQ(body["ExposedPorts"], json::parse(R"({"4096/tcp":{}})"));
  EXPECT_EQ(body["HostConfig"]["Dns"], json({"10.0.0.1"}));
  EXPECT_EQ(body["Entrypoint"], json({"/bin/sh", "-c"}));
  EXPECT_EQ(body["Tty"], false);
  EXPECT_EQ(body["OpenStdin"], false);
  EXPECT_EQ(body["HostConfig"]["NetworkMode"], "bridge");
  spec.network = {};
  EXPECT_EQ(json::parse(create_json(spec))["HostConfig"]["NetworkMode"], "none");
}

TEST(RunSpec, TextThatIsNotUtf8DoesNotThrow) {
  auto spec = example();
  spec.environment["X"] = "\xff\xfe";
  EXPECT_FALSE(create_json(spec).empty());
}

TEST(RunSpec, TheHashIgnoresTheRunAlone) {
  const auto hash = spec_hash(example());
  EXPECT_EQ(hash.size(), 64U);
  auto other = example();
  other.labels["agentmesh.run"] = "8";
  other.labels["agentmesh.spec"] = hash;
  EXPECT_EQ(spec_hash(other), hash);
  other.limits.pids = 513;
  EXPECT_NE(spec_hash(other), hash);
  other = example();
  other.labels["agentmesh.owner"] = "else";
  EXPECT_NE(spec_hash(other), hash);
}

struct Wrong {
  std::string_view says;
  std::function<void(RunSpec&)> change;
};

TEST(RunSpec, WrongValuesAreNamed) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinite = std::numeric_limits<double>::infinity();
  const std::vector<Wrong> cases{
      {"cpus", [](RunSpec& s) { s.limits.cpus = 0; }},
      {"cpus", [](RunSpec& s) { s.limits.cpus = -1; }},
      {"cpus", [=](RunSpec& s) { s.limits.cpus = nan; }},
      {"cpus", [=](RunSpec& s) { s.limits.cpus = infinite; }},
      {"this host has 4", [](RunSpec& s) { s.limits.cpus = 4.01; }},
      {"memory", [](RunSpec& s) { s.limits.memory_bytes = kMinMemoryBytes - 1; }},
      {"this host has 8", [](RunSpec& s) { s.limits.memory_bytes = 8 * kGiB + 1; }},
      {"pids", [](RunSpec& s) { s.limits.pids = 0; }},
      {"pids", [](RunSpec& s) { s.limits.pids = -5; }},
      {"pids", [](RunSpec& s) { s.limits.pids = 1'000'000'000'000; }},
      {"open files", [](RunSpec& s) { s.limits.open_files = 3; }},
      {"sizes", [](RunSpec& s) { s.limits.tmp_bytes = 0; }},
      {"immutable", [](RunSpec& s) { s.image = "debian:latest"; }},
      {"immutable", [](RunSpec& s) { s.image = ""; }},
      {"hostname", [](RunSpec& s) { s.hostname = "-x"; }},
      {"hostname", [](RunSpec& s) { s.hostname = std::string(64, 'a'); }},
      {"hostname", [](RunSpec& s) { s.hostname = "a b"; }},
      {"workdir", [](RunSpec& s) { s.workdir = "relative"; }},
      {"workdir", [](RunSpec& s) { s.workdir = "/a/../b"; }},
      {"network", [](RunSpec& s) { s.network = {NetworkKind::named, ""}; }},
      {"port", [](RunSpec& s) { s.publish = PublishedPort{0, 1}; }},
      {"command", [](RunSpec& s) { s.command = {""}; }},
      {"command", [](RunSpec& s) { s.command = {std::string("a\0b", 3)}; }},
      {"source", [](RunSpec& s) { s.mounts[0].source = "x"; }},
      {"source", [](RunSpec& s) { s.mounts[0].source = "/x/../y"; }},
      {"target", [](RunSpec& s) { s.mounts[0].target = "/x/"; }},
      {"target", [](RunSpec& s) { s.mounts[0].target = "/"; }},
      {"two mounts at /workspace", [](RunSpec& s) { s.mounts[1].target = "/workspace"; }},
      {"two mounts at /tmp", [](RunSpec& s) { s.mounts[1].target = "/tmp"; }},
      {"environment", [](RunSpec& s) { s.environment["A=B"] = "c"; }},
      {"environment", [](RunSpec& s) { s.environment[""] = "c"; }},
      {"environment", [](RunSpec& s) { s.environment["A"] = std::string("c\0d", 3); }},
      {"environment", [](RunSpec& s) { s.environment["A"] = std::string(200'000, 'x'); }},
  };
  const HostCapacity host{4, 8 * kGiB};
  ASSERT_TRUE(validate(example(), host));
  for (const auto& wrong : cases) {
    auto spec = example();
    wrong.change(spec);
    const auto result = validate(spec, host);
    ASSERT_FALSE(result) << wrong.says;
    EXPECT_EQ(result.error().code, ErrorCode::invalid);
    EXPECT_NE(result.error().what.find(wrong.says), std::string::npos) << result.error().what;
  }
}

TEST(RunSpec, AnUnknownHostIsNotChecked) {
  auto spec = example();
  spec.limits.cpus = 1000;
  EXPECT_TRUE(validate(spec, {}));
}

TEST(ParseCpus, TakesPlainNumbersOnly) {
  EXPECT_EQ(parse_cpus("2").value_or(0), 2);
  EXPECT_EQ(parse_cpus("0.5").value_or(0), 0.5);
  EXPECT_EQ(parse_cpus(" 1.25 ").value_or(0), 1.25);
  for (const auto* bad :
       {"", "0", "-1", "nan", "inf", "abc", "1x", "1 2", "1e9", "0x2", "0.001", "+1", "1,5", "."}) {
    EXPECT_FALSE(parse_cpus(bad)) << bad;
  }
}

}  // namespace
}  // namespace agentmesh::sandbox
