#pragma once
// Which folders of the host an agent may see. Every source is opened by openat2 without following a link out
// of the folder that holds the link, at the moment of the mount; what was opened is judged, not what was
// typed. Owned by the daemon, built from the host and the configuration. It never mounts and never creates
// anything.
//
// Rules, by the name an error carries: root, etc, proc, sys, dev, run, boot, engine-socket, tmux-socket,
// home, credentials
// (~/.ssh, ~/.aws, ~/.gnupg, ~/.kube, ~/.docker, ~/.config/gh), browser, agentmesh-home, link-out,
// special-file, owner, unreadable, target.

#include "base/result.h"
#include "sandbox/run_spec.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace agentmesh::sandbox {

constexpr std::size_t kMaxPathBytes = 4096;
constexpr std::size_t kMaxEntriesSearchedForSockets = 4096;  // of the top of a folder that is to be mounted

enum class SourceKind { folder, file, other };

// A source as it was found. dev and inode let the daemon see that it is still the same just before start.
struct ResolvedSource {
  std::string path;  // real, absolute, without links
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  Identity owner;
  SourceKind kind = SourceKind::folder;
};

struct MountRequest {
  std::string source;
  std::string target;
  Access access = Access::read_only;
};

// "SRC:DST[:ro|:rw]", read-only unless :rw. SRC must be absolute (the caller expands ~ and relative paths).
// Errors: invalid.
Result<MountRequest> parse_mount(std::string_view text);

// What the policy knows of the host. Paths are real paths.
struct PolicyFacts {
  std::vector<std::string> homes;  // of people, root and the daemon's user
  std::string agentmesh_home;
  std::vector<std::string> engine_sockets;  // every place an engine may listen
  std::string tmux_folder;  // tmux keeps its sockets there: who has one has a shell on the host
  std::vector<std::string>
      allow_roots;  // [sandbox] allow_mounts: lifts every rule but root, engine-socket, tmux-socket
  uid_t daemon_uid = 0;
};

// Homes from the user database and the environment, engine sockets from socket_candidates.
PolicyFacts host_facts(std::string agentmesh_home, std::vector<std::string> allow_roots);

class MountPolicy {
 public:
  explicit MountPolicy(PolicyFacts facts);

  // The workdir as the workspace: an existing folder. AGENTMESH_HOME/workspaces/X is allowed.
  // Errors: invalid (missing, a file, not absolute, too long), denied (what names the rule, hint the cure).
  Result<ResolvedSource> workspace(const std::string& path) const;
  // An extra mount: a folder or a regular file. Errors as above; also for a target that covers or lies in
  // what the sandbox needs.
  Result<Mount> mount(const MountRequest& request) const;
  // Who the agent runs as: the owner of the workspace. A daemon that is not root runs agents only as its own
  // user. Errors: denied (rule owner).
  Result<Identity> identity(const ResolvedSource& workspace) const;

  const PolicyFacts& facts() const { return facts_; }

 private:
  Result<ResolvedSource> judged(const std::string& path) const;
  std::optional<Error> refused_socket(const std::string& path) const;
  std::optional<Error> refused_path(const std::string& path) const;         // by its text
  std::optional<Error> refused_object(const ResolvedSource& source) const;  // whatever its path

  PolicyFacts facts_;
  std::vector<std::string> real_sockets_;  // without links on the way: what lies above them shows them
};

// Opens without following links out. Errors: invalid, denied (rule link-out or unreadable).
Result<ResolvedSource> resolve_source(const std::string& path);
// Still the same object by the same path, no link in it. Errors: denied (rule link-out).
Result<> recheck(const ResolvedSource& source);

}  // namespace agentmesh::sandbox
