#pragma once
// The numbers and choices that step() obeys. Policy is one agent's, HostPolicy is the host's. The caller
// fills them from the configuration; the defaults here are those of config/default.toml. Nothing here changes
// by itself.

#include "base/clock.h"

namespace agentmesh::watchdog {

// What a permission prompt leads to, besides the notification.
enum class OnPermission { ask, deny, allow_in_sandbox };

// What an exit code of 0 means. when_work: done, unless an assignment or a turn is still open.
enum class CleanExit { when_work, restart_always, never_restart };

struct Policy {
  // Restarts. The limit is the seed project's; the curve lies between moby's (0.1-60 s) and Kubernetes'
  // (10-300 s).
  int max_restarts = 3;
  Millis restart_window = std::chrono::minutes{30};
  Millis backoff_first = std::chrono::seconds{1};
  Millis backoff_max = std::chrono::minutes{5};
  int jitter_percent = 25;
  Millis stable_after = std::chrono::minutes{30};  // this long up clears the count
  Millis broken_within =
      std::chrono::minutes{1};  // exit 126/127 this soon after the start is "broken", later it is a crash
  Millis excuse_window =
      std::chrono::seconds{10};  // deaths this close to a lost engine or a mass death spend no budget
  CleanExit on_clean_exit = CleanExit::when_work;
  int resume_tries = 2;  // resumed runs in a row that die within broken_within unready; then a fresh one

  // Stuck.
  Millis stuck_after = std::chrono::minutes{5};
  Millis nudge_wait = std::chrono::minutes{2};
  Millis blocked_wait = std::chrono::seconds{
      5};  // a nudge that was not typed is tried again, later each time, up to nudge_wait
  int loop_repeats = 5;
  Millis probe_timeout =
      std::chrono::seconds{45};  // longer than a probe takes, an engine that is slow included
  Millis typing_limit = std::chrono::seconds{30};  // longer than one delivery of a nudge may take
  Millis echo = std::chrono::seconds{2};           // a terminal repaints within this after the last key
  Millis idle_confirm =
      std::chrono::seconds{2};  // an inferred "idle" counts after a second sample or this long without "busy"
  OnPermission on_permission = OnPermission::ask;

  // Usage limits. limit_max bounds what a runner may claim (weekly limits exist).
  Millis limit_default = std::chrono::minutes{15};  // when the runner does not say until when
  Millis limit_max = std::chrono::hours{192};
  Millis limit_jitter = std::chrono::seconds{30};

  // How long each waiting phase waits before it looks. The caller's own request timeouts must be shorter, so
  // that an answer (Failure::unknown) normally arrives before the deadline.
  Millis create_timeout = std::chrono::minutes{2};
  Millis start_timeout = std::chrono::minutes{1};
  Millis ready_timeout =
      std::chrono::seconds{30};  // launching without a readable state; then up with condition unknown
  Millis stop_timeout = std::chrono::seconds{10};  // SIGTERM to SIGKILL, when nobody says otherwise
  Millis stop_timeout_max = std::chrono::minutes{10};
  Millis stop_grace = std::chrono::seconds{5};  // past the stop timeout before Kill, and between Kills
  Millis remove_timeout = std::chrono::seconds{30};
  Millis report_timeout = std::chrono::seconds{10};
  Millis look_again = std::chrono::seconds{2};  // between two Looks while checking
  Millis pane_retry = std::chrono::seconds{1};
  int patience = 5;  // tries of one effect in a row, then a person is told and they become rarer ...
  Millis retry_max = std::chrono::minutes{1};  // ... up to this
  Millis recheck =
      std::chrono::hours{1};  // wake of phases that wait for a person: changes nothing, proves they are alive
  Millis queue_recheck = std::chrono::minutes{1};
};

struct HostPolicy {
  int max_starting = 4;       // agents in creating, starting or launching at one time
  int mass_death_agents = 5;  // this many, and over half of those alive, ...
  Millis mass_death_window =
      std::chrono::seconds{10};  // ... within this: suspect the engine, tmux or the probe
  Millis mass_death_hold =
      std::chrono::seconds{30};  // no start for this long, unless the caller verified the engine earlier
};

}  // namespace agentmesh::watchdog
