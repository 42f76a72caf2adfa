#pragma once
// The folder of one run on the host: host/ID below AGENTMESH_HOME, 0700. It says what became of the run, also
// when nobody was there to see it:
//   run.json      agent, run and journal it belongs to; written first
//   lock          locked as long as the run's holder lives: the kernel's word, which no reboot and no reused
//                 pid can fake
//   started.json  the agent's process was started
//   exit.json     how it ended; written before anybody is told
//   socket        the holder's
//   holder.log    what the holder had to say
// docs/formats/host-run.md has the members. Holder and daemon both use it; the holder alone writes what comes
// after run.json.

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/unique_fd.h"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace agentmesh::host {

constexpr std::string_view kIdPrefix = "host-";
constexpr std::string_view kGonePrefix = "gone-";
constexpr int kKilledCode = 137;  // 128 + SIGKILL: what becomes of an agent whose holder is gone

struct RunIdentity {
  std::string owner;  // of the journal
  std::string agent;
  RunId run;

  bool operator==(const RunIdentity&) const = default;
};

// "host-" and 16 hex digits: always the same for the same run, so that making it twice is a conflict.
std::string id_of(const RunIdentity& identity);

// What all processes of a run used; the memory is that of the largest.
struct RunUse {
  std::uint64_t peak_memory_bytes = 0;
  Millis cpu{};
};

struct RunEnd {
  int exit_code = 0;  // 128 + signal for a signal
  WallTime at{};
  RunUse use;
};

enum class RunState {
  created,  // its holder lives, the agent's process was not started yet
  running,
  exited,
  nothing,  // what a holder that died before the start left: as if it had never been
};

struct RunSeen {
  std::string id;
  RunIdentity identity;
  RunState state = RunState::nothing;
  int exit_code = 0;          // 128 + signal for a signal
  std::optional<RunEnd> end;  // as its holder wrote it; none: it runs, or its holder was killed
};

class RunFolder {
 public:
  RunFolder(const std::filesystem::path& runs, std::string id) : id_(std::move(id)), path_(runs / id_) {}

  const std::string& id() const { return id_; }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path socket() const { return path_ / "socket"; }
  std::filesystem::path log() const { return path_ / "holder.log"; }

  // Errors: conflict (it exists), those of the disk.
  Result<void> make(const RunIdentity& identity) const;
  // The lock, for the holder. Errors: conflict (another holder lives).
  Result<UniqueFd> hold() const;
  // The holder's pid; nothing when none lives.
  std::optional<pid_t> holder() const;
  Result<void> set_started(pid_t agent, WallTime at) const;
  Result<void> set_exit(const RunEnd& end) const;
  // Errors: not_found (no run.json), invalid (not of this form).
  Result<RunIdentity> identity() const;
  // Never by the holder itself: to look at the lock would release it. Errors: as above.
  Result<RunSeen> look() const;
  // Errors: unavailable (it has a holder), those of the disk. What an interrupted removal leaves has another
  // name, kGonePrefix and the id.
  Result<void> remove() const;

 private:
  std::string id_;
  std::filesystem::path path_;
};

}  // namespace agentmesh::host
