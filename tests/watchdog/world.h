#pragma once
// A small world around one agent: an engine, a tmux, a daemon with a journal, in virtual time. It lies,
// loses, delays and crashes as its seed says; step() under test is the daemon's only brain. It checks after
// every move what must always hold, and at the end what must have come about.

#include "watchdog/step.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <random>
#include <string>
#include <vector>

namespace agentmesh::watchdog::test {

enum class Mood { chaos, calm };
enum class Telling { silent, history };

class World {
 public:
  World(std::uint64_t seed, Telling telling);
  // Chaos, then calm. The first broken promise, or empty.
  std::string run();
  std::uint64_t steps() const { return steps_; }
  std::uint64_t crashes() const { return crashes_; }
  std::uint64_t starts() const { return starts_; }
  std::uint64_t probes() const { return probes_; }
  const std::vector<std::string>& history() const { return history_; }

 private:
  struct Container {
    std::string id;
    ContainerState state = ContainerState::created;
    int exit_code = 0;
    bool oom = false;
  };
  struct Item {
    WallTime at;
    std::uint64_t order;
    std::optional<std::uint64_t> daemon;  // dies with this life of the daemon
    std::function<void()> what;
    bool operator<(const Item& other) const { return at != other.at ? at > other.at : order > other.order; }
  };

  bool chance(int percent);
  Millis between(Millis low, Millis high);
  void at(Millis delay, std::function<void()> what);
  void to_daemon(Millis delay, Event event);
  void run_until(WallTime end);
  void broken(std::string what);
  void say(std::string what);

  void feed(const Event& event);
  void tell(const Event& event, const Agent& before, const Step& next);
  bool perform_all(const std::vector<Action>& actions);
  void crash();
  void boot();
  void admit();
  void look();
  void check_step(const Agent& before, const Step& next);

  void perform(const Persist& action);
  void perform(const Create& action);
  void perform(const Start& action);
  void perform(const Stop& action);
  void perform(const Kill& action);
  void perform(const Remove& action);
  void perform(const OpenPane& action);
  void perform(const ClosePane& action);
  void perform(const WriteCrashReport& action);
  void perform(const Look& action);
  void perform(const Probe& action);
  void perform(const Nudge& action);
  void perform(const Answer&) {}
  void perform(const Notify&) {}
  void perform(const Alert&) {}
  void perform(const Emit&) {}

  // Carries an engine effect out with this seed's luck: done, refused, lied about, lost, late.
  void effect(Effect effect, RunId run, std::function<bool()> does);
  bool do_create(RunId run);
  bool do_start(RunId run, const std::string& id);
  bool do_end(RunId run, int code);
  bool do_remove(RunId run);
  void live_a_little(RunId run);
  void signal(RunId run);
  void operator_acts();
  void stray_appears();
  void engine_away();
  void relist();
  int running() const;
  std::string verdict() const;

  bool telling_;
  std::mt19937_64 random_;
  Mood mood_ = Mood::chaos;
  WallTime time_{Millis{1'700'000'000'000}};
  Millis skew_{};
  std::priority_queue<Item> items_;
  std::uint64_t order_ = 0;

  std::map<RunId, Container> containers_;
  std::uint64_t made_ = 0;
  PaneState pane_ = PaneState::none;
  bool engine_up_ = true;

  Policy policy_;
  Agent agent_;
  AgentRecord journal_;
  std::uint64_t daemon_ = 0;
  bool daemon_up_ = true;
  Wanted asked_ = Wanted::stopped;
  bool last_saved_ = true;
  bool admitting_ = false;
  std::string broken_;
  std::uint64_t steps_ = 0;
  std::uint64_t crashes_ = 0;
  std::uint64_t starts_ = 0;
  std::uint64_t probes_ = 0;
  std::vector<std::string> history_;
};

}  // namespace agentmesh::watchdog::test
