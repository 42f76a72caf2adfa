// A workspace is looked through for fresh writes, within bounds and never beyond a link.
#include "base/walk.h"

#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace agentmesh {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class WalkTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(root_ / "src/deep"); }
  void TearDown() override {
    fs::remove_all(root_);
    fs::remove_all(outside_);
  }
  void put(const fs::path& path) { ASSERT_TRUE(write_file(root_ / path, "text", 0600)); }
  Result<RecentWrite> find(Millis age) const { return find_recent_write(root_, age, limits_); }

  fs::path root_ = fs::temp_directory_path() / ("agentmesh-walk-" + std::to_string(::getpid()));
  fs::path outside_ = root_.string() + "-outside";
  WalkLimits limits_;
};

TEST_F(WalkTest, FindsAFreshFileAnywhere) {
  put("src/deep/x.cc");
  fs::create_directories(root_ / "empty");
  const auto found = find(1h);
  ASSERT_TRUE(found && found->path);
  EXPECT_FALSE(find(-1h)->path) << "nothing is that fresh";
  EXPECT_TRUE(find(-1h)->whole);
}

TEST_F(WalkTest, GoesByTheChangeTimeWhichAnAgentCannotSet) {
  put("old");
  const timespec long_ago[2] = {{.tv_sec = 1, .tv_nsec = 0}, {.tv_sec = 1, .tv_nsec = 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (root_ / "old").c_str(), long_ago, 0), 0);
  EXPECT_TRUE(find(1h)->path);
  const timespec far[2] = {{.tv_sec = 4'000'000'000, .tv_nsec = 0}, {.tv_sec = 4'000'000'000, .tv_nsec = 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (root_ / "old").c_str(), far, 0), 0);
  EXPECT_FALSE(find(-1h)->path);
}

TEST_F(WalkTest, FollowsNoLinkOutOfTheFolder) {
  fs::create_directories(outside_);
  fs::create_symlink(outside_, root_ / "link");
  limits_.entries = 4;  // src, src/deep, link
  const auto found = find(-1h);
  ASSERT_TRUE(found);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(write_file(outside_ / std::to_string(i), "x", 0600));
  EXPECT_TRUE(find(-1h)->whole) << "what is outside is not even counted";
  EXPECT_EQ(find_recent_write(root_ / "link", 1h, limits_).error().code, ErrorCode::not_found)
      << "not the folder itself either";
}

TEST_F(WalkTest, StopsAtItsLimits) {
  for (int i = 0; i < 20; ++i) put("src/" + std::to_string(i));
  limits_.entries = 10;
  EXPECT_FALSE(find(-1h)->whole);
  limits_ = {};
  limits_.time = -1ms;
  EXPECT_FALSE(find(-1h)->whole);
  limits_ = {};
  limits_.depth = 1;
  EXPECT_FALSE(find(-1h)->whole);
  limits_.depth = 2;
  EXPECT_TRUE(find(-1h)->whole);
}

TEST_F(WalkTest, AFolderThatIsNotThereIsAnError) {
  EXPECT_EQ(find_recent_write(root_ / "none", 1h, limits_).error().code, ErrorCode::not_found);
  put("file");
  EXPECT_FALSE(find_recent_write(root_ / "file", 1h, limits_));
}

}  // namespace
}  // namespace agentmesh
