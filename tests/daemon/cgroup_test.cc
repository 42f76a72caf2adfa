#include "daemon/cgroup.h"

#include "base/files.h"

#include <unistd.h>

#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr std::string_view kId = "9cb6fe8bde809c5d3d78eb68dd79c11bf4b0bc63a8e2b8fcfaeca251e438a716";

class CgroupTest : public testing::Test {
 protected:
  void TearDown() override { fs::remove_all(root_); }
  void put(const fs::path& path, std::string_view text) {
    fs::create_directories((root_ / path).parent_path());
    ASSERT_TRUE(write_file(root_ / path, text, 0600));
  }
  void member(std::string_view lines) { put("proc/7/cgroup", lines); }
  CgroupRoots roots() const { return {.proc = root_ / "proc", .cgroup = root_ / "cg"}; }
  Result<Cgroup> find() const { return cgroup_of(7, kId, roots()); }
  static std::string id() { return std::string(kId); }

  fs::path root_ = fs::temp_directory_path() / ("agentmesh-cgroup-" + std::to_string(::getpid()));
};

TEST_F(CgroupTest, VersionOneHasAFolderForEachController) {
  member("9:name=systemd:/docker/" + id() + "\n4:memory:/docker/" + id() + "\n2:cpu,cpuacct:/docker/" + id() +
         "\n0::/docker/" + id() + "\n");
  put("cg/memory/docker/" + id() + "/memory.max_usage_in_bytes", "190156800\n");
  put("cg/memory/docker/" + id() + "/cgroup.procs", "7\n19\n");
  put("cg/cpuacct/docker/" + id() + "/cpuacct.usage", "4068151084\n");
  const auto cgroup = find();
  ASSERT_TRUE(cgroup) << describe(cgroup.error());
  EXPECT_EQ(cgroup->version, CgroupVersion::v1);
  EXPECT_EQ(peak_memory(*cgroup), 190156800U);
  EXPECT_EQ(cpu_time(*cgroup), 4068151us);
  EXPECT_EQ(processes(*cgroup), (std::vector<pid_t>{7, 19}));
}

TEST_F(CgroupTest, VersionTwoHasOne) {
  const std::string folder = "cg/system.slice/docker-" + id() + ".scope/";
  member("0::/system.slice/docker-" + id() + ".scope\n");
  put(folder + "memory.current", "1000\n");
  put(folder + "cpu.stat", "usage_usec 2500000\nuser_usec 1\n");
  put(folder + "cgroup.procs", "");
  const auto cgroup = find();
  ASSERT_TRUE(cgroup) << describe(cgroup.error());
  EXPECT_EQ(cpu_time(*cgroup), 2500ms);
  EXPECT_EQ(peak_memory(*cgroup), 1000U) << "a kernel before 5.19 has no memory.peak";
  put(folder + "memory.peak", "2000\n");
  EXPECT_EQ(peak_memory(*cgroup), 2000U);
  EXPECT_EQ(processes(*cgroup), std::vector<pid_t>{});
}

TEST_F(CgroupTest, AnotherProcessUnderTheSamePidIsNoticed) {
  member("0::/user.slice/session.scope\n");
  ASSERT_FALSE(find());
  EXPECT_EQ(find().error().code, ErrorCode::not_found);
  member("0::/../docker/" + id() + "\n");  // of a cgroup namespace that is not ours
  EXPECT_EQ(find().error().code, ErrorCode::not_found);
  EXPECT_EQ(cgroup_of(8, kId, roots()).error().code, ErrorCode::not_found);
  member("0::/docker/x\n");
  EXPECT_EQ(cgroup_of(7, "", roots()).error().code, ErrorCode::not_found);
}

TEST_F(CgroupTest, NonsenseIsAnErrorAndAnEndedContainerIsNotFound) {
  member("nonsense\n:\n");
  EXPECT_EQ(find().error().code, ErrorCode::invalid);
  member("0::/docker/" + id() + "\n");
  const auto cgroup = find();
  ASSERT_TRUE(cgroup);
  EXPECT_EQ(cpu_time(*cgroup).error().code, ErrorCode::not_found);
  EXPECT_EQ(peak_memory(*cgroup).error().code, ErrorCode::not_found);
  EXPECT_EQ(processes(*cgroup).error().code, ErrorCode::not_found);
  const std::string folder = "cg/docker/" + id() + "/";
  put(folder + "cpu.stat", "usage_usecs 5\n");
  put(folder + "memory.peak", "max\n");
  put(folder + "cgroup.procs", "7\nx\n");
  EXPECT_EQ(cpu_time(*cgroup).error().code, ErrorCode::invalid);
  EXPECT_EQ(peak_memory(*cgroup).error().code, ErrorCode::invalid);
  EXPECT_EQ(processes(*cgroup).error().code, ErrorCode::invalid);
}

}  // namespace
}  // namespace agentmesh::daemon
