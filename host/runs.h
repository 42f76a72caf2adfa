#pragma once
// Runs on the host, as the daemon uses them: what sandbox/engine.h is for containers. A run is a folder
// (run_folder.h) and a holder (holder.h) that outlives the daemon; the folder's id is the run's. It keeps no
// state but what the running holders told, never restarts anything, and needs no engine.
//
// Errors of every method, stage "host": unavailable (the holder does not answer), timeout (it is not known
// whether it happened), invalid, those of the disk. What a method adds is said there.

#include "base/clock.h"
#include "base/ids.h"
#include "base/task.h"
#include "host/holder_launch.h"
#include "host/run_folder.h"
#include "net/http_client.h"

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

namespace agentmesh::host {

// In the environment of everything a run starts, with the run's id: by it the rest of a run is found whose
// holder was killed.
constexpr std::string_view kRunVariable = "AGENTMESH_HOST_RUN";

// Where this program is, for the hooks that a runner starts.
constexpr std::string_view kProgramVariable = "AGENTMESH_PROGRAM";

struct RunsOptions {
  std::filesystem::path folder;  // host/ below AGENTMESH_HOME
  std::string program;           // this program's own path
  std::string owner;             // the journal's
};

// The way to the agent's own HTTP server.
struct Channel {
  std::uint16_t http_port = 0;
  Secret http_password;
};

class Runs {
 public:
  // `ended` is told once for each run that ends while we watch, with 128 + signal for a signal.
  using Ended = std::function<void(const RunIdentity& identity, int exit_code)>;

  Runs(boost::asio::any_io_executor executor, net::HttpClient& http, RunsOptions options, Ended ended);
  ~Runs();

  std::string id_of(const AgentName& agent, RunId run) const;
  std::filesystem::path socket_of(const std::string& id) const;
  // Below it is everything the run started. Nothing: the run has no holder.
  std::optional<pid_t> holder_of(const std::string& id) const { return folder_of(id).holder(); }
  // How it ended, as its holder wrote it. Nothing: it has not, or its holder was killed.
  std::optional<RunEnd> end_of(const std::string& id) const;
  // Nothing: not known before its creation or a list().
  std::optional<Channel> channel_of(const std::string& id) const;

  // The id; its holder lives, the agent does not run yet. One that exists already is adopted.
  Task<std::string> create(AgentName agent, RunId run, HolderLaunch launch);
  // Running, or already running, or ended already. A program that is not there ends at once with 127.
  // not_found: no such run.
  Task<> start(std::string id);
  // Ended with all its descendants, or was not running: TERM, and KILL after the grace. not_found.
  Task<> stop(std::string id, Millis grace);
  // Everything of it was killed; its end follows. A holder that does not answer is killed too. not_found.
  Task<> kill(std::string id);
  // Gone, running or not; gone already is success.
  Task<> remove(std::string id);
  // Of every journal that ever used this home: compare the owner. Those that run are watched from now on.
  Task<std::vector<RunSeen>> list();
  // The newest lines of what it printed. unavailable: its holder is gone, and they with it.
  Task<std::string> logs(std::string id, std::uint32_t lines);

 private:
  RunFolder folder_of(const std::string& id) const { return {options_.folder, id}; }
  Task<net::HttpResponse> call(const std::string& method, const std::string& id, const std::string& action,
                               Millis limit);
  Task<> until_holder_answers(std::string id, int pid);
  void watch(const RunFolder& folder, const RunIdentity& identity);
  boost::asio::awaitable<void> watch_loop(std::string id, RunIdentity identity);
  boost::asio::awaitable<void> sweep(std::string id);
  boost::asio::awaitable<bool> until_holder_gone(std::string id, Millis limit);
  Result<> must_exist(const std::string& id) const;
  void kill_holder(const std::string& id) const;
  boost::asio::awaitable<void> learn_channel(std::string id);

  boost::asio::any_io_executor executor_;
  net::HttpClient& http_;
  RunsOptions options_;
  Ended ended_;
  std::set<std::string> making_;   // ids whose folder may be half made
  std::set<std::string> watched_;  // ids
  std::map<std::string, Channel> channels_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace agentmesh::host
