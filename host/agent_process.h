#pragma once
// The agent's process with its terminal, and everything that descends from it. Owned by the holder, which is
// its parent and the reaper of all its descendants: whatever the agent leaves behind becomes the holder's
// child, so nothing is out of reach of kill_all(). It keeps no output and answers nobody.

#include "base/clock.h"
#include "base/unique_fd.h"
#include "base/waiters.h"
#include "host/holder_launch.h"
#include "host/run_folder.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>

namespace agentmesh::host {

// What everything that was started and has ended used: all of it is waited for by its parent or by us.
RunUse used_by_children();

class AgentProcess {
 public:
  // `output` is told what the program prints.
  AgentProcess(boost::asio::io_context& io, std::function<void(std::string_view)> output);

  // Errors: those of start_in_terminal.
  Result<void> start(const HolderLaunch& launch);
  pid_t pid() const { return pid_; }
  // The exit code, 128 + signal for a signal, when it has ended by itself or by us; with everything that
  // descended from it, and all its output told.
  boost::asio::awaitable<int> ended();

  // TERM to its whole session; everything is killed after the grace. Returns when the agent has ended.
  boost::asio::awaitable<void> stop(Millis grace);
  // Until nothing of it is left; gives up after kKillLimit on what the kernel does not let go.
  boost::asio::awaitable<void> kill_all();

  // Nothing happens before the start and after the end.
  boost::asio::awaitable<void> type(std::string bytes);
  bool resize(std::uint16_t columns, std::uint16_t rows);

 private:
  Result<void> open_terminal();
  boost::asio::awaitable<void> read_loop();
  boost::asio::awaitable<void> reap_loop();
  void reap();

  boost::asio::io_context& io_;
  std::function<void(std::string_view)> output_;
  boost::asio::posix::stream_descriptor terminal_;
  // The program's side, open as long as it lives: else its output would end whenever it closes its own.
  UniqueFd program_side_;
  boost::asio::signal_set children_;
  Waiters change_;
  pid_t pid_ = 0;
  std::optional<int> exit_code_;
  bool read_all_ = false;
};

}  // namespace agentmesh::host
