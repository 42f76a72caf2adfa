// Paths opened by openat2, so that a link planted on the way cannot lead somewhere else.

#include "base/text.h"
#include "base/unique_fd.h"
#include "sandbox/mount_policy.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

namespace agentmesh::sandbox {
namespace {

constexpr std::uint64_t kNoLinks = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
constexpr std::uint64_t kLinksInside = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;

UniqueFd open_path(int folder, const std::string& path, std::uint64_t resolve) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = resolve;
  return UniqueFd(static_cast<int>(::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how)));
}

std::unexpected<Error> invalid(const std::string& path, std::string_view why, std::string hint) {
  return fail(ErrorCode::invalid, "mount", fmt::format("{} {}", path, why), std::move(hint));
}

std::unexpected<Error> denied(std::string_view rule, const std::string& path, std::string_view why,
                              std::string hint) {
  return fail(ErrorCode::denied, "mount", fmt::format("{} is refused by rule {}: {}", path, rule, why),
              std::move(hint));
}

std::unexpected<Error> cannot_open(const std::string& path, int error) {
  switch (error) {
    case ENOENT:
      return invalid(path, "does not exist", "mkdir -p " + path);
    case ENOTDIR:
      return invalid(path, "leads through something that is not a folder", "");
    case ENAMETOOLONG:
      return invalid(path.substr(0, 80) + "...", "is too long", "");
    case EACCES:
      return denied("unreadable", path, "no permission to reach it", "");
    case EXDEV:
    case ELOOP: {
      std::error_code ec;
      const auto real = std::filesystem::weakly_canonical(path, ec);
      return denied("link-out", path, "a link on the way leads out of its folder",
                    ec ? "name the real folder" : "name the real folder, " + real.string());
    }
    case ENOSYS:
      return fail(ErrorCode::internal, "mount", "this kernel has no openat2", "Linux 5.6 or newer is needed");
    default:
      return fail(ErrorCode::internal, "mount",
                  fmt::format("cannot open {}: {}", path, std::strerror(error)));
  }
}

// Goes through the first link of the path as long as the way stays below the folder that holds the link.
Result<UniqueFd> open_through_link(const std::string& path) {
  std::string held = "/";
  std::vector<std::string_view> rest = split(std::string_view(path).substr(1), '/');
  while (!rest.empty()) {
    const std::string next = (held == "/" ? "/" : held + "/") + std::string(rest.front());
    const auto fd = open_path(AT_FDCWD, next, kNoLinks);
    if (!fd.valid()) break;
    held = next;
    rest.erase(rest.begin());
  }
  const auto folder = open_path(AT_FDCWD, held, kNoLinks);
  if (!folder.valid()) return cannot_open(path, errno);
  std::string below = ".";
  for (const auto part : rest) below += "/" + std::string(part);
  auto fd = open_path(folder.get(), below, kLinksInside);
  if (!fd.valid()) return cannot_open(path, errno);
  return fd;
}

Result<UniqueFd> open_source(const std::string& path) {
  auto fd = open_path(AT_FDCWD, path, kNoLinks);
  if (fd.valid()) return fd;
  if (errno == ELOOP) return open_through_link(path);
  return cannot_open(path, errno);
}

std::string real_path(const UniqueFd& fd) {
  std::error_code ec;
  const auto path = std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", fd.get()), ec);
  return ec ? std::string() : path.string();
}

bool is_readable(const UniqueFd& fd, bool folder) {
  const auto self = fmt::format("/proc/self/fd/{}", fd.get());
  return UniqueFd(::open(self.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | (folder ? O_DIRECTORY : 0)))
      .valid();
}

}  // namespace

Result<ResolvedSource> resolve_source(const std::string& path) {
  if (!path.starts_with('/') || path.find('\0') != std::string::npos) {
    return invalid(path.empty() ? "''" : plain_text(path), "is not an absolute path", "");
  }
  if (path.size() >= kMaxPathBytes) return cannot_open(path, ENAMETOOLONG);
  const auto fd = open_source(path);
  if (!fd) return pass(fd.error());
  struct stat status{};
  if (::fstat(fd->get(), &status) != 0) return cannot_open(path, errno);
  const bool folder = S_ISDIR(status.st_mode);
  const auto kind = folder                    ? SourceKind::folder
                    : S_ISREG(status.st_mode) ? SourceKind::file
                                              : SourceKind::other;
  ResolvedSource source{real_path(*fd), status.st_dev, status.st_ino, {status.st_uid, status.st_gid}, kind};
  if (!source.path.starts_with('/') || source.path.ends_with(" (deleted)")) return cannot_open(path, ENOENT);
  if (kind != SourceKind::other && !is_readable(*fd, folder)) {
    return denied("unreadable", path, "no permission to read it", "");
  }
  return source;
}

Result<> recheck(const ResolvedSource& source) {
  const auto fd = open_path(AT_FDCWD, source.path, kNoLinks);
  struct stat status{};
  if (fd.valid() && ::fstat(fd.get(), &status) == 0 && status.st_dev == source.device &&
      status.st_ino == source.inode) {
    return {};
  }
  return denied("link-out", source.path, "it was replaced since it was checked", "start again");
}

}  // namespace agentmesh::sandbox
