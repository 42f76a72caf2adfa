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
  Watch(const asio::any_io_executor& executor, pid_t process, int fd)
      : pid(process), ended(executor, fd), settle(executor) {}
  pid_t pid;
  bool fired = false;
  asio::posix::stream_descriptor ended;
  asio::steady_timer settle;
};

DeathWatch::DeathWatch(asio::any_io_executor executor, std::function<void()> poke)
    : executor_(std::move(executor)), poke_(std::move(poke)) {}

DeathWatch::~DeathWatch() = default;

void DeathWatch::keep(const std::map<PaneId, Pane>& panes) {
  std::erase_if(watches_, [&](const auto& entry) {
    const auto pane = panes.find(entry.first);
    return entry.second->fired || pane == panes.end() || pane->second.dead ||
           pane->second.pid != entry.second->pid;
  });
  for (const auto& [id, pane] : panes) {
    if (pane.dead || pane.pid <= 0 || watches_.contains(id)) continue;
    const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pane.pid, 0));
    if (fd < 0) continue;
    const auto watch = std::make_shared<Watch>(executor_, pane.pid, fd);
    watches_.emplace(id, watch);
    arm(watch);
  }
}

// The handlers hold the watch weakly: forgetting it closes its descriptor and cancels them.
void DeathWatch::arm(const std::shared_ptr<Watch>& watch) {
  const std::weak_ptr<Watch> weak = watch;
  watch->ended.async_wait(asio::posix::descriptor_base::wait_read,
                          [weak, poke = poke_](boost::system::error_code e) {
                            const auto self = weak.lock();
                            if (e || !self) return;
                            self->settle.expires_after(kTmuxSeesIt);
                            self->settle.async_wait([weak, poke](boost::system::error_code cancelled) {
                              const auto still = weak.lock();
                              if (cancelled || !still) return;
                              still->fired = true;
                              poke();
                            });
                          });
}

}  // namespace agentmesh::tmux
