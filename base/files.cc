#include "base/files.h"

#include "base/ids.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <fmt/format.h>

namespace agentmesh {
namespace {

namespace fs = std::filesystem;

Error failed(std::string_view verb, const fs::path& path) {
  return os_error("file", fmt::format("cannot {} {}", verb, path.string()), errno);
}

Result<void> sync_parent(const fs::path& path) {
  const fs::path parent = path.has_parent_path() ? path.parent_path() : fs::path(".");
  const UniqueFd folder(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid() || ::fsync(folder.get()) != 0) return pass(failed("sync", parent));
  return {};
}

ErrorCode code_of(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return ErrorCode::not_found;
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
      return ErrorCode::denied;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EFBIG:
      return ErrorCode::exhausted;
    case EEXIST:
      return ErrorCode::conflict;
    case EISDIR:
    case EINVAL:
    case ENAMETOOLONG:
      return ErrorCode::invalid;
    case ECONNREFUSED:
      return ErrorCode::unavailable;
    case ETIMEDOUT:
      return ErrorCode::timeout;
    default:
      return ErrorCode::internal;
  }
}

}  // namespace

Error os_error(std::string stage, std::string what, int error_number) {
  return Error{code_of(error_number), std::move(stage),
               fmt::format("{}: {}", what, std::strerror(error_number)), ""};
}

Result<std::string> read_file(const fs::path& path, std::size_t limit) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return pass(failed("open", path));
  std::string text;
  std::array<char, 16384> chunk{};
  while (true) {
    const ssize_t got = ::read(fd.get(), chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return pass(failed("read", path));
    if (got == 0) return text;
    text.append(chunk.data(), static_cast<std::size_t>(got));
    if (text.size() > limit) {
      return fail(ErrorCode::exhausted, "file",
                  fmt::format("{} is larger than {} bytes", path.string(), limit));
    }
  }
}

Result<void> write_all(int fd, std::string_view text, const fs::path& path) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(fd, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return pass(failed("write", path));
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return {};
}

Result<void> write_file(const fs::path& path, std::string_view text, unsigned mode) {
  const fs::path beside = path.string() + ".new-" + random_hex(4);
  UniqueFd fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd.valid()) return pass(failed("create", beside));
  Result<void> done = write_all(fd.get(), text, beside);
  if (done && ::fchmod(fd.get(), mode) != 0) done = pass(failed("set the mode of", beside));
  if (done && ::fsync(fd.get()) != 0) done = pass(failed("sync", beside));
  if (done && ::rename(beside.c_str(), path.c_str()) != 0) done = pass(failed("rename", beside));
  if (!done) {
    ::unlink(beside.c_str());
    return done;
  }
  return sync_parent(path);
}

Result<void> append_file(const fs::path& path, std::string_view text, unsigned mode) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, mode));
  if (!fd.valid()) return pass(failed("open", path));
  return write_all(fd.get(), text, path);
}

Result<void> make_dir(const fs::path& path, unsigned mode) {
  std::error_code ec;
  fs::create_directories(path, ec);
  if (ec) return pass(os_error("file", fmt::format("cannot make folder {}", path.string()), ec.value()));
  if (::chmod(path.c_str(), mode) != 0) return pass(failed("set the mode of", path));
  return {};
}

Result<UniqueFd> lock_file(const fs::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return pass(failed("open", path));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno != EWOULDBLOCK) return pass(failed("lock", path));
  return fail(ErrorCode::conflict, "lock", fmt::format("{} is held by another process", path.string()));
}

}  // namespace agentmesh
