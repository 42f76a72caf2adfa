#pragma once
// One state out of several sources that each know a part: the program's own status file, its hooks, the
// terminal's title and the screen. Pure. It answers what changed, as Signals, in the form a Link tells them.
//
//   status, title, screen   show how it IS: they hold until they change or fall silent
//   hook                    tells what HAPPENED: it holds until a source that shows how it is has changed
//                           after it, because an interruption fires no hook; a title that tells only then
//                           that the hook's turn has begun has not
//
// A dialog that a source shows stands, unless a better source says since then that there is none; one that
// only the screen showed stands while the screen shows nothing. Of the rest the status file decides where
// there is one, else the newest word of hook and title, else the screen. A limit or a missing login stands
// until it works again.

#include "agents/adapter.h"

#include <array>
#include <optional>
#include <string>
#include <vector>

namespace agentmesh::agents {

enum class Rung { status, hook, title, screen };  // best first
constexpr std::size_t kRungs = 4;

enum class Sense {
  silent,   // the source says nothing (any more)
  quiet,    // no turn runs: idle, or something is asked; another source must tell which
  unclear,  // a turn runs, or something is asked: nothing is known unless another source tells which
  busy,
  idle,
  permission,
  question,
  limited,
  login,
};

// What one source says now.
struct Sign {
  Sense sense = Sense::silent;
  std::string detail = {};  // one line for people
  std::string id = {};      // of the prompt
  std::optional<WallTime> until = {};

  bool operator==(const Sign&) const = default;
};

class SignFold {
 public:
  // What changed by it. The same word of a source that shows how it is, again, changes nothing; of a hook it
  // is news.
  std::vector<Signal> told(Rung rung, Sign sign);
  // The sources are gone, or a new life begins: nothing is known.
  std::vector<Signal> lost(std::string why);

  // Some source has spoken.
  bool known() const { return told_.has_value(); }
  // What was told last; silent before anything was.
  Sense sense() const { return told_ ? told_->sense : Sense::silent; }
  // The state is not certain without a look at the screen.
  bool wants_screen() const;

 private:
  struct Word {
    Sign sign;
    std::uint64_t order = 0;  // of its last change; 0: never
    Sense before = Sense::silent;
    std::uint64_t before_order = 0;
  };
  struct Decision {
    Sign sign;
    Rung rung = Rung::screen;
  };
  const Word& word(Rung rung) const { return words_[static_cast<std::size_t>(rung)]; }
  std::optional<Decision> decide() const;
  std::optional<Decision> dialog() const;
  bool comes_late(Rung rung, const Word& asking) const;
  bool has_begun(Rung title, const Word& found) const;
  bool is_drawn_anew() const;
  std::optional<Decision> hindrance() const;
  std::optional<Decision> work() const;
  std::vector<Signal> tell(std::optional<Decision> now);

  std::array<Word, kRungs> words_;
  std::uint64_t order_ = 0;
  std::optional<Sign> told_;
  Rung told_by_ = Rung::screen;
};

std::string_view to_string(Rung rung);  // "status", ...: the source of a Signal

}  // namespace agentmesh::agents
