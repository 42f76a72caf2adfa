#include "daemon/agent_folders.h"

#include "base/files.h"
#include "base/ids.h"

#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

namespace agentmesh::daemon {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPasswordBytes = 16;  // of randomness
constexpr std::size_t kAsideBytes = 8;      // of randomness, in the name of what is put aside
constexpr std::string_view kHexDigits = "0123456789abcdef";

using Listing = std::unique_ptr<DIR, int (*)(DIR*)>;

// The entries of an open folder, from the first one on; empty when it cannot be read.
Listing list(int folder) {
  UniqueFd listed(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  Listing listing(listed.valid() ? ::fdopendir(listed.get()) : nullptr, ::closedir);
  if (listing) (void)listed.release();
  return listing;
}

// Made once for an agent, so that who is connected stays so over a restart.
Result<void> prepare_password(const fs::path& path, const sandbox::Identity& owner) {
  std::error_code ec;
  if (!fs::exists(path, ec)) {
    if (auto wrote = write_file(path, random_hex(kPasswordBytes) + "\n", 0600); !wrote) return wrote;
  }
  if (::geteuid() != 0 || ::lchown(path.c_str(), owner.uid, owner.gid) == 0) return {};
  return pass(os_error("home", fmt::format("cannot give {} to uid {}", path.string(), owner.uid), errno));
}

// A folder of the agent's own: private, owned by the user its sandbox runs as. A link in its place is
// refused, because the agent could have put it there.
Result<void> private_folder(const fs::path& path, const sandbox::Identity& owner) {
  if (auto made = make_dir(path.parent_path(), 0700); !made) return made;
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return pass(os_error("home", fmt::format("cannot make {}", path.string()), errno));
  }
  const UniqueFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.valid()) return pass(os_error("home", fmt::format("cannot open {}", path.string()), errno));
  const bool owned = ::geteuid() != 0 || ::fchown(folder.get(), owner.uid, owner.gid) == 0;
  if (!owned || ::fchmod(folder.get(), 0700) != 0) {
    return pass(os_error("home", fmt::format("cannot give {} to uid {}", path.string(), owner.uid), errno));
  }
  return {};
}

