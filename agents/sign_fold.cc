#include "agents/sign_fold.h"

#include <algorithm>
#include <utility>

namespace agentmesh::agents {

namespace {

constexpr std::array<std::string_view, kRungs> kNames = {"status", "hook", "title", "screen"};
constexpr std::array kAll = {Rung::status, Rung::hook, Rung::title, Rung::screen};

bool asks(Sense sense) { return sense == Sense::permission || sense == Sense::question; }
bool hinders(Sense sense) { return sense == Sense::limited || sense == Sense::login; }
// Says that nothing is asked.
bool works(Sense sense) { return sense == Sense::busy || sense == Sense::idle; }

SignalKind kind_of(Sense sense) {
  switch (sense) {
    case Sense::busy:
      return SignalKind::busy;
    case Sense::permission:
      return SignalKind::permission_asked;
    case Sense::question:
      return SignalKind::question_asked;
    case Sense::limited:
      return SignalKind::rate_limited;
    case Sense::login:
      return SignalKind::auth_required;
    case Sense::idle:
    case Sense::quiet:
      return SignalKind::idle;
    case Sense::unclear:
    case Sense::silent:
      break;
  }
  return SignalKind::unreadable;
}

SignalKind closing(Sense sense) {
  return sense == Sense::permission ? SignalKind::permission_closed : SignalKind::question_closed;
}

}  // namespace

std::string_view to_string(Rung rung) { return kNames[static_cast<std::size_t>(rung)]; }

std::vector<Signal> SignFold::told(Rung rung, Sign sign) {
  Word& word = words_[static_cast<std::size_t>(rung)];
  // A screen that shows the same was looked at anew.
  const bool seen_again = rung == Rung::screen && works(sign.sense);
  if (rung != Rung::hook && word.sign == sign && !seen_again) return {};
  const bool only_detail =
      rung != Rung::hook && !seen_again && word.sign.sense == sign.sense && !asks(sign.sense);
  if (!only_detail) {
    word.before = word.sign.sense;
    word.before_order = std::exchange(word.order, ++order_);
  }
  word.sign = std::move(sign);
  return tell(decide());
}

std::vector<Signal> SignFold::lost(std::string why) {
  words_ = {};
  if (!told_) return {};
  told_.reset();
  return {{SignalKind::unreadable, "status", std::move(why)}};
}

bool SignFold::wants_screen() const {
  const bool told_by_file = word(Rung::status).sign.sense != Sense::silent;
  const bool unclear = word(Rung::title).sign.sense == Sense::unclear;
  return !told_by_file && (unclear || !told_ || told_->sense != Sense::busy);
}

// A title that tells only now that the turn has begun in which a hook asks: hooks are faster.
bool SignFold::comes_late(Rung rung, const Word& asking) const {
  const Word& title = word(rung);
  const bool rested = title.before == Sense::quiet || title.before == Sense::idle;
  return rung == Rung::title && title.sign.sense == Sense::busy && rested &&
         title.before_order < asking.order;
}

// A hook told the turn's begin between the title's rest and what was found.
bool SignFold::has_begun(Rung title, const Word& found) const {
  const Word& hook = word(Rung::hook);
  return hook.sign.sense == Sense::busy && hook.order > word(title).before_order && hook.order < found.order;
}

std::optional<SignFold::Decision> SignFold::dialog() const {
  for (const Rung rung : kAll) {
    const Word& asking = word(rung);
    if (!asks(asking.sign.sense)) continue;
    const bool denied = std::ranges::any_of(kAll, [&](Rung other) {
      // A hook holds until any other source has changed (a screen may not show its prompt yet), the others
      // until a better one says otherwise.
      const Sense sense = word(other).sign.sense;
      const bool may = rung == Rung::hook ? other != rung && (other != Rung::screen || sense == Sense::idle)
                                          : other < rung;
      const bool later = word(other).order > asking.order && !comes_late(other, asking);
      return may && works(sense) && later;
    });
    if (!denied) return Decision{asking.sign, rung};
  }
  return std::nullopt;
}

// The dialog that only the screen showed: a picture that shows nothing answers it not.
bool SignFold::is_drawn_anew() const {
  const Word& screen = word(Rung::screen);
  if (!asks(sense()) || told_by_ != Rung::screen || screen.sign.sense != Sense::silent) return false;
  return std::ranges::none_of(kAll, [&](Rung other) {
    return works(word(other).sign.sense) && word(other).order > screen.before_order;
  });
}

std::optional<SignFold::Decision> SignFold::hindrance() const {
  for (const Rung rung : kAll) {
    const Word& found = word(rung);
    if (!hinders(found.sign.sense)) continue;
    const bool works_again = std::ranges::any_of(kAll, [&](Rung other) {
      return word(other).sign.sense == Sense::busy && word(other).order > found.order &&
             !(comes_late(other, found) && has_begun(other, found));
    });
    if (!works_again) return Decision{found.sign, rung};
  }
  return std::nullopt;
}

std::optional<SignFold::Decision> SignFold::work() const {
  if (works(word(Rung::status).sign.sense)) return Decision{word(Rung::status).sign, Rung::status};
  std::optional<Rung> newest_rung;
  for (const Rung rung : {Rung::hook, Rung::title}) {
    const Sense sense = word(rung).sign.sense;
    const bool speaks = works(sense) || sense == Sense::quiet || sense == Sense::unclear;
    if (speaks && (!newest_rung || word(rung).order > word(*newest_rung).order)) newest_rung = rung;
  }
  const Word& screen = word(Rung::screen);
  const Decision on_screen{screen.sign, Rung::screen};
  if (!newest_rung) return works(screen.sign.sense) ? std::optional(on_screen) : std::nullopt;
  const Word& newest = word(*newest_rung);
  if (newest.sign.sense == Sense::unclear && !works(screen.sign.sense)) return std::nullopt;
  if (newest.sign.sense == Sense::unclear) return on_screen;
  const bool still_busy = screen.sign.sense == Sense::busy && screen.order > newest.order;
  if (newest.sign.sense == Sense::quiet && still_busy) return on_screen;
  return Decision{newest.sign, *newest_rung};
}

std::optional<SignFold::Decision> SignFold::decide() const {
  if (auto found = dialog()) return found;
  if (auto found = hindrance()) return found;
  if (is_drawn_anew()) return Decision{*told_, Rung::screen};
  return work();
}

std::vector<Signal> SignFold::tell(std::optional<Decision> now) {
  std::vector<Signal> signals;
  const Sense before = sense();
  if (!now) {
    if (std::exchange(told_, std::nullopt))
      signals.push_back({SignalKind::unreadable, "status", "no source tells its state"});
    return signals;
  }
  if (now->sign.sense == Sense::quiet) now->sign.sense = Sense::idle;
  if (told_ == now->sign) return signals;
  const std::string source(to_string(now->rung));
  if (asks(before) && now->sign.sense != before) signals.push_back({closing(before), source});
  if (now->sign.sense != before || asks(before) || hinders(before)) {
    signals.push_back({kind_of(now->sign.sense), source, now->sign.detail, now->sign.id, now->sign.until});
  }
  told_by_ = now->rung;
  told_ = now->sign;
  return signals;
}

}  // namespace agentmesh::agents
