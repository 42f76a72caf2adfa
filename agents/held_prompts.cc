#include "agents/held_prompts.h"

#include "base/files.h"
#include "base/json.h"
#include "base/unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <iterator>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {

namespace {

template <typename Matches>
std::vector<HeldPrompt> take_if(std::deque<HeldPrompt>& prompts, Matches matches) {
  std::vector<HeldPrompt> taken;
  std::ranges::copy_if(prompts, std::back_inserter(taken), matches);
  std::erase_if(prompts, matches);
  return taken;
}

// The socket itself, by a descriptor that a later change of the folder does not touch.
Result<UniqueFd> socket_in(const std::filesystem::path& run_dir, const std::string& name) {
  const UniqueFd folder(::open(run_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  UniqueFd entry(::openat(folder.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.valid() || !entry.valid())
    return std::unexpected(os_error("answer", "the hook is gone", errno));
  struct stat status{};
  if (::fstat(entry.get(), &status) != 0 || !S_ISSOCK(status.st_mode)) {
    return fail(ErrorCode::denied, "answer", "the hook's socket is none");
  }
  return entry;
}

}  // namespace

void HeldPrompts::hold(HeldPrompt prompt) {
  const auto known = std::ranges::find(prompts_, prompt.id, &HeldPrompt::id);
  if (known != prompts_.end() && !prompt.id.empty()) {
    known->socket = std::move(prompt.socket);
    return;
  }
  if (prompts_.size() == kMaxHeldPrompts) prompts_.pop_front();
  prompts_.push_back(std::move(prompt));
}

bool HeldPrompts::knows(std::string_view id) const {
  return std::ranges::find(prompts_, id, &HeldPrompt::id) != prompts_.end();
}

std::vector<HeldPrompt> HeldPrompts::take_call(std::string_view call) {
  return take_if(prompts_, [&](const HeldPrompt& one) { return one.call == call; });
}

std::vector<HeldPrompt> HeldPrompts::take_id(std::string_view id) {
  return take_if(prompts_, [&](const HeldPrompt& one) { return one.id == id; });
}

std::vector<HeldPrompt> HeldPrompts::take_all() {
  return take_if(prompts_, [](const HeldPrompt&) { return true; });
}

Result<> answer_hook(const std::filesystem::path& run_dir, const HeldPrompt& prompt,
                     std::string_view output) {
  const auto entry = socket_in(run_dir, prompt.socket);
  if (!entry) return pass(entry.error());
  const UniqueFd sender(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  fmt::format("/proc/self/fd/{}", entry->get()).copy(address.sun_path, sizeof address.sun_path - 1);
  const std::string text = dump_json({{"id", prompt.id}, {"output", output}});
  const ssize_t sent = ::sendto(sender.get(), text.data(), text.size(), MSG_NOSIGNAL,
                                reinterpret_cast<const sockaddr*>(&address), sizeof address);
  if (sent >= 0) return {};
  if (errno == ECONNREFUSED) return fail(ErrorCode::not_found, "answer", "the hook waits no longer");
  return std::unexpected(os_error("answer", "cannot reach the hook", errno));
}

}  // namespace agentmesh::agents
