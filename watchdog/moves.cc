// The moves between phases.
#include "watchdog/change.h"
#include "watchdog/exit_class.h"
#include "watchdog/restart.h"

#include <algorithm>

namespace agentmesh::watchdog {
namespace {

void forget_signals(Change& c) {
  Live& live = c.agent.live;
  live = Live{.condition_since = c.now,
              .status_since = live.status_since,
              .blind = live.blind,
              .engine_lost = live.engine_lost,
              .look_at = live.blind ? live.look_at : std::nullopt,
              .last_activity = c.now,
              .goes_on = live.goes_on};
}

void quarantine(Change& c, std::string text) {
  c.agent.after = After::fail;
  c.agent.reason = std::move(text);
  c.agent.next_restart_at.reset();
  c.act(Alert{c.agent.reason});
}

std::string limit_text(const Policy& policy) {
  return "restart limit reached (" + std::to_string(policy.max_restarts) + " in " +
         format_duration(policy.restart_window) + ")";
}

void back_off(Change& c) {
  c.agent.after = After::backoff;
  c.agent.next_restart_at = c.now + restart_delay(c.agent, c.policy);
}

// Spends one restart of the budget, or fails when none is left. A fresh conversation that is still to be
// tried is started all the same, once: its run is not a resumed one.
void count_restart(Change& c) {
  prune_restarts(c.agent, c.policy, c.now);
  const bool fresh_untried = c.agent.resume_deaths > 0 && c.policy.max_restarts > 0;
  if (!budget_left(c.agent, c.policy)) {
    if (!fresh_untried) return quarantine(c, limit_text(c.policy) + ": " + c.agent.exit.text);
    c.agent.resume_deaths = c.policy.resume_tries;
  }
  c.agent.restarts.push_back(c.now);
  ++c.agent.failures;
  back_off(c);
}

void hold(Change& c, Hold kind) {
  c.agent.after = After::hold;
  c.agent.hold = kind;
  c.agent.next_restart_at.reset();
}

// A limit is what the program claims. One that claims a short limit at each of its ends waits ever longer.
void hold_for_limit(Change& c) {
  hold(c, Hold::usage_limit);
  const WallTime over = *c.agent.limited_until;
  if (over < c.now + c.policy.backoff_max) ++c.agent.failures;
  c.agent.next_restart_at =
      std::max(over + spread(c.agent, c.policy.limit_jitter), c.now + restart_delay(c.agent, c.policy));
}

void hold_for_login(Change& c) {
  hold(c, Hold::login);
  c.act(Notify{NotifyKind::login, c.agent.exit.text});
}

bool died_early(const Change& c) {
  return !c.agent.started_at || c.now < *c.agent.started_at + c.policy.broken_within;
}

ExitVerdict verdict_of(const Change& c, const End& end) {
  const Agent& agent = c.agent;
  return classify({
      .code = end.code,
      .oom_killed = end.oom_killed,
      .oom_child = agent.live.oom_child,
      .ending = agent.wanted == Wanted::stopped ? ExitReason::stopped_by_user : agent.ending,
      .limited = agent.limited_until && *agent.limited_until > c.now,
      .login_shown = agent.live.condition == Condition::auth_required,
      .work = has_work(agent),
      .witnessed = end.witness == Witness::seen,
      .early = died_early(c),
      .on_clean_exit = c.policy.on_clean_exit,
  });
}

void decide_asked(Change& c) {
  const ExitReason ending = c.agent.exit.reason;
  if (ending == ExitReason::stuck_after_nudge || ending == ExitReason::looping_after_nudge) {
    count_restart(c);
  } else {
    c.agent.after = After::start;
  }
}

void decide(Change& c, ExitClass kind, Witness witness) {
  switch (kind) {
    case ExitClass::asked:
      return decide_asked(c);
    case ExitClass::done:
      c.agent.wanted = Wanted::stopped;
      c.agent.finished = true;
      return;
    case ExitClass::transient:
      if (witness == Witness::seen) return count_restart(c);
      c.agent.excused = true;
      return back_off(c);
    case ExitClass::limited:
      return hold_for_limit(c);
    case ExitClass::login:
      return hold_for_login(c);
    case ExitClass::broken:
      return quarantine(c, c.agent.exit.text);
  }
}

// The conversation that it was to resume may be what kills it.
bool died_resuming(const Change& c, Witness witness) {
  return c.agent.resumed && !c.agent.live.ready && died_early(c) && witness == Witness::seen;
}

void choose_conversation(Change& c) {
  Agent& agent = c.agent;
  agent.resumed = agent.resume && agent.resume_deaths < c.policy.resume_tries;
  if (agent.resumed || !agent.resume) return;
  agent.resume = false;
  agent.resume_deaths = 0;
  c.act(Emit{EventName::fresh, "resuming the conversation failed " + std::to_string(c.policy.resume_tries) +
                                   " times in a row"});
}

bool deserves_report(const Agent& agent) {
  return agent.wanted == Wanted::running && agent.exit.reason != ExitReason::restarted_by_user;
}

// The common end of end_run and end_attempt: exit and `after` are decided.
void wind_up(Change& c) {
  c.agent.restarting = c.agent.wanted == Wanted::running;
  c.agent.trouble = Effect::none;
  c.agent.trouble_kind = Failure::none;
  c.agent.tries = 0;
  forget_signals(c);
  c.act(Emit{EventName::ended, c.agent.exit.text});
  if (!deserves_report(c.agent)) return begin_remove(c);
  enter(c, Phase::ended, c.policy.report_timeout);
  report(c);
}

void rest(Change& c) {
  Agent& agent = c.agent;
  agent.reason = agent.finished ? agent.exit.text : std::string(describe(ExitReason::stopped_by_user));
  agent.hold = Hold::none;
  agent.after = After::start;
  agent.ending = ExitReason::none;
  agent.next_restart_at.reset();
  agent.restarting = false;
  agent.live.goes_on = false;
  agent.tries = 0;
  enter(c, Phase::absent, Millis{});
  agent.deadline.reset();
  c.act(ClosePane{});
}

void enter_until(Change& c, Phase phase, WallTime until) {
  enter(c, phase, std::max(Millis{}, until - c.now));
}

bool excusable(const AgentRecord& agent, WallTime since) {
  if (agent.excused || !agent.exit.at || *agent.exit.at < since) return false;
  switch (agent.exit.reason) {
    case ExitReason::crashed:
    case ExitReason::killed:
    case ExitReason::exited:
    case ExitReason::container_gone:
      return agent.wanted == Wanted::running;
    case ExitReason::done:
      return agent.finished;
    default:
      return false;
  }
}

// A restart was counted for its newest end.
bool counted(const AgentRecord& agent) {
  return !agent.restarts.empty() && agent.restarts.back() == agent.exit.at;
}

void uncount(Change& c) {
  Agent& agent = c.agent;
  if (!counted(agent)) return;
  agent.resume_deaths = 0;
  agent.restarts.pop_back();
  agent.failures = std::max(0, agent.failures - 1);
}

}  // namespace

bool at_rest(Phase phase) {
  return phase == Phase::absent || phase == Phase::queued || phase == Phase::backoff ||
         phase == Phase::held || phase == Phase::failed;
}

bool is_live(Phase phase) { return phase == Phase::launching || phase == Phase::up; }

void enter(Change& c, Phase phase, Millis wait) {
  c.agent.phase = phase;
  c.agent.phase_since = c.now;
  c.agent.deadline = c.now + wait;
  ++c.agent.epoch;
}

void queue(Change& c) {
  c.agent.after = After::start;
  c.agent.hold = Hold::none;
  c.agent.ending = ExitReason::none;
  c.agent.next_restart_at.reset();
  enter(c, Phase::queued, c.policy.queue_recheck);
}

void begin_create(Change& c) {
  Agent& agent = c.agent;
  if (!agent.run_begun) agent.run = agent.run.next();
  agent.run_begun = true;
  agent.container_id.clear();
  agent.started_at.reset();
  agent.limited_until.reset();
  agent.ending = ExitReason::none;
  ask_end(c, c.policy.stop_timeout, StopManner::graceful);
  if (agent.restarting) agent.last_restart_at = c.now;
  choose_conversation(c);
  forget_signals(c);
  enter(c, Phase::creating, c.policy.create_timeout);
  c.act(Create{agent.run, agent.spec_hash, agent.resumed ? Conversation::resume : Conversation::fresh});
}

void begin_start(Change& c) {
  enter(c, Phase::starting, c.policy.start_timeout);
  c.act(Start{c.agent.run, c.agent.container_id});
}

void launch(Change& c) {
  c.agent.started_at = c.now;
  c.agent.trouble = Effect::none;
  c.agent.trouble_kind = Failure::none;
  c.agent.reason.clear();
  c.agent.tries = 0;
  forget_signals(c);
  enter(c, Phase::launching, c.policy.ready_timeout);
  open_pane(c);
}

void go_up(Change& c) {
  c.agent.restarting = false;
  c.agent.live.stable_since = c.now;
  c.agent.live.last_activity = c.now;
  enter(c, Phase::up, c.policy.recheck);
  c.act(Emit{EventName::ready, ""});
}

void adopt(Change& c) {
  launch(c);
  c.act(Emit{EventName::adopted, "running container found"});
}

void ask_end(Change& c, Millis timeout, StopManner manner) {
  c.agent.stop_timeout = std::clamp(timeout, Millis{}, c.policy.stop_timeout_max);
  c.agent.stop_manner = manner;
}

void end_as_asked(Change& c, ExitReason ending) {
  c.agent.ending = ending;
  c.agent.reason = describe(ending);
  if (c.agent.stop_manner == StopManner::force) return begin_kill(c);
  begin_stop(c, ending, c.agent.stop_timeout);
}

void begin_stop(Change& c, ExitReason ending, Millis timeout) {
  c.agent.ending = ending;
  ask_end(c, timeout, StopManner::graceful);
  c.agent.reason = describe(ending);
  enter(c, Phase::stopping, c.agent.stop_timeout + c.policy.stop_grace);
  c.act(Stop{c.agent.run, c.agent.stop_timeout});
}

void begin_kill(Change& c) {
  c.agent.stop_manner = StopManner::force;  // also after a restart of the daemon
  enter(c, Phase::stopping, retry_wait(c.agent, c.policy, c.policy.stop_grace));
  c.act(Kill{c.agent.run});
}

void end_run(Change& c, const End& end) {
  const ExitVerdict verdict = verdict_of(c, end);
  Agent& agent = c.agent;
  agent.exit = {.code = end.code,
                .signal = verdict.signal,
                .oom_main = verdict.oom_main,
                .oom_child = !verdict.oom_main && (end.oom_killed || agent.live.oom_child),
                .reason = verdict.reason,
                .text = verdict.text,
                .at = c.now};
  agent.reason = verdict.text;
  agent.excused = false;
  if (verdict.kind == ExitClass::transient && died_resuming(c, end.witness)) ++agent.resume_deaths;
  decide(c, verdict.kind, end.witness);
  wind_up(c);
}

void end_attempt(Change& c) {
  Agent& agent = c.agent;
  const bool permanent = agent.trouble_kind == Failure::permanent;
  const auto reason = agent.trouble == Effect::create ? ExitReason::create_failed : ExitReason::start_failed;
  agent.exit = {.reason = permanent ? ExitReason::broken_spec : reason, .at = c.now};
  agent.exit.text = std::string(describe(agent.exit.reason)) + ": " + agent.reason;
  agent.reason = agent.exit.text;
  if (permanent) {
    quarantine(c, agent.exit.text);
  } else {
    count_restart(c);
  }
  wind_up(c);
}

void report(Change& c) {
  const Agent& agent = c.agent;
  c.act(WriteCrashReport{.run = agent.run,
                         .exit = agent.exit,
                         .restart_number = counted(agent) ? static_cast<int>(agent.restarts.size()) : 0,
                         .restart_limit = c.policy.max_restarts,
                         .next_restart_at = agent.next_restart_at});
}

void begin_remove(Change& c) {
  enter(c, Phase::removing, c.policy.remove_timeout);
  c.act(Remove{c.agent.run});
}

void check(Change& c, Effect effect, Failure failure, std::string message) {
  c.agent.trouble = effect;
  c.agent.trouble_kind = failure;
  if (effect == Effect::create || effect == Effect::start) c.agent.reason = std::move(message);
  const bool counted = effect == Effect::remove && failure != Failure::none;
  enter(c, Phase::checking, counted ? try_again(c, c.policy.look_again, kNotRemoved) : c.policy.look_again);
  if (!counted || c.agent.tries <= 1) return c.act(Look{});
  c.agent.live.not_before = c.agent.deadline;  // which looks
}

void gone(Change& c) {
  c.agent.run_begun = false;
  c.agent.container_id.clear();
  settle(c);
}

void settle(Change& c) {
  c.agent.trouble = Effect::none;
  c.agent.trouble_kind = Failure::none;
  if (c.agent.wanted == Wanted::stopped) return rest(c);
  switch (c.agent.after) {
    case After::start:
      return queue(c);
    case After::backoff:
      return enter_until(c, Phase::backoff, c.agent.next_restart_at.value_or(c.now));
    case After::fail:
      return enter(c, Phase::failed, c.policy.recheck);
    case After::hold:
      break;
  }
  enter_until(c, Phase::held, c.agent.next_restart_at.value_or(c.now + c.policy.recheck));
}

Millis retry_wait(const Agent& agent, const Policy& policy, Millis first) {
  if (agent.live.engine_lost) return policy.retry_max;  // its return is looked at by itself
  Millis wait = first;
  for (int i = policy.patience; i < agent.tries && wait < policy.retry_max; ++i) wait *= 2;
  return std::min(wait, policy.retry_max);
}

Millis try_again(Change& c, Millis first, const std::string& what) {
  const bool told = !c.agent.live.engine_lost && ++c.agent.tries == c.policy.patience;
  if (told) c.act(Notify{NotifyKind::effect_failed, what});
  return retry_wait(c.agent, c.policy, first);
}

void open_pane(Change& c) {
  c.agent.live.pane_asked = true;
  c.act(OpenPane{c.agent.run});
}

void excuse(Change& c, WallTime since) {
  Agent& agent = c.agent;
  if (!excusable(agent, since)) return;
  if (agent.finished && c.policy.on_clean_exit == CleanExit::never_restart) return;
  uncount(c);
  agent.excused = true;
  c.act(Emit{EventName::excused, agent.exit.text});
  const bool pending = at_rest(agent.phase) || agent.phase == Phase::ended || agent.phase == Phase::removing;
  if (!pending) return;
  agent.finished = false;
  agent.wanted = Wanted::running;
  agent.restarting = true;
  if (agent.after != After::backoff) back_off(c);
  if (at_rest(agent.phase)) settle(c);
}

}  // namespace agentmesh::watchdog
