#include "daemon/disk_watch.h"

#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

const WallTime kStart = from_millis(1'000'000);
const Result<void> kFull = fail(ErrorCode::exhausted, "journal", "the disk is full");

TEST(DiskWatchTest, AFullDiskIsToldOnceWhileItLasts) {
  DiskWatch disk;
  EXPECT_EQ(disk.saved({}, kStart), std::nullopt);
  EXPECT_EQ(disk.saved(fail(ErrorCode::internal, "journal", "x"), kStart), std::nullopt);
  EXPECT_NE(disk.saved(kFull, kStart), std::nullopt);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(disk.saved(kFull, kStart + Millis{i * 1'000}), std::nullopt);
    EXPECT_EQ(disk.saved({}, kStart + Millis{i * 1'000}), std::nullopt)
        << "a row between two failures ends nothing";
    EXPECT_EQ(disk.looked(0, kStart + Millis{i * 1'000}), std::nullopt);
  }
  EXPECT_NE(disk.saved(kFull, kStart + kDiskToldAgain), std::nullopt);
}

TEST(DiskWatchTest, ItIsToldBeforeARowIsLostAndAgainWhenThereWasRoom) {
  DiskWatch disk;
  EXPECT_EQ(disk.looked(kNoDiskBytes, kStart), std::nullopt);
  EXPECT_EQ(disk.looked(kNoDiskBytes - 1, kStart), "100.0 MiB left");
  EXPECT_EQ(disk.looked(kNoDiskBytes, kStart), std::nullopt);
  EXPECT_EQ(disk.looked(kNoDiskBytes - 1, kStart), std::nullopt) << "on the edge it is one";
  EXPECT_EQ(disk.looked(2 * kNoDiskBytes, kStart), std::nullopt);
  EXPECT_NE(disk.looked(0, kStart), std::nullopt);
}

}  // namespace
}  // namespace agentmesh::daemon
