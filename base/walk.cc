#include "base/walk.h"

#include "base/files.h"
#include "base/unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <time.h>
#include <vector>

#include <fmt/format.h>

namespace agentmesh {
namespace {

constexpr std::int64_t kFutureMs = 2'000;  // a file system's clock may be ahead by its granularity

std::int64_t to_ms(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1000 + time.tv_nsec / 1'000'000;
}

std::int64_t clock_ms(clockid_t id) {
  timespec now{};
  ::clock_gettime(id, &now);
  return to_ms(now);
}

struct CloseDir {
  void operator()(DIR* folder) const { ::closedir(folder); }
};
using Dir = std::unique_ptr<DIR, CloseDir>;

Dir open_dir(int parent, const char* name) {
  UniqueFd fd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return nullptr;
  Dir folder(::fdopendir(fd.get()));
  if (folder) (void)fd.release();
  return folder;
}

struct Child {
  std::string name;
  std::int64_t changed_ms = 0;
};

class Walk {
 public:
  Walk(Millis age, const WalkLimits& limits)
      : limits_(limits),
        now_ms_(clock_ms(CLOCK_REALTIME)),
        since_ms_(now_ms_ - age.count()),
        end_ms_(clock_ms(CLOCK_MONOTONIC) + limits.time.count()) {}

  // Depth first: a folder's own entries, then its folders.
  void visit(DIR* folder, const std::string& path, std::size_t depth) {
    if (depth > limits_.depth) return cut();
    for (const Child& child : read(folder, path)) {
      if (found_.path || cut_) return;
      const Dir inner = open_dir(::dirfd(folder), child.name.c_str());
      if (!inner) continue;  // gone, replaced by a link, or not ours to read
      visit(inner.get(), path + child.name + "/", depth + 1);
    }
  }

  RecentWrite result() && {
    found_.whole = !cut_;
    return std::move(found_);
  }

 private:
  void cut() { cut_ = true; }

  bool recent(std::int64_t changed_ms) const {
    return changed_ms > since_ms_ && changed_ms <= now_ms_ + kFutureMs;
  }

  bool over_limit() { return ++entries_ > limits_.entries || clock_ms(CLOCK_MONOTONIC) > end_ms_; }

  std::vector<Child> read(DIR* folder, const std::string& path) {
    std::vector<Child> folders;
    while (const dirent* entry = ::readdir(folder)) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (over_limit()) {
        cut();
        return {};
      }
      struct stat status{};
      if (::fstatat(::dirfd(folder), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
      const std::int64_t changed_ms = to_ms(status.st_ctim);
      if (recent(changed_ms)) {
        found_.path = path + name;
        return {};
      }
      if (S_ISDIR(status.st_mode)) folders.push_back({name, changed_ms});
    }
    std::ranges::sort(folders, std::greater{}, &Child::changed_ms);
    return folders;
  }

  const WalkLimits& limits_;
  std::int64_t now_ms_;
  std::int64_t since_ms_;
  std::int64_t end_ms_;
  std::size_t entries_ = 0;
  bool cut_ = false;
  RecentWrite found_;
};

}  // namespace

Result<RecentWrite> find_recent_write(const std::filesystem::path& folder, Millis age,
                                      const WalkLimits& limits) {
  const Dir root = open_dir(AT_FDCWD, folder.c_str());
  if (!root) return std::unexpected(os_error("walk", fmt::format("cannot open {}", folder.string()), errno));
  Walk walk(age, limits);
  walk.visit(root.get(), "", 0);
  return std::move(walk).result();
}

}  // namespace agentmesh
