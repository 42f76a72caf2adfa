#include "sandbox/mount_policy.h"

#include "base/unique_fd.h"
#include "sandbox/engine_socket.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <dirent.h>
#include <filesystem>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

namespace agentmesh::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr uid_t kFirstPersonUid = 1000;
constexpr uid_t kNobodyUid = 65'534;
constexpr std::size_t kMaxHomes = 10'000;

struct SystemRule {
  std::string_view name;
  std::string_view path;
};
constexpr std::array kSystemRules{SystemRule{"etc", "/etc"},  SystemRule{"proc", "/proc"},
                                  SystemRule{"sys", "/sys"},  SystemRule{"dev", "/dev"},
                                  SystemRule{"run", "/run"},  SystemRule{"run", "/var/run"},
                                  SystemRule{"boot", "/boot"}};
constexpr std::array<std::string_view, 6> kCredentials{".ssh",  ".aws",    ".gnupg",
                                                       ".kube", ".docker", ".config/gh"};
constexpr std::array<std::string_view, 12> kBrowsers{".mozilla",
                                                     ".librewolf",
                                                     ".config/google-chrome",
                                                     ".config/chromium",
                                                     ".config/BraveSoftware",
                                                     ".config/vivaldi",
                                                     ".config/opera",
                                                     ".config/microsoft-edge",
                                                     "snap/firefox",
                                                     "snap/chromium",
                                                     ".var/app/org.mozilla.firefox",
                                                     ".var/app/com.google.Chrome"};

// No mount may be at, above, or (for the first group) inside these places of the sandbox.
constexpr std::array<std::string_view, 5> kClosedTargets{"/proc", "/sys", "/dev", "/run",
                                                         "/home/agent/.agentmesh"};
constexpr std::array<std::string_view, 11> kNeededTargets{kWorkspaceTarget, kHomeTarget, "/tmp",  "/etc",
                                                          "/usr",           "/bin",      "/sbin", "/lib",
                                                          "/lib64",         "/var",      "/boot"};

bool is_within(std::string_view path, std::string_view root) {
  if (root == "/") return true;
  return path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
}
// One lies in the other: to mount either shows the other, whole or in part.
bool touches(std::string_view path, std::string_view place) {
  return is_within(path, place) || is_within(place, path);
}

