#pragma once
// One supervised agent as plain values, and what they mean. AgentRecord is the row that the journal saves,
// Live is what the signals say now and is not saved. step() (step.h) alone changes them; everybody else
// reads.
//
// WANTED AND ACTUAL
//
// `wanted` is what the operator asked for last; it is saved before anything is done about it. `phase` is how
// far the world has come, as far as we can prove. Every pair is listed; "never" pairs are left by the same
// step that would make them. N is `run`. A run is one container, named after agent and run, so that creating
// it twice is a conflict to adopt. One law stands above all: run N+1 is not created before run N is proved
// gone, by the answer to its removal or by a complete snapshot without it.
//
//              wanted running                                wanted stopped
//   absent     never (a start queues it)                     Stopped. Nothing exists. A container that a
//                                                            snapshot shows all the same is removed.
//   queued     Nothing exists. It waits for one of the       never (stop: absent at once)
//              host's start slots (event Admitted).
//   creating   Create{N} is in flight. Only its answer or    Stop was asked meanwhile. The answer is
//              the deadline ends this: a snapshot without    awaited all the same, because a container
//              N proves nothing yet.                         removed before it is made comes back. Then
//                                                            it is removed.
//   starting   Start{N} is in flight, likewise.              Likewise. Then it is stopped.
//   launching  N runs; its runner has not shown a state.     never (stop: stopping at once)
//              After ready_timeout: up, condition unknown.
//   up         N runs; condition says what it is doing.      never (stop: stopping at once)
//   stopping   N must end, because it was stuck or a         N must end. After the timeout it is killed,
//              restart was asked; `after` says what then.    again and again, until its end is seen.
//   ended      N's end was seen. Its crash report is being   The same; the stop came during the report.
//              written, while terminal and container
//              exist.
//   removing   Remove{N} is in flight; then `after`.         Likewise; then absent.
//   checking   An answer was an error or did not come, the   Likewise; what is found is stopped and
//              daemon was away, or a leftover was found:     removed. Nothing found: absent.
//              nothing is known. A Look was asked and
//              decides: adopt what runs, start what was
//              created in good faith, remove the rest,
//              `after` when nothing is left.
//   backoff    Nothing exists. Queued again when             never (stop: absent at once)
//              next_restart_at comes.
//   held       Nothing exists, and starting is pointless:    never (stop: absent at once)
//              usage limit until next_restart_at, or a
//              login that a person must do.
//   failed     Quarantine: restart limit or broken.          never (stop: absent at once)
//              Nothing exists. Only a person or a changed
//              spec (StartAsked, RestartAsked) leaves it.
//
// WHO PROVES WHAT
//
// An event of another run changes nothing. An error of create or start is not proof that nothing runs: it
// leads to checking. A snapshot (Observed) proves presence always, absence only when it is complete, and
// neither when `epoch` moved since it was begun: what it saw was another phase's world. A snapshot of engine
// and tmux alone repairs anything, so that the start of the daemon, the return of the engine and the periodic
// relist are the same code. While `blind` (daemon or engine was away) an end that nobody witnessed is not
// counted against the agent.
//
// LIFE
//
// An agent with work whose signals are silent for stuck_after is not stuck yet: a Probe asks for what no
// signal shows, CPU time of its tools and writes in its workspace, and life there starts the clock again. The
// same Probe comes before the restart that follows a nudge. One that is not answered proves nothing. The
// nudge is sent all the same, since it harms nobody; the restart waits for a second Probe, and when that
// stays unanswered too the agent is restarted once. It is not restarted blindly again before a Probe was
// answered or a person started it: it stays stuck, and a person is told. Repeating itself is life, and stuck
// all the same. What may be the echo of our own keystrokes is no life.
//
// Where the state itself is unknown the same silence leads to the same Probe, but nothing may be typed and
// nothing restarted: without life a person is told, once.
//
// WHAT DOES NOT COME ABOUT
//
// An effect that fails is tried again for ever, since the container it is about exists. After `patience`
// tries in a row a person is told, once, and the tries become rarer, up to retry_max. An engine that is known
// to be away counts no try.
//
// TIME
//
// Every phase that waits has a `deadline`; live.wake_at is the earliest thing to wake for (never empty but in
// absent). A Tick too early changes nothing. Times of the past that lie in the future, because the wall clock
// was set back, are pulled to now by every step, and no deadline is further away than its phase allows.

#include "base/clock.h"
#include "base/ids.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::watchdog {

enum class Wanted { stopped, running };

