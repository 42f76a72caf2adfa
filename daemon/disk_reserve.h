#pragma once
// Room on the disk of AGENTMESH_HOME that is kept for one thing: to save that an agent is to be stopped when
// something, perhaps that agent, has filled the disk.

#include "base/unique_fd.h"

#include <cstdint>
#include <filesystem>

namespace agentmesh::daemon {

constexpr std::int64_t kReserveBytes = 256 * 1024;  // a step's row takes 12 KiB of the journal at most

class DiskReserve {
 public:
  explicit DiskReserve(std::filesystem::path file) : file_(std::move(file)) {}

  // The file is there and has its blocks, from now until it is given up; false: the disk has no room for it.
  bool take();
  // False: there was none.
  bool give_up();

 private:
  std::filesystem::path file_;
  bool held_ = false;
};

}  // namespace agentmesh::daemon