// Walks to the parent of `relative` below `root` without following a link, making folders on the way.
Result<UniqueFd> open_parent(const fs::path& root, const fs::path& relative, const sandbox::Identity& owner) {
  UniqueFd folder(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  for (const fs::path& part : relative.parent_path()) {
    if (!folder.valid() || part == "..") break;
    if (::mkdirat(folder.get(), part.c_str(), 0700) == 0 && ::geteuid() == 0) {
      const int chowned = ::fchownat(folder.get(), part.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW);
      if (chowned != 0) return pass(os_error("home", "cannot own " + part.string(), errno));
    }
    folder = UniqueFd(::openat(folder.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
  if (!folder.valid()) return pass(os_error("home", fmt::format("cannot open {}", relative.string()), errno));
  return folder;
}

// Nothing, or an empty file, which a crash left, is where a file of the agent's would be.
bool is_absent(int parent, const std::string& name) {
  struct stat status{};
  if (::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return errno == ENOENT;
  return S_ISREG(status.st_mode) && status.st_size == 0;
}

Result<void> write_new(int parent, const std::string& name, const agents::HomeFile& file,
                       const sandbox::Identity& owner) {
  const UniqueFd fd(
      ::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, file.mode));
  const auto failed = [&] {
    return pass(os_error("home", fmt::format("cannot write {}", file.path.string()), errno));
  };
  if (!fd.valid()) return failed();
  if (auto wrote = write_all(fd.get(), file.content, file.path); !wrote) return wrote;
  if (::geteuid() == 0 && ::fchown(fd.get(), owner.uid, owner.gid) != 0) return failed();
  if (::fsync(fd.get()) != 0) return failed();
  return {};
}

// Written beside and put in its place whole: what is there may be a link to anywhere, and an end in between
// leaves the old file or none.
Result<void> write_home_file(const fs::path& root, const agents::HomeFile& file,
                             const sandbox::Identity& owner) {
  auto parent = open_parent(root, file.path, owner);
  if (!parent) return pass(parent.error());
  const std::string name = file.path.filename().string();
  if (file.rewrite == agents::Rewrite::keep && !is_absent(parent->get(), name)) return {};
  const std::string beside = fmt::format(".{}.{}", name, random_hex(4));
  auto done = write_new(parent->get(), beside, file, owner);
  if (done && ::renameat(parent->get(), beside.c_str(), parent->get(), name.c_str()) != 0)
    done = pass(os_error("home", fmt::format("cannot replace {}", file.path.string()), errno));
  if (!done) ::unlinkat(parent->get(), beside.c_str(), 0);
  return done;
}

// What was put aside before, by an end of the daemon not removed to its end. No more entries are looked at
// than in one part of a removal: the agent may have filled the folder.
std::vector<fs::path> left_aside(int parent, const fs::path& relative) {
  std::vector<fs::path> left;
  const std::string prefix = fmt::format(".{}.", relative.filename().string());
  const Listing listing = list(parent);
  for (std::size_t looked = 0; listing && looked < kRemovedAtOnce; ++looked) {
    const dirent* entry = ::readdir(listing.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    const bool ours = name.starts_with(prefix) && name.size() == prefix.size() + 2 * kAsideBytes &&
                      name.find_first_not_of(kHexDigits, prefix.size()) == name.npos;
    if (ours) left.push_back(relative.parent_path() / name);
  }
  return left;
}

// Whatever is at `relative` is put aside under a name of its own, and an empty folder takes its place: that
// costs the same however much the agent put into it. Answers all that is aside now.
Result<std::vector<fs::path>> begin_empty(const fs::path& root, const fs::path& relative,
                                          const sandbox::Identity& owner) {
  auto parent = open_parent(root, relative, owner);
  if (!parent) return pass(parent.error());
  auto all = left_aside(parent->get(), relative);
  const std::string name = relative.filename().string();
  const std::string aside = fmt::format(".{}.{}", name, random_hex(kAsideBytes));
  const bool moved = ::renameat(parent->get(), name.c_str(), parent->get(), aside.c_str()) == 0;
  if (!moved && errno != ENOENT)
    return pass(os_error("home", fmt::format("cannot empty {}", relative.string()), errno));
  if (auto made = open_parent(root, relative / "file", owner); !made) return pass(made.error());
  if (moved) all.push_back(relative.parent_path() / aside);
  return all;
}

struct Removal {
  std::size_t looked_at = 0;
  std::size_t removed = 0;
};

void remove_in(UniqueFd folder, int depth, Removal& removal);

void remove_entry(int parent, const char* name, int depth, Removal& removal) {
  ++removal.looked_at;
  if (::unlinkat(parent, name, 0) == 0) {
    ++removal.removed;
    return;
  }
  UniqueFd folder(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (folder.valid() && depth < kMaxRemovedDepth) remove_in(std::move(folder), depth + 1, removal);
  if (::unlinkat(parent, name, AT_REMOVEDIR) == 0) ++removal.removed;
}

void remove_in(UniqueFd folder, int depth, Removal& removal) {
  const Listing listing = list(folder.get());
  while (const dirent* entry = listing ? ::readdir(listing.get()) : nullptr) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (removal.looked_at >= kRemovedAtOnce) return;
    remove_entry(folder.get(), entry->d_name, depth, removal);
  }
}

}  // namespace

Result<std::vector<fs::path>> prepare_folders(const AgentFolders& folders) {
  if (auto made = private_folder(folders.home, folders.owner); !made) return pass(made.error());
  if (auto made = private_folder(folders.run, folders.owner); !made) return pass(made.error());
  if (auto made = make_dir(folders.pane, 0700); !made) return pass(made.error());
  if (!folders.password.empty()) {
    if (auto made = prepare_password(folders.password, folders.owner); !made) return pass(made.error());
  }
  for (const agents::HomeFile& file : folders.files) {
    if (auto wrote = write_home_file(folders.home, file, folders.owner); !wrote) return pass(wrote.error());
  }
  std::vector<fs::path> aside;
  for (const fs::path& folder : folders.emptied) {
    auto emptied = begin_empty(folders.home, folder, folders.owner);
    if (!emptied) return pass(emptied.error());
    aside.insert(aside.end(), emptied->begin(), emptied->end());
  }
  return aside;
}

Removed remove_some(const fs::path& home, const fs::path& relative) {
  UniqueFd parent(::open(home.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  for (const fs::path& part : relative.parent_path()) {
    if (parent.valid())
      parent =
          UniqueFd(::openat(parent.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
  if (!parent.valid()) return Removed::nothing_more;
  Removal removal;
  const std::string name = relative.filename().string();
  remove_entry(parent.get(), name.c_str(), 0, removal);
  struct stat status{};
  if (::fstatat(parent.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return Removed::all;
  return removal.removed > 0 ? Removed::some : Removed::nothing_more;
}

}  // namespace agentmesh::daemon