enum class Phase {
  absent,
  queued,
  creating,
  starting,
  launching,
  up,
  stopping,
  ended,
  removing,
  checking,
  backoff,
  held,
  failed,
};

// What a running agent does, as its signals tell. `unknown` is never typed into and never restarted.
enum class Condition {
  unknown,
  busy,
  idle,
  waiting_permission,
  waiting_question,
  rate_limited,
  auth_required,
  stuck,
};

// What a person sees (`list`, `status`): product.md, "State of an agent".
enum class Status {
  starting,
  busy,
  idle,
  waiting_permission,
  waiting_question,
  rate_limited,
  auth_required,
  stuck,
  restarting,
  stopping,
  stopped,
  failed,
  unknown,
};

// What follows when the run is gone and the agent is still wanted. In queued, backoff, held and failed it
// names the phase itself, so that a leftover found there is removed and the phase taken up again.
enum class After { start, backoff, hold, fail };

enum class Hold { none, usage_limit, login };

enum class Conversation { fresh, resume };

enum class StopManner { graceful, force };

// Why a run ended. Every end has one; `none` means that no run has ended yet.
enum class ExitReason {
  none,
  stopped_by_user,
  restarted_by_user,
  done,                 // exit code 0 and nothing left to do
  exited,               // exit code 0 in the middle of its work
  crashed,              // another exit code
  killed,               // a signal that was not ours
  out_of_memory,        // the main process
  out_of_memory_child,  // a child was killed for memory, then the main process ended
  command_not_found,
  not_executable,
  broken_spec,  // create or start refused for good: image missing, bad flag, denied mount
  create_failed,
  start_failed,
  usage_limit,
  login_needed,
  stuck_after_nudge,
  looping_after_nudge,
  limit_dialog,    // its usage limit is over, and its dialog takes every key still
  container_gone,  // removed by somebody else: no exit code
};

// An effect whose answer is awaited or went wrong (see event.h).
enum class Effect { none, create, start, stop, kill, remove, open_pane, close_pane, write_report };

// How an effect failed. unreachable, unknown: not the agent's fault, no budget spent.
enum class Failure {
  none,
  definite,     // refused: it did not happen (create and start are looked after all the same)
  unreachable,  // the engine or tmux is not there
  unknown,      // the deadline passed or the connection broke: it may have happened
  permanent,    // it would fail again: image missing, bad flag, denied
  gone,         // there is no such container
};

struct LastExit {
  std::optional<int> code;    // none when the container vanished
  std::optional<int> signal;  // 128+n as n
  bool oom_main = false;
  bool oom_child = false;
  ExitReason reason = ExitReason::none;
  std::string text;  // one line for people: "exit code 137 (SIGKILL)"
  std::optional<WallTime> at;

  bool operator==(const LastExit&) const = default;
};

struct AgentRecord {
  AgentName name;

  Wanted wanted = Wanted::stopped;
  Phase phase = Phase::absent;
  After after = After::start;
  WallTime phase_since{};
  std::optional<WallTime> deadline;  // of the phase
  std::uint64_t epoch = 0;           // moves with every change of phase or effect asked; dates a snapshot

  RunId run;
  bool run_begun = false;              // Create{run} was asked and run is not proved gone
  std::string spec_hash;               // what the next Create uses
  std::string container_id;            // of the run; empty when none
  bool resume = false;                 // it was ready once: the next start resumes the conversation
  bool resumed = false;                // the run was created to resume a conversation
  int resume_deaths = 0;               // such runs in a row that died early without having been ready
  std::optional<WallTime> started_at;  // of the run; none before it was started

  std::string reason;                    // status reason for people; may be empty
  Effect trouble = Effect::none;         // checking: the effect that went wrong ...
  Failure trouble_kind = Failure::none;  // ... and how
  LastExit exit;
  ExitReason ending = ExitReason::none;  // stopping: why we end the run
  Millis stop_timeout{};  // of the Stop in flight, or of the one that must follow the start ...
  StopManner stop_manner = StopManner::graceful;  // ... and force: Kill instead
  int tries = 0;                                  // in a row, of an effect that does not come about
  bool excused = false;     // the last end was not counted, was taken back, or must not be
  bool finished = false;    // wanted became stopped because it was done, not because a person said so
  bool restarting = false;  // a run of this wanted period ended before: "restarting", not "starting"

