#include "host/run_folder.h"

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::host {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t kMaxFile = 16 * 1024;
constexpr std::size_t kIdDigits = 16;

struct flock whole_file(short type) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

Result<json> read_object(const fs::path& path) {
  const auto text = read_file(path, kMaxFile);
  if (!text) return pass(text.error());
  auto object = parse_json(*text, "host");
  if (object && !object->is_object())
    return fail(ErrorCode::invalid, "host", path.string() + " is no object");
  return object;
}

// What is missing or of another form is as if it were killed and had used nothing.
RunEnd end_in(const json& row) {
  const auto number = [&](const char* name) {
    return std::max<std::int64_t>(json_int(row, name, 0).value_or(0), 0);
  };
  return {.exit_code = static_cast<int>(json_int(row, "exit_code", kKilledCode).value_or(kKilledCode)),
          .at = from_rfc3339(json_string(row, "at", "").value_or("")).value_or(WallTime{}),
          .use = {.peak_memory_bytes = static_cast<std::uint64_t>(number("peak_memory_bytes")),
                  .cpu = Millis{number("cpu_ms")}}};
}

}  // namespace

std::string id_of(const RunIdentity& identity) {
  const std::string text = fmt::format("{}/{}/{}", identity.owner, identity.agent, identity.run.value);
  return std::string(kIdPrefix) + sha256_hex(text).substr(0, kIdDigits);
}

Result<void> RunFolder::make(const RunIdentity& identity) const {
  if (auto made = make_dir(path_.parent_path(), 0700); !made) return made;
  if (::mkdir(path_.c_str(), 0700) != 0) {
    if (errno == EEXIST) return fail(ErrorCode::conflict, "host", "the run exists");
    return pass(os_error("host", "cannot make " + path_.string(), errno));
  }
  const json row{{"owner", identity.owner}, {"agent", identity.agent}, {"run", identity.run.value}};
  return write_file(path_ / "run.json", dump_json(row), 0600);
}

Result<UniqueFd> RunFolder::hold() const {
  UniqueFd fd(::open((path_ / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return pass(os_error("host", "cannot open the lock of " + id_, errno));
  struct flock lock = whole_file(F_WRLCK);
  if (::fcntl(fd.get(), F_SETLK, &lock) == 0) return fd;
  return fail(ErrorCode::conflict, "host", id_ + " has a holder already");
}

std::optional<pid_t> RunFolder::holder() const {
  const UniqueFd fd(::open((path_ / "lock").c_str(), O_RDWR | O_CLOEXEC));
  struct flock lock = whole_file(F_WRLCK);
  if (!fd.valid() || ::fcntl(fd.get(), F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return std::nullopt;
  return lock.l_pid;
}

Result<void> RunFolder::set_started(pid_t agent, WallTime at) const {
  return write_file(path_ / "started.json", dump_json({{"pid", agent}, {"at", to_rfc3339(at)}}), 0600);
}

Result<void> RunFolder::set_exit(const RunEnd& end) const {
  const json row{{"exit_code", end.exit_code},
                 {"at", to_rfc3339(end.at)},
                 {"peak_memory_bytes", end.use.peak_memory_bytes},
                 {"cpu_ms", end.use.cpu.count()}};
  return write_file(path_ / "exit.json", dump_json(row), 0600);
}

Result<RunIdentity> RunFolder::identity() const {
  const auto row = read_object(path_ / "run.json");
  if (!row) return pass(row.error());
  const auto owner = json_string(*row, "owner", "");
  const auto agent = json_string(*row, "agent", "");
  const auto run = json_int(*row, "run", 0);
  if (owner && agent && run && *run > 0) {
    return RunIdentity{*owner, *agent, RunId{static_cast<std::uint64_t>(*run)}};
  }
  return fail(ErrorCode::invalid, "host", (path_ / "run.json").string() + " is not a run's");
}

// The lock is asked first: a holder that ends after that has written its exit before.
Result<RunSeen> RunFolder::look() const {
  const bool held = holder().has_value();
  const auto known = identity();
  if (!known) return pass(known.error());
  RunSeen seen{.id = id_, .identity = *known};
  if (const auto end = read_object(path_ / "exit.json")) {
    seen.state = RunState::exited;
    seen.end = end_in(*end);
    seen.exit_code = seen.end->exit_code;
    return seen;
  }
  std::error_code ec;
  const bool started = fs::exists(path_ / "started.json", ec);
  if (held) {
    seen.state = started ? RunState::running : RunState::created;
  } else if (started) {
    seen.state = RunState::exited;
    seen.exit_code = kKilledCode;
  }
  return seen;
}

// Renamed at once and under the lock: a holder that is only just starting finds a run or none, never a part.
Result<void> RunFolder::remove() const {
  std::error_code ec;
  const fs::path gone = path_.parent_path() / (std::string(kGonePrefix) + id_);
  fs::remove_all(gone, ec);
  if (!fs::exists(path_, ec)) return {};
  const auto lock = hold();
  if (!lock) return fail(ErrorCode::unavailable, "host", id_ + " has a holder");
  fs::rename(path_, gone, ec);
  if (!ec) fs::remove_all(gone, ec);
  if (ec) return pass(os_error("host", "cannot remove " + path_.string(), ec.value()));
  return {};
}

}  // namespace agentmesh::host
