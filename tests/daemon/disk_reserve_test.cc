#include "daemon/disk_reserve.h"

#include "base/ids.h"

#include <sys/stat.h>

#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

namespace fs = std::filesystem;

class DiskReserveTest : public testing::Test {
 protected:
  ~DiskReserveTest() override { fs::remove_all(folder_); }
  std::int64_t bytes_on_disk() const {
    struct stat status{};
    return ::stat(file_.c_str(), &status) == 0 ? status.st_blocks * 512 : -1;
  }
  fs::path folder_ = fs::temp_directory_path() / ("agentmesh-reserve-" + random_hex(6));
  fs::path file_ = folder_ / "reserve";
  DiskReserve reserve_{file_};
};

TEST_F(DiskReserveTest, ItsBlocksAreTakenAndGivenUp) {
  fs::create_directories(folder_);
  EXPECT_TRUE(reserve_.take());
  EXPECT_GE(bytes_on_disk(), kReserveBytes);
  EXPECT_TRUE(reserve_.take()) << "it is there already";
  EXPECT_TRUE(reserve_.give_up());
  EXPECT_EQ(bytes_on_disk(), -1);
  EXPECT_FALSE(reserve_.give_up());
}

TEST_F(DiskReserveTest, WhatIsHeldIsNotTakenAgain) {
  fs::create_directories(folder_);
  ASSERT_TRUE(reserve_.take());
  fs::remove(file_);  // what a second taking would put back
  EXPECT_TRUE(reserve_.take());
  EXPECT_FALSE(fs::exists(file_));
  reserve_.give_up();
  EXPECT_TRUE(reserve_.take());
  EXPECT_TRUE(fs::exists(file_));
}

TEST_F(DiskReserveTest, WithoutAFolderThereIsNone) {
  EXPECT_FALSE(reserve_.take());
  EXPECT_FALSE(reserve_.give_up());
}

TEST_F(DiskReserveTest, ALinkInItsPlaceIsNotFollowed) {
  fs::create_directories(folder_);
  const fs::path other = folder_ / "other";
  fs::create_symlink(other, file_);
  EXPECT_FALSE(reserve_.take());
  EXPECT_FALSE(fs::exists(other));
}

}  // namespace
}  // namespace agentmesh::daemon
