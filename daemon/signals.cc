#include "daemon/signals.h"

#include <array>

namespace agentmesh::daemon {
namespace {

namespace wd = agentmesh::watchdog;
using Kind = agents::SignalKind;

struct Row {
  Kind from;
  std::optional<wd::SignalKind> to;
  bool decides;
};

constexpr std::array kRows{
    Row{Kind::activity, wd::SignalKind::activity, false},
    Row{Kind::busy, wd::SignalKind::busy, true},
    Row{Kind::idle, wd::SignalKind::idle, true},
    Row{Kind::permission_asked, wd::SignalKind::permission_asked, true},
    Row{Kind::permission_closed, wd::SignalKind::permission_closed, true},
    Row{Kind::question_asked, wd::SignalKind::question_asked, true},
    Row{Kind::question_closed, wd::SignalKind::question_closed, true},
    Row{Kind::turn_ended, wd::SignalKind::turn_ended, true},
    Row{Kind::turn_failed, wd::SignalKind::turn_ended,
        true},  // what was its work is tried again by the mailbox
    Row{Kind::rate_limited, wd::SignalKind::rate_limited, true},
    Row{Kind::auth_required, wd::SignalKind::auth_required, true},
    Row{Kind::session_learned, std::nullopt, false},
    Row{Kind::tool_called, wd::SignalKind::activity, false},
    Row{Kind::unreadable, wd::SignalKind::unreadable, true},
};

const Row* row_of(Kind kind) {
  for (const Row& row : kRows) {
    if (row.from == kind) return &row;
  }
  return nullptr;
}

bool native(const agents::Signal& signal) {
  return signal.source == "http" || signal.source == "event" || signal.source == "status" ||
         signal.source == "hook";
}

}  // namespace

std::optional<wd::Signal> watchdog_signal(const agents::Signal& signal, RunId run, WallTime at,
                                          bool tells_state) {
  std::optional<wd::SignalKind> kind;
  if (signal.kind == Kind::ready) {
    if (tells_state) return std::nullopt;
    kind = wd::SignalKind::answers;
  } else if (const Row* row = row_of(signal.kind)) {
    kind = row->to;
  }
  if (!kind) return std::nullopt;
  return wd::Signal{.kind = *kind,
                    .run = run,
                    .at = at,
                    .source = native(signal) ? wd::Source::native : wd::Source::inferred,
                    .until = signal.until,
                    .detail = signal.detail,
                    .id = signal.id};
}

bool proves_change(const agents::Signal& signal) {
  const bool of_state = signal.kind == Kind::busy || signal.kind == Kind::turn_ended ||
                        signal.kind == Kind::turn_failed || signal.kind == Kind::permission_asked ||
                        signal.kind == Kind::question_asked;
  return of_state && signal.source != "output";
}

bool decides_state(const agents::Signal& signal) {
  const Row* row = row_of(signal.kind);
  return signal.kind == Kind::ready || (row != nullptr && row->decides);
}

}  // namespace agentmesh::daemon
