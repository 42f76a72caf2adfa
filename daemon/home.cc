#include "daemon/home.h"

#include "base/files.h"
#include "base/socket_address.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

namespace agentmesh::daemon {
namespace {

// The longest socket path below the home: an agent's own HTTP socket.
std::size_t longest_socket(const Home& home) { return home.socket().string().size(); }

}  // namespace

Result<void> prepare_home(const Home& home) {
  if (longest_socket(home) > kMaxSocketPath) {
    return fail(ErrorCode::invalid, "home",
                fmt::format("{} is too long a path for a socket", home.root.string()),
                "choose a shorter AGENTMESH_HOME");
  }
  for (const auto& folder : {home.root, home.logs(), home.root / "agents", home.root / "workspaces"}) {
    if (auto made = make_dir(folder, 0700); !made) {
      const bool no_folder = made.error().code == ErrorCode::not_found;  // a file stands in its way
      return fail(no_folder ? ErrorCode::invalid : made.error().code, "home", made.error().what,
                  "is the disk full or read-only, or the folder another user's?");
    }
  }
  struct stat info{};
  if (::stat(home.root.c_str(), &info) != 0 || info.st_uid != ::geteuid()) {
    return fail(ErrorCode::denied, "home", fmt::format("{} belongs to another user", home.root.string()),
                "set AGENTMESH_HOME to a folder of your own");
  }
  return {};
}

}  // namespace agentmesh::daemon
