#include "tmux/death_watch.h"

#include "base/clock.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

namespace agentmesh::tmux {
namespace {

namespace asio = boost::asio;

constexpr Millis kTmuxSeesIt{3};

}  // namespace

struct DeathWatch::Watch {
  Watch(const asio::any_io_executor& executor, pid_t process)
      : pid(process), ended(executor), settle(executor) {}
  pid_t pid;
  bool fired = false;
  asio::posix::stream_descriptor ended;
  asio::steady_timer settle;
};

DeathWatch::DeathWatch(asio::any_io_executor executor, std::function<void()> poke)
    : executor_(std::move(executor)), poke_(std::move(poke)) {}

DeathWatch::~DeathWatch() = default;

void DeathWatch::keep(const std::map<PaneId, Pane>& panes) {
  const auto lives = [&](PaneId id) {
    const auto pane = panes.find(id);
    return pane != panes.end() && !pane->second.dead;
  };
  std::erase_if(late_looks_, [&](const auto& entry) { return !lives(entry.first); });
  std::erase_if(watches_, [&](const auto& entry) {
    return entry.second->fired || !lives(entry.first) || panes.at(entry.first).pid != entry.second->pid;
  });
  for (const auto& [id, pane] : panes) {
    if (pane.dead || pane.pid <= 0 || watches_.contains(id)) continue;
    if (const auto started = watch(id, pane.pid)) watches_.emplace(id, started);
  }
}

std::shared_ptr<DeathWatch::Watch> DeathWatch::watch(PaneId id, pid_t pid) {
  auto started = std::make_shared<Watch>(executor_, pid);
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (fd >= 0) {
    started->ended.assign(fd);
    arm(started);
    return started;
  }
  int& looks = late_looks_[id];
  if (looks >= kLateLooks) return nullptr;
  poke_after(started, looks++);
  return started;
}

// The handlers hold the watch weakly: forgetting it closes its descriptor and cancels them.
void DeathWatch::arm(const std::shared_ptr<Watch>& watch) {
  const std::weak_ptr<Watch> weak = watch;
  watch->ended.async_wait(asio::posix::descriptor_base::wait_read,
                          [this, weak](boost::system::error_code error) {
                            const auto self = weak.lock();
                            if (!error && self) poke_after(self, 0);
                          });
}

void DeathWatch::poke_after(const std::shared_ptr<Watch>& watch, int doublings) {
  watch->settle.expires_after(kTmuxSeesIt * (1 << doublings));
  watch->settle.async_wait(
      [weak = std::weak_ptr<Watch>(watch), poke = poke_](boost::system::error_code error) {
        const auto self = weak.lock();
        if (error || !self) return;
        self->fired = true;
        poke();
      });
}

}  // namespace agentmesh::tmux
