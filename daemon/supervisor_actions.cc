// What each action of the watchdog becomes: a conversation with engine or tmux whose answer is an event, or a
// line of the event log.
#include "base/log.h"
#include "base/spawn_logged.h"
#include "daemon/supervisor.h"

#include <fmt/format.h>

namespace agentmesh::daemon {
namespace {

namespace wd = agentmesh::watchdog;

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};

wd::EffectFailed failure(wd::Effect effect, RunId run, const Error& error) {
  return {effect, run, wd::failure_of(effect, error), describe(error)};
}

Task<> nothing_to_do() { co_return Result<void>{}; }

// A change of status is told with the status itself, a fresh conversation with the one it takes the place of.
std::string emitted(const Entry& entry, const wd::Emit& emit) {
  if (emit.name == wd::EventName::fresh && !entry.session_id.empty()) {
    return fmt::format("{}; the old one is kept: {}", emit.reason, entry.session_id);
  }
  if (emit.name != wd::EventName::status) return emit.reason;
  const std::string status(wd::to_string(wd::status_of(entry.agent)));
  return emit.reason.empty() ? status : status + ": " + emit.reason;
}

}  // namespace

void Supervisor::perform(Entry& entry, const wd::Action& action) {
  const AgentName name = entry.agent.name;
  std::visit(
      Overloaded{
          [](const wd::Persist&) {},
          [&](const wd::Create& create_action) { create(entry, create_action); },
          [&](const wd::Start& a) {
            engine_effect(entry, wd::Effect::start, a.run, world_.effects.start(a.container_id));
          },
          [&](const wd::Stop& a) {
            look_at_usage(entry, a.run);
            engine_effect(entry, wd::Effect::stop, a.run,
                          world_.effects.stop(run_of(entry, a.run), a.timeout));
          },
          [&](const wd::Kill& a) {
            engine_effect(entry, wd::Effect::kill, a.run, world_.effects.kill(run_of(entry, a.run)));
          },
          [&](const wd::Remove& a) {
            engine_effect(entry, wd::Effect::remove, a.run, world_.effects.remove(run_of(entry, a.run)));
          },
          [&](const wd::OpenPane& a) {
            const auto terminal = world_.effects.terminal_of(run_of(entry, a.run));
            engine_effect(entry, wd::Effect::open_pane, a.run,
                          served(entry.spec) ? nothing_to_do() : world_.panes.open(name, a.run, terminal));
          },
          [&](const wd::ClosePane&) {
            engine_effect(entry, wd::Effect::close_pane, entry.agent.run, world_.panes.close(name));
          },
          [&](const wd::WriteCrashReport& report) {
            spawn_logged(world_.io, "crash report", hooks_.report(entry, report),
                         [this, name, run = report.run, guard = std::weak_ptr<int>(alive_)](const Result<>&) {
                           if (!guard.expired())
                             feed(name, wd::EffectDone{wd::Effect::write_report, run, ""});
                         });
          },
          [&](const wd::Look&) { request_look(); },
          [&](const wd::Probe& a) { probe(entry, a); },
          [&](const wd::Nudge& nudge) { hooks_.nudge(entry, nudge); },
          [&](const wd::Answer& answer) { hooks_.answer(entry, answer); },
          [&](const wd::Notify& a) {
            world_.notifier.tell(std::string(wd::to_string(a.kind)), name.str(), a.text);
          },
          [&](const wd::Alert& alert) {
            statuses_.flush(name.str());
            world_.notifier.tell("failed", name.str(), alert.text);
          },
          [&](const wd::Emit& emit) {
            if (emit.name == wd::EventName::status) return statuses_.tell(name.str(), emitted(entry, emit));
            statuses_.flush(name.str());
            world_.events.add(name.str(), std::string(wd::to_string(emit.name)), emitted(entry, emit));
          },
      },
      action);
}

void Supervisor::create(Entry& entry, const wd::Create& action) {
  const AgentName name = entry.agent.name;
  // A conversation lives in the agent's home: without the home there is none to resume. The home of an agent
  // on the host is its user's: only a conversation that is known by its id is the agent's own.
  std::error_code ec;
  const bool resumable = entry.spec.place == agents::Place::host
                             ? !entry.session_id.empty() || entry.spec.runner == "custom"
                             : std::filesystem::exists(world_.home.agent_home(name), ec);
  const auto adapter = agents::find_adapter(entry.spec.runner);
  const bool named = entry.session_id.empty() || (adapter && (*adapter)->takes_session(entry.session_id));
  const auto conversation = resumable && named ? action.conversation : wd::Conversation::fresh;
  if (conversation == wd::Conversation::fresh) forget_session(entry);
  entry.conversation = conversation_of(conversation, entry.session_id);
  LaunchInput input{.name = name,
                    .run = action.run,
                    .conversation = conversation,
                    .session_id = entry.session_id,
                    .agent_id = entry.agent_id};
  spawn_logged(
      world_.io, "create", world_.effects.create(entry.spec, std::move(input)),
      [this, name, run = action.run, guard = std::weak_ptr<int>(alive_)](const Result<std::string>& id) {
        if (guard.expired()) return;
        if (id) {
          feed(name, wd::EffectDone{wd::Effect::create, run, *id});
        } else {
          log_error(id.error());
          feed(name, failure(wd::Effect::create, run, id.error()));
        }
      });
}

// A fresh conversation gets an id of its own; until it is known there is none to resume. The old one's files
// stay in the agent's home.
void Supervisor::forget_session(Entry& entry) {
  if (entry.session_id.empty()) return;
  entry.session_id.clear();
  if (auto saved = world_.journal.save_session(entry.agent.name, ""); !saved) log_error(saved.error());
}

void Supervisor::probe(Entry& entry, const wd::Probe& action) {
  spawn_logged(
      world_.io, "probe", world_.prober.probe(entry.agent.name, entry.spec.workdir, action),
      [this, name = entry.agent.name, guard = std::weak_ptr<int>(alive_)](const Result<wd::Probed>& answer) {
        if (answer && !guard.expired()) feed(name, *answer);
      });
}

void Supervisor::engine_effect(Entry& entry, wd::Effect effect, RunId run, Task<> task) {
  const AgentName name = entry.agent.name;
  spawn_logged(world_.io, std::string(wd::to_string(effect)), std::move(task),
               [this, name, effect, run, guard = std::weak_ptr<int>(alive_)](const Result<>& done) {
                 if (guard.expired()) return;
                 if (done) {
                   feed(name, wd::EffectDone{effect, run, ""});
                 } else {
                   log_error(done.error());
                   feed(name, failure(effect, run, done.error()));
                 }
               });
}

}  // namespace agentmesh::daemon