// "/a//b/../c/" as "/a/c", by text alone.
std::string normal(const std::string& path) {
  auto text = fs::path(path).lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

std::unexpected<Error> refuse(std::string_view rule, std::string_view what, std::string_view why,
                              std::string hint) {
  return fail(ErrorCode::denied, "mount", fmt::format("{} is refused by rule {}: {}", what, rule, why),
              std::move(hint));
}

Error root_refusal(const std::string& path) {
  return refuse("root", path, "it is the whole host", "choose a folder of its own").error();
}

Error socket_refusal(const std::string& path) {
  return refuse("engine-socket", path, "who has the engine's socket is root on this host",
                "no setting lifts this rule")
      .error();
}

std::string allow_hint(const std::string& path) {
  return "choose a folder of its own, or add " + path + " to [sandbox] allow_mounts";
}

std::vector<std::string> with_real_paths(std::vector<std::string> paths) {
  std::vector<std::string> out;
  for (const auto& path : paths) {
    if (!path.starts_with('/')) continue;
    out.push_back(normal(path));
    std::error_code ec;
    const auto real = fs::weakly_canonical(path, ec);
    if (!ec) out.push_back(normal(real.string()));
  }
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

bool is_real(const std::string& path) {
  std::error_code ec;
  return fs::weakly_canonical(path, ec) == path && !ec;
}

std::vector<std::string> homes_of_people() {
  std::vector<std::string> homes;
  if (const char* home = std::getenv("HOME"); home != nullptr) homes.emplace_back(home);
  ::setpwent();
  for (const passwd* user = ::getpwent(); user != nullptr && homes.size() < kMaxHomes; user = ::getpwent()) {
    const bool person = user->pw_uid >= kFirstPersonUid && user->pw_uid != kNobodyUid;
    if (person || user->pw_uid == 0 || user->pw_uid == ::getuid()) homes.emplace_back(user->pw_dir);
  }
  ::endpwent();
  std::erase(homes, "/");
  return homes;
}

struct Node {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const Node&) const = default;
};

std::optional<Node> node_at(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return Node{status.st_dev, status.st_ino};
}

// The engine's sockets that exist, as objects, and the folders above them but the root.
std::vector<Node> nodes_towards(const std::vector<std::string>& sockets) {
  std::vector<Node> nodes;
  for (const auto& socket : sockets) {
    if (!node_at(socket)) continue;
    for (fs::path at = socket; at.has_relative_path(); at = at.parent_path()) {
      if (const auto node = node_at(at.string())) nodes.push_back(*node);
    }
  }
  return nodes;
}

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

// A socket of the engine directly in this folder, under whatever name.
bool holds_socket(const std::string& folder, const std::vector<Node>& sockets) {
  const std::unique_ptr<DIR, CloseDir> dir(::opendir(folder.c_str()));
  if (!dir) return false;
  std::size_t seen = 0;
  for (const dirent* entry = ::readdir(dir.get()); entry != nullptr; entry = ::readdir(dir.get())) {
    if (++seen > kMaxEntriesSearchedForSockets) return false;
    if (entry->d_type != DT_SOCK && entry->d_type != DT_UNKNOWN) continue;
    struct stat status{};
    if (::fstatat(::dirfd(dir.get()), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (std::ranges::find(sockets, Node{status.st_dev, status.st_ino}) != sockets.end()) return true;
  }
  return false;
}

}  // namespace

std::optional<Error> MountPolicy::refused_socket(const std::string& path) const {
  const auto is_it = [&](const std::string& socket) { return socket == path; };
  const auto holds_it = [&](const std::string& socket) { return path != "/run" && is_within(socket, path); };
  if (std::ranges::none_of(facts_.engine_sockets, is_it) && std::ranges::none_of(real_sockets_, holds_it)) {
    return std::nullopt;
  }
  return socket_refusal(path);
}

std::optional<Error> MountPolicy::refused_path(const std::string& path) const {
  const auto refused = [&](std::string_view rule, std::string_view why) {
    return refuse(rule, path, why, allow_hint(path)).error();
  };
  if (path == "/") return root_refusal(path);
  if (auto error = refused_socket(path)) return error;
  const std::string& tmux = facts_.tmux_folder;
  if (!tmux.empty() && (is_within(path, tmux) || is_within(tmux, path))) {
    return refuse("tmux-socket", path, "who has tmux's socket has a shell on this host",
                  "no setting lifts this rule")
        .error();
  }
  if (std::ranges::any_of(facts_.allow_roots, [&](const auto& root) { return is_within(path, root); }))
    return {};
  for (const auto& rule : kSystemRules) {
    if (is_within(path, rule.path)) return refused(rule.name, "it belongs to the system");
  }
  for (const auto& home : facts_.homes) {
    if (is_within(home, path)) return refused("home", "it shows a whole home directory");
    const auto has = [&](std::string_view name) { return touches(path, fmt::format("{}/{}", home, name)); };
    if (std::ranges::any_of(kCredentials, has)) return refused("credentials", "credentials are kept there");
    if (std::ranges::any_of(kBrowsers, has)) return refused("browser", "a browser's profile is kept there");
  }
  const auto workspaces = facts_.agentmesh_home + "/workspaces";
  const bool own_workspace = path != workspaces && is_within(path, workspaces);
  if (!own_workspace && touches(path, facts_.agentmesh_home)) {
    return refused("agentmesh-home", "agentmesh keeps its state there");
  }
  return std::nullopt;
}

std::optional<Error> MountPolicy::refused_object(const ResolvedSource& source) const {
  const Node node{source.device, source.inode};
  if (node_at("/") == node) return root_refusal(source.path);
  const auto towards = nodes_towards(real_sockets_);
  const bool shows = std::ranges::find(towards, node) != towards.end();
  if (shows || (source.kind == SourceKind::folder && holds_socket(source.path, towards))) {
    return socket_refusal(source.path);
  }
  if (source.kind != SourceKind::other) return std::nullopt;
  return refuse("special-file", source.path, "it is neither a folder nor a file", "").error();
}

Result<MountRequest> parse_mount(std::string_view text) {
  constexpr std::string_view kForm = "write SRC:DST, SRC:DST:ro or SRC:DST:rw, both paths absolute";
  const auto invalid = [&](std::string_view why) {
    return fail(ErrorCode::invalid, "mount", fmt::format("mount '{}': {}", text.substr(0, 200), why),
                std::string(kForm));
  };
  if (text.find('\0') != std::string_view::npos) return invalid("it has a NUL byte");
  MountRequest request;
  std::string_view rest = text;
  if (rest.ends_with(":rw")) request.access = Access::read_write;
  if (rest.ends_with(":rw") || rest.ends_with(":ro")) rest.remove_suffix(3);
  const auto colon = rest.rfind(':');
  if (colon == std::string_view::npos) return invalid("there is no target");
  request.source = rest.substr(0, colon);
  request.target = rest.substr(colon + 1);
  if (!request.source.starts_with('/')) return invalid("the source is not an absolute path");
  if (!request.target.starts_with('/')) return invalid("the target is not an absolute path");
  if (request.source.size() > kMaxPathBytes || request.target.size() > kMaxPathBytes)
    return invalid("a path is too long");
  return request;
}

PolicyFacts host_facts(std::string agentmesh_home, std::vector<std::string> allow_roots) {
  PolicyFacts facts;
  facts.homes = homes_of_people();
  facts.agentmesh_home = std::move(agentmesh_home);
  facts.engine_sockets = socket_candidates(this_host());
  const char* temporary = std::getenv("TMUX_TMPDIR");
  facts.tmux_folder = fmt::format("{}/tmux-{}", temporary == nullptr ? "/tmp" : temporary, ::geteuid());
  facts.allow_roots = std::move(allow_roots);
  facts.daemon_uid = ::geteuid();
  return facts;
}

MountPolicy::MountPolicy(PolicyFacts facts) : facts_(std::move(facts)) {
  facts_.homes = with_real_paths(std::move(facts_.homes));
  facts_.engine_sockets = with_real_paths(std::move(facts_.engine_sockets));
  std::ranges::copy_if(facts_.engine_sockets, std::back_inserter(real_sockets_), is_real);
  facts_.allow_roots = with_real_paths(std::move(facts_.allow_roots));
  if (!facts_.tmux_folder.empty()) facts_.tmux_folder = with_real_paths({facts_.tmux_folder}).back();
  std::error_code ec;
  const auto real = fs::weakly_canonical(facts_.agentmesh_home, ec);
  facts_.agentmesh_home = normal(ec ? facts_.agentmesh_home : real.string());
}

Result<ResolvedSource> MountPolicy::judged(const std::string& path) const {
  if (path.starts_with('/')) {
    if (auto error = refused_path(normal(path))) return pass(std::move(*error));
  }
  auto source = resolve_source(path);
  if (!source) return source;
  if (auto error = refused_path(source->path)) return pass(std::move(*error));
  if (auto error = refused_object(*source)) return pass(std::move(*error));
  return source;
}

Result<ResolvedSource> MountPolicy::workspace(const std::string& path) const {
  auto source = judged(path);
  if (source && source->kind != SourceKind::folder)
    return fail(ErrorCode::invalid, "workdir", path + " is a file, not a folder");
  if (!source && source.error().code == ErrorCode::invalid) source.error().stage = "workdir";
  return source;
}

Result<Mount> MountPolicy::mount(const MountRequest& request) const {
  const auto target = normal(request.target);
  const auto bad_target = [&](std::string_view place) {
    return refuse("target", "the target " + target, fmt::format("the sandbox needs {}", place),
                  "mount below /mnt or /data");
  };
  if (!target.starts_with('/') || target == "/") return bad_target("/");
  for (const auto place : kClosedTargets) {
    if (touches(target, place)) return bad_target(place);
  }
  for (const auto place : kNeededTargets) {
    if (is_within(place, target)) return bad_target(place);
  }
  const auto source = judged(request.source);
  if (!source) return pass(source.error());
  return Mount{source->path, target, request.access};
}

Result<Identity> MountPolicy::identity(const ResolvedSource& workspace) const {
  if (facts_.daemon_uid == 0 || workspace.owner.uid == facts_.daemon_uid) return workspace.owner;
  return refuse(
      "owner", workspace.path,
      fmt::format("it belongs to uid {}, agents run as uid {}", workspace.owner.uid, facts_.daemon_uid),
      "choose a folder of your own");
}

}  // namespace agentmesh::sandbox
