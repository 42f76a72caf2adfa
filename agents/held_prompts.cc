#include "agents/held_prompts.h"

#include "base/files.h"
#include "base/json.h"
#include "base/socket_address.h"
#include "base/unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <iterator>
#include <sys/socket.h>
#include <sys/stat.h>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {

namespace {

using Stage = HeldPrompt::Stage;

template <typename Matches>
std::vector<HeldPrompt> take_if(std::vector<HeldPrompt>& prompts, Matches matches) {
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

SocketAddress address_of(const UniqueFd& entry) {
  return *SocketAddress::of(fmt::format("/proc/self/fd/{}", entry.get()));
}

UniqueFd datagram_socket() {
  return UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

}  // namespace

void HeldPrompts::hold(HeldPrompt prompt) {
  const auto known = std::ranges::find(prompts_, prompt.id, &HeldPrompt::id);
  if (known != prompts_.end() && !prompt.id.empty()) {
    known->socket = std::move(prompt.socket);
    return;
  }
  std::erase_if(prompts_, [](const HeldPrompt& one) { return one.socket.empty(); });
  const bool full = prompts_.size() >= kMaxHeldPrompts;
  if (full) std::erase_if(prompts_, [](const HeldPrompt& one) { return one.stage == Stage::taken; });
  if (prompts_.size() < kMaxHeldPrompts) prompts_.push_back(std::move(prompt));
}

const HeldPrompt* HeldPrompts::front() const {
  const auto found =
      std::ranges::find_if(prompts_, [](const HeldPrompt& one) { return one.stage != Stage::taken; });
  return found == prompts_.end() ? nullptr : &*found;
}

const HeldPrompt* HeldPrompts::front(Sense sense) const {
  const auto found = std::ranges::find_if(
      prompts_, [&](const HeldPrompt& one) { return one.stage != Stage::taken && one.sense == sense; });
  return found == prompts_.end() ? nullptr : &*found;
}

HeldPrompt* HeldPrompts::find(std::string_view id) {
  const auto found = std::ranges::find(prompts_, id, &HeldPrompt::id);
  return found == prompts_.end() ? nullptr : &*found;
}

std::size_t HeldPrompts::open() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(prompts_, [](const HeldPrompt& one) { return one.stage != Stage::taken; }));
}

// Of equal calls the first that was asked for: one that was allowed stays until its call is over, so that it
// is not taken for the next.
std::vector<HeldPrompt> HeldPrompts::take_call(std::string_view call, std::string_view use) {
  auto found = prompts_.end();
  if (!use.empty()) found = std::ranges::find(prompts_, use, &HeldPrompt::use);
  if (found == prompts_.end()) {
    found = std::ranges::find_if(prompts_, [&](const HeldPrompt& one) {
      return one.call == call && (one.use.empty() || use.empty());
    });
  }
  if (found == prompts_.end()) return {};
  std::vector<HeldPrompt> taken = {std::move(*found)};
  prompts_.erase(found);
  return taken;
}

std::vector<HeldPrompt> HeldPrompts::take_id(std::string_view id) {
  return take_if(prompts_, [&](const HeldPrompt& one) { return one.id == id; });
}

std::vector<HeldPrompt> HeldPrompts::take_all() {
  return take_if(prompts_, [](const HeldPrompt&) { return true; });
}

bool hook_waits(const std::filesystem::path& run_dir, const HeldPrompt& prompt) {
  if (prompt.socket.empty()) return false;
  const auto entry = socket_in(run_dir, prompt.socket);
  if (!entry) return false;
  const UniqueFd probe = datagram_socket();
  const SocketAddress address = address_of(*entry);
  return ::connect(probe.get(), address.get(), address.size()) == 0;
}

Result<> answer_hook(const std::filesystem::path& run_dir, const HeldPrompt& prompt,
                     std::string_view output) {
  const auto entry = socket_in(run_dir, prompt.socket);
  if (!entry) return pass(entry.error());
  const UniqueFd sender = datagram_socket();
  const SocketAddress address = address_of(*entry);
  const std::string text = dump_json({{"id", prompt.id}, {"output", output}});
  const ssize_t sent =
      ::sendto(sender.get(), text.data(), text.size(), MSG_NOSIGNAL, address.get(), address.size());
  if (sent >= 0) return {};
  if (errno == ECONNREFUSED) return fail(ErrorCode::not_found, "answer", "the hook waits no longer");
  return std::unexpected(os_error("answer", "cannot reach the hook", errno));
}

}  // namespace agentmesh::agents
