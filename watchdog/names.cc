// Every enum's names, as tables: what is saved in the journal and shown in JSON.
#include "watchdog/action.h"
#include "watchdog/agent.h"
#include "watchdog/event.h"

#include <array>
#include <span>
#include <utility>

namespace agentmesh::watchdog {
namespace {

template <class Enum>
using Row = std::pair<Enum, std::string_view>;

template <class Enum, std::size_t N>
constexpr std::string_view name_of(const std::array<Row<Enum>, N>& rows, Enum value) {
  for (const auto& row : rows) {
    if (row.first == value) return row.second;
  }
  return "unknown";
}

template <class Enum, std::size_t N>
constexpr std::optional<Enum> value_of(const std::array<Row<Enum>, N>& rows, std::string_view text) {
  for (const auto& row : rows) {
    if (row.second == text) return row.first;
  }
  return std::nullopt;
}

constexpr auto kWanted =
    std::to_array<Row<Wanted>>({{Wanted::stopped, "stopped"}, {Wanted::running, "running"}});

constexpr auto kPhase = std::to_array<Row<Phase>>({
    {Phase::absent, "absent"},
    {Phase::queued, "queued"},
    {Phase::creating, "creating"},
    {Phase::starting, "starting"},
    {Phase::launching, "launching"},
    {Phase::up, "up"},
    {Phase::stopping, "stopping"},
    {Phase::ended, "ended"},
    {Phase::removing, "removing"},
    {Phase::checking, "checking"},
    {Phase::backoff, "backoff"},
    {Phase::held, "held"},
    {Phase::failed, "failed"},
});

constexpr auto kCondition = std::to_array<Row<Condition>>({
    {Condition::unknown, "unknown"},
    {Condition::busy, "busy"},
    {Condition::idle, "idle"},
    {Condition::waiting_permission, "waiting_permission"},
    {Condition::waiting_question, "waiting_question"},
    {Condition::rate_limited, "rate_limited"},
    {Condition::auth_required, "auth_required"},
    {Condition::stuck, "stuck"},
});

constexpr auto kStatus = std::to_array<Row<Status>>({
    {Status::starting, "starting"},
    {Status::busy, "busy"},
    {Status::idle, "idle"},
    {Status::waiting_permission, "waiting_permission"},
    {Status::waiting_question, "waiting_question"},
    {Status::rate_limited, "rate_limited"},
    {Status::auth_required, "auth_required"},
    {Status::stuck, "stuck"},
    {Status::restarting, "restarting"},
    {Status::stopping, "stopping"},
    {Status::stopped, "stopped"},
    {Status::failed, "failed"},
    {Status::unknown, "unknown"},
});

constexpr auto kAfter = std::to_array<Row<After>>({
    {After::start, "start"},
    {After::backoff, "backoff"},
    {After::hold, "hold"},
    {After::fail, "fail"},
});

constexpr auto kHold = std::to_array<Row<Hold>>({
    {Hold::none, "none"},
    {Hold::usage_limit, "usage_limit"},
    {Hold::login, "login"},
});

constexpr auto kConversation = std::to_array<Row<Conversation>>({
    {Conversation::fresh, "fresh"},
    {Conversation::resume, "resume"},
});

constexpr auto kStopManner =
    std::to_array<Row<StopManner>>({{StopManner::graceful, "graceful"}, {StopManner::force, "force"}});

constexpr auto kExitReason = std::to_array<Row<ExitReason>>({
    {ExitReason::none, "none"},
    {ExitReason::stopped_by_user, "stopped_by_user"},
    {ExitReason::restarted_by_user, "restarted_by_user"},
    {ExitReason::done, "done"},
    {ExitReason::exited, "exited"},
    {ExitReason::crashed, "crashed"},
    {ExitReason::killed, "killed"},
    {ExitReason::out_of_memory, "out_of_memory"},
    {ExitReason::out_of_memory_child, "out_of_memory_child"},
    {ExitReason::command_not_found, "command_not_found"},
    {ExitReason::not_executable, "not_executable"},
    {ExitReason::broken_spec, "broken_spec"},
    {ExitReason::create_failed, "create_failed"},
    {ExitReason::start_failed, "start_failed"},
    {ExitReason::usage_limit, "usage_limit"},
    {ExitReason::login_needed, "login_needed"},
    {ExitReason::stuck_after_nudge, "stuck_after_nudge"},
    {ExitReason::looping_after_nudge, "looping_after_nudge"},
    {ExitReason::limit_dialog, "limit_dialog"},
    {ExitReason::container_gone, "container_gone"},
});

constexpr auto kEffect = std::to_array<Row<Effect>>({
    {Effect::none, "none"},
    {Effect::create, "create"},
    {Effect::start, "start"},
    {Effect::stop, "stop"},
    {Effect::kill, "kill"},
    {Effect::remove, "remove"},
    {Effect::open_pane, "open_pane"},
    {Effect::close_pane, "close_pane"},
    {Effect::write_report, "write_report"},
});

constexpr auto kFailure = std::to_array<Row<Failure>>({
    {Failure::none, "none"},
    {Failure::definite, "definite"},
    {Failure::unreachable, "unreachable"},
    {Failure::unknown, "unknown"},
    {Failure::permanent, "permanent"},
    {Failure::gone, "gone"},
});

constexpr auto kSignalKind = std::to_array<Row<SignalKind>>({
    {SignalKind::activity, "activity"},
    {SignalKind::busy, "busy"},
    {SignalKind::idle, "idle"},
    {SignalKind::turn_ended, "turn_ended"},
    {SignalKind::permission_asked, "permission_asked"},
    {SignalKind::permission_closed, "permission_closed"},
    {SignalKind::question_asked, "question_asked"},
    {SignalKind::question_closed, "question_closed"},
    {SignalKind::rate_limited, "rate_limited"},
    {SignalKind::auth_required, "auth_required"},
    {SignalKind::repeated, "repeated"},
    {SignalKind::varied, "varied"},
    {SignalKind::unreadable, "unreadable"},
    {SignalKind::answers, "answers"},
});

constexpr auto kContainerState = std::to_array<Row<ContainerState>>({
    {ContainerState::created, "created"},
    {ContainerState::running, "running"},
    {ContainerState::exited, "exited"},
});

constexpr auto kDelivery = std::to_array<Row<Delivery>>({
    {Delivery::delivered, "delivered"},
    {Delivery::blocked, "blocked"},
    {Delivery::at_limit, "at_limit"},
    {Delivery::failed, "failed"},
});

constexpr auto kProgress = std::to_array<Row<Progress>>({
    {Progress::none, "none"},
    {Progress::seen, "seen"},
    {Progress::unknown, "unknown"},
});

constexpr auto kNudgeKind = std::to_array<Row<NudgeKind>>({
    {NudgeKind::keep_going, "keep_going"},
    {NudgeKind::limit_over, "limit_over"},
});

constexpr auto kVerdict = std::to_array<Row<Verdict>>({{Verdict::deny, "deny"}, {Verdict::allow, "allow"}});

constexpr auto kNotifyKind = std::to_array<Row<NotifyKind>>({
    {NotifyKind::permission, "permission"},
    {NotifyKind::question, "question"},
    {NotifyKind::login, "login"},
    {NotifyKind::usage_limit, "usage_limit"},
    {NotifyKind::stuck, "stuck"},
    {NotifyKind::nudge_blocked, "nudge_blocked"},
    {NotifyKind::effect_failed, "effect_failed"},
});

constexpr auto kEventName = std::to_array<Row<EventName>>({
    {EventName::status, "status"},
    {EventName::adopted, "adopted"},
    {EventName::ready, "ready"},
    {EventName::ended, "ended"},
    {EventName::oom, "oom"},
    {EventName::nudged, "nudged"},
    {EventName::excused, "excused"},
    {EventName::reaped, "reaped"},
    {EventName::probed, "probed"},
    {EventName::fresh, "fresh"},
});

constexpr std::array<std::string_view, std::variant_size_v<Action>> kActions{
    "persist",   "create",     "start",
    "stop",      "kill",       "remove",
    "open_pane", "close_pane", "write_crash_report",
    "look",      "probe",      "nudge",
    "answer",    "notify",     "alert",
    "emit"};

}  // namespace

std::string_view to_string(Wanted value) { return name_of(kWanted, value); }
std::string_view to_string(Phase value) { return name_of(kPhase, value); }
std::string_view to_string(Condition value) { return name_of(kCondition, value); }
std::string_view to_string(Status value) { return name_of(kStatus, value); }
std::string_view to_string(After value) { return name_of(kAfter, value); }
std::string_view to_string(Hold value) { return name_of(kHold, value); }
std::string_view to_string(Conversation value) { return name_of(kConversation, value); }
std::string_view to_string(StopManner value) { return name_of(kStopManner, value); }
std::string_view to_string(ExitReason value) { return name_of(kExitReason, value); }
std::string_view to_string(Effect value) { return name_of(kEffect, value); }
std::string_view to_string(Failure value) { return name_of(kFailure, value); }
std::string_view to_string(SignalKind value) { return name_of(kSignalKind, value); }
std::string_view to_string(ContainerState value) { return name_of(kContainerState, value); }
std::string_view to_string(Delivery value) { return name_of(kDelivery, value); }
std::string_view to_string(Progress value) { return name_of(kProgress, value); }
std::string_view to_string(NudgeKind value) { return name_of(kNudgeKind, value); }
std::string_view to_string(Verdict value) { return name_of(kVerdict, value); }
std::string_view to_string(NotifyKind value) { return name_of(kNotifyKind, value); }
std::string_view to_string(EventName value) { return name_of(kEventName, value); }
std::string_view action_name(const Action& action) { return kActions.at(action.index()); }

template <>
std::optional<Wanted> from_string(std::string_view text) {
  return value_of(kWanted, text);
}
template <>
std::optional<Phase> from_string(std::string_view text) {
  return value_of(kPhase, text);
}
template <>
std::optional<Condition> from_string(std::string_view text) {
  return value_of(kCondition, text);
}
template <>
std::optional<Status> from_string(std::string_view text) {
  return value_of(kStatus, text);
}
template <>
std::optional<After> from_string(std::string_view text) {
  return value_of(kAfter, text);
}
template <>
std::optional<Hold> from_string(std::string_view text) {
  return value_of(kHold, text);
}
template <>
std::optional<Conversation> from_string(std::string_view text) {
  return value_of(kConversation, text);
}
template <>
std::optional<StopManner> from_string(std::string_view text) {
  return value_of(kStopManner, text);
}
template <>
std::optional<ExitReason> from_string(std::string_view text) {
  return value_of(kExitReason, text);
}
template <>
std::optional<Effect> from_string(std::string_view text) {
  return value_of(kEffect, text);
}
template <>
std::optional<Failure> from_string(std::string_view text) {
  return value_of(kFailure, text);
}
template <>
std::optional<SignalKind> from_string(std::string_view text) {
  return value_of(kSignalKind, text);
}
template <>
std::optional<ContainerState> from_string(std::string_view text) {
  return value_of(kContainerState, text);
}
template <>
std::optional<Delivery> from_string(std::string_view text) {
  return value_of(kDelivery, text);
}

}  // namespace agentmesh::watchdog
