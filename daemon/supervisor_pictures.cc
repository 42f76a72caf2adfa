// When an agent's pane counts as its run's, and when its picture is read.
#include "base/spawn_logged.h"
#include "base/text.h"
#include "daemon/supervisor.h"

namespace agentmesh::daemon {
namespace {

namespace wd = agentmesh::watchdog;

constexpr Millis kEcho{2'000};           // a picture this soon after our keystrokes may be their echo
constexpr Millis kPaintedUntold{2'000};  // what is painted again in the second that was told goes untold
constexpr Millis kUnknownAgain{2'000};   // a picture that said nothing, or could not be had

}  // namespace

// A pane is the run's own from the moment on that it is open for it: until then it shows the run before.
void Supervisor::show_pane(Entry& entry) {
  const auto pane = world_.panes.pane_of(entry.agent.name);
  const bool live = entry.agent.phase == wd::Phase::launching || entry.agent.phase == wd::Phase::up;
  const bool shows = entry.link && live && entry.agent.live.pane_open && pane && !pane->dead;
  if (std::exchange(entry.pane_shown, shows) || !shows) return;
  entry.link->title(pane->title);
  look_again(entry, pane->id, world_.clock.now());
}

// By an event or by a look: whichever is first, the picture is read.
void Supervisor::pane_seen(const tmux::Pane& pane) {
  const auto before = world_.panes.seen(pane);
  Entry* entry = find(agent_of_session(pane.session));
  if (entry == nullptr) return;
  if (before && before->brackets_pastes != pane.brackets_pastes) {
    hooks_.changed(*entry);
    note_change();
  }
  if (!entry->pane_shown || pane.dead) return show_pane(*entry);
  entry->link->title(pane.title);
  if (!before || before->id != pane.id) return look_again(*entry, pane.id, world_.clock.now());
  if (before->painted_s != pane.painted_s) picture_changed(*entry, pane);
}

// The echo of what we typed ourselves is no sign of the program's life.
void Supervisor::picture_changed(Entry& entry, const tmux::Pane& pane) {
  const auto system = std::chrono::floor<Millis>(std::chrono::system_clock::now());
  const WallTime painted = on_our_clock(pane.painted_s, system, world_.clock.now());
  const WallTime echo_over = entry.typed_at + kEcho;
  if (painted > echo_over && entry.link->painted()) read_picture(entry, pane.id, Picture::painted);
  look_again(entry, pane.id, std::max(echo_over, painted + kPaintedUntold));
}

// When the pane has been still for a while: a dialog that opened in the echo's time, or right after the last
// look, paints nothing more.
void Supervisor::look_again(Entry& entry, const tmux::PaneId& pane, WallTime when, LookIf look_if) {
  const auto adapter = agents::find_adapter(entry.spec.runner);
  if (!adapter || !(*adapter)->facts().shows_composer) return;
  entry.look.expires_after(std::max(when - world_.clock.now(), WallTime::duration::zero()));
  entry.look.async_wait([this, name = entry.agent.name, run = entry.link_run, pane, look_if,
                         guard = std::weak_ptr<int>(alive_)](boost::system::error_code ec) {
    const Entry* known = ec || guard.expired() ? nullptr : find(name.str());
    if (known == nullptr || !known->pane_shown || known->link_run != run) return;
    if (look_if == LookIf::unknown && known->agent.live.condition != wd::Condition::unknown) return;
    read_picture(*known, pane, Picture::again);
  });
}

// A look that waits already is sooner, and reads whatever the state.
void Supervisor::look_while_unknown(Entry& entry, const tmux::PaneId& pane) {
  if (entry.look.expiry() > std::chrono::steady_clock::now()) return;
  look_again(entry, pane, world_.clock.now() + kUnknownAgain, LookIf::unknown);
}

void Supervisor::read_picture(const Entry& entry, const tmux::PaneId& pane, Picture picture) {
  spawn_logged(world_.io, "picture", world_.tmux.capture(pane, 0, tmux::Rendering::colour),
               [this, pane, picture, name = entry.agent.name, run = entry.link_run,
                guard = std::weak_ptr<int>(alive_)](const Result<std::string>& text) {
                 Entry* known = guard.expired() ? nullptr : find(name.str());
                 if (known == nullptr || !known->link || known->link_run != run) return;
                 if (text) known->link->screen(reading_of(*known, *text));
                 if (picture == Picture::again) return look_while_unknown(*known, pane);
                 if (!text) return;
                 const auto loop = known->loops.screen(plain_text(*text), run, world_.clock.now());
                 if (loop) feed(name, *loop);
               });
}

}  // namespace agentmesh::daemon