  std::vector<WallTime> restarts;  // counted ones within the window, oldest first
  int failures = 0;                // in a row, for the delay; ends of a short usage limit too
  std::optional<WallTime> last_restart_at;
  std::optional<WallTime> next_restart_at;  // backoff, held by a usage limit
  Hold hold = Hold::none;
  std::optional<WallTime> limited_until;  // the run's usage limit
  bool unproved = false;                  // it was restarted without an answered Probe: not again

  bool work_open = false;  // an assignment is open

  bool operator==(const AgentRecord&) const = default;
};

struct Live {
  Condition condition = Condition::unknown;
  std::string detail;  // the condition's reason for people; may be empty
  std::string prompt;  // waiting_permission: the id of the prompt that was told last; may be empty
  WallTime condition_since{};
  WallTime status_since{};
  std::optional<WallTime> wake_at;

  bool blind = false;  // daemon or engine was away; the next complete snapshot ends it
  bool engine_lost = false;
  bool pane_open = false;
  bool pane_asked = false;          // an OpenPane is in flight
  std::optional<WallTime> look_at;  // blind, or without a pane: when to Look again

  bool ready = false;      // this run has shown a state
  bool answers = false;    // it has shown that it runs, though no state
  bool turn_open = false;  // it was busy and its turn has not ended
  WallTime last_activity{};
  std::optional<WallTime> probe_asked;   // the Probe in flight
  std::optional<WallTime> idle_since;    // an inferred "idle" not yet confirmed
  std::optional<WallTime> stable_since;  // up without interruption
  std::optional<WallTime> stuck_since;
  std::optional<WallTime> nudged_at;
  std::optional<WallTime> waiting_since;  // stuck: a reaction is awaited for nudge_wait from here
  std::optional<WallTime> nudge_again;    // stuck: the last nudge was not typed and is tried then
  std::optional<WallTime> typing_until;   // what moves may be our own keystrokes
  std::optional<WallTime> repeated_at;    // stuck by repetition: the last repetition seen
  int repeats = 0;                        // since the nudge
  int unanswered = 0;                     // Probes since the nudge
  int nudges_blocked = 0;                 // the last ones were not typed, on purpose
  bool goes_on = false;                   // the next run is nudged once: it was ended in the middle of a turn
  Condition before_stuck = Condition::busy;
  bool oom_child = false;              // a process of this run was killed for memory
  bool unknown_told = false;           // unknown: a person was told that it works or hangs unseen
  std::optional<WallTime> not_before;  // no Remove that failed, or of a leftover, is asked again before

  bool operator==(const Live&) const = default;
};

struct Agent : AgentRecord {
  Live live;
};

// A new agent: absent, wanted stopped, no run.
Agent make_agent(AgentName name, WallTime now);
// A row that the journal saved; feed DaemonStarted to it before anything else.
Agent load_agent(AgentRecord record);

Status status_of(const Agent& agent);
// Why, for people: the condition's detail while it runs, else the record's reason. May be empty.
const std::string& status_reason(const Agent& agent);
// When step() wants a Tick at the latest. None: nothing to wait for.
std::optional<WallTime> next_wake(const Agent& agent);
// An open assignment or a turn that has not ended.
bool has_work(const Agent& agent);
// A container of `run` exists or may exist (false: proved that none does).
bool may_exist(const Agent& agent);

std::string_view to_string(Wanted value);
std::string_view to_string(Phase value);
std::string_view to_string(Condition value);
std::string_view to_string(Status value);
std::string_view to_string(After value);
std::string_view to_string(Hold value);
std::string_view to_string(Conversation value);
std::string_view to_string(StopManner value);
std::string_view to_string(ExitReason value);
std::string_view to_string(Effect value);
std::string_view to_string(Failure value);

// The value that to_string gives for it; none for other text.
template <class Enum>
std::optional<Enum> from_string(std::string_view text);
template <>
std::optional<Wanted> from_string(std::string_view text);
template <>
std::optional<Phase> from_string(std::string_view text);
template <>
std::optional<Condition> from_string(std::string_view text);
template <>
std::optional<Status> from_string(std::string_view text);
template <>
std::optional<After> from_string(std::string_view text);
template <>
std::optional<Hold> from_string(std::string_view text);
template <>
std::optional<Conversation> from_string(std::string_view text);
template <>
std::optional<StopManner> from_string(std::string_view text);
template <>
std::optional<ExitReason> from_string(std::string_view text);
template <>
std::optional<Effect> from_string(std::string_view text);
template <>
std::optional<Failure> from_string(std::string_view text);

}  // namespace agentmesh::watchdog
