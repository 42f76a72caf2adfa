#pragma once
// Tells the texts of a program's small status files whenever one of them changes, by inotify: nothing is
// polled. The folder is in the agent's home, and the agent writes there what it likes: only regular files are
// read, none over kMaxStatusBytes, no link is followed on the way, and a folder that changes without end is
// read, and its changes are heard of, more and more seldom, down to once in kStatusSettlesMost. A
// half-written file is told too: who reads it keeps what it knew.

#include "base/clock.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

namespace agentmesh::agents {

constexpr std::size_t kMaxStatusBytes = 8 * 1024;  // a real one has about 400, and a path
constexpr std::size_t kMaxStatusFiles = 16;        // read of one folder
constexpr std::size_t kMaxStatusEntries = 256;     // looked at in one folder
constexpr Millis kStatusSettles{20};         // from a change to the reading: a program writes twice in a row
constexpr Millis kStatusSettlesMost{1'000};  // doubles up to this while the changes go on

using StatusSink = std::function<void(const std::vector<std::string>& texts)>;

// All folders of this process share one inotify instance: the kernel allows a user 128 by default.
class StatusFolder {
 public:
  // `relative` to `root`; what ends with ".json" counts. The sink is called from the executor, and never
  // after the destructor.
  StatusFolder(boost::asio::any_io_executor executor, std::filesystem::path root,
               std::filesystem::path relative, StatusSink sink);
  ~StatusFolder();
  StatusFolder(const StatusFolder&) = delete;
  StatusFolder& operator=(const StatusFolder&) = delete;

  // Begins to watch where it does not yet, because the folder was not there or was replaced. Cheap.
  void look();

 private:
  class Watch;
  std::shared_ptr<Watch> watch_;
};

}  // namespace agentmesh::agents
