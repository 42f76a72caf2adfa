#pragma once
// Tells at once that the program of a pane may have ended. tmux's own subscription looks once a second; the
// kernel tells by pidfd. One watch per pane that lives; it costs a descriptor and nothing while idle. It only
// pokes: what became of the pane is asked of tmux.

#include "tmux/tmux.h"

#include <functional>
#include <map>
#include <memory>
#include <sys/types.h>

#include <boost/asio/any_io_executor.hpp>

namespace agentmesh::tmux {

class DeathWatch {
 public:
  // `poke` is called on the executor, a few milliseconds after the end of a watched process, so that tmux has
  // seen it too; once for each watch.
  DeathWatch(boost::asio::any_io_executor executor, std::function<void()> poke);
  ~DeathWatch();
  // Watches exactly the living panes of these. A pane that lives on without its process (a child of it holds
  // the terminal, or tmux is about to see the end) pokes kLateLooks times and then no more.
  void keep(const std::map<PaneId, Pane>& panes);

 private:
  struct Watch;
  static constexpr int kLateLooks = 7;  // after 3, 6, 12, ... 192 ms
  std::shared_ptr<Watch> watch(PaneId id, pid_t pid);
  void arm(const std::shared_ptr<Watch>& watch);
  void poke_after(const std::shared_ptr<Watch>& watch, int doublings);

  boost::asio::any_io_executor executor_;
  std::function<void()> poke_;
  std::map<PaneId, std::shared_ptr<Watch>> watches_;
  std::map<PaneId, int> late_looks_;
};

}  // namespace agentmesh::tmux
