#include "daemon/loop_watch.h"

#include <fmt/format.h>

namespace agentmesh::daemon {
namespace {

namespace wd = agentmesh::watchdog;

std::optional<wd::SignalKind> kind_of(wd::Repetition repetition) {
  switch (repetition) {
    case wd::Repetition::repeated:
      return wd::SignalKind::repeated;
    case wd::Repetition::varied:
      return wd::SignalKind::varied;
    case wd::Repetition::none:
      break;
  }
  return std::nullopt;
}

}  // namespace

void LoopWatch::judge(const agents::Signal& signal, wd::Signal& translated) {
  using Kind = agents::SignalKind;
  if (signal.kind == Kind::turn_ended || signal.kind == Kind::turn_failed || signal.kind == Kind::idle) {
    calls_.turn_over();
    screens_.turn_over();
  }
  if (signal.kind != Kind::tool_called) return;
  // A hook without a detail names tool and input by its id; it cannot tell the same call told twice.
  const bool by_id = signal.detail.empty();
  const auto kind = kind_of(by_id ? calls_.called(signal.id, "") : calls_.called(signal.detail, signal.id));
  if (!kind) return;
  translated.kind = *kind;
  translated.detail = fmt::format("the same tool call {} times in a row", limit_);
}

std::optional<wd::Signal> LoopWatch::screen(std::string_view text, RunId run, WallTime now) {
  const auto kind = kind_of(screens_.shown(text, now));
  if (!kind) return std::nullopt;
  return wd::Signal{.kind = *kind,
                    .run = run,
                    .at = now,
                    .detail = fmt::format("the same screens {} times in a row", limit_)};
}

}  // namespace agentmesh::daemon
