#pragma once
// Reads what a pane shows, by rules that are data (screens.toml). Pure: the same text gives the same reading.
// A screen can lie (an agent prints what it likes), so a reading only ever forbids typing, or tells a state
// that no better source tells. Patterns are RE2, so a hostile screen costs linear time.

#include "base/result.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::agents {

constexpr std::size_t kMaxScreenBytes = 256 * 1024;  // of a capture with its colours; the end counts
constexpr std::size_t kMaxScreenLines = 200;         // from the end

enum class ScreenMeaning {
  unknown,     // no rule knows it: nothing may be typed
  busy,        // it works; the composer may be there too
  idle,        // the composer is there and nothing else
  permission,  // ... and the rest take keys: nothing may be typed
  question,
  login,
  limit,
  dialog,
};

struct ScreenReading {
  ScreenMeaning meaning = ScreenMeaning::unknown;
  std::string detail;     // one line for people; may be empty
  bool composer = false;  // the box that takes a message is there
  std::string draft;      // what is half typed in it, trimmed

  bool operator==(const ScreenReading&) const = default;
};

std::string_view to_string(ScreenMeaning meaning);

class ScreenRules {
 public:
  // Rules of a document like screens.toml. Errors: invalid, with the line: unknown keys, a bad pattern, a
  // wrong type.
  static Result<ScreenRules> parse(std::string_view toml);
  // `coloured` is a capture with its SGR codes. An unknown version is given as "": rules of every version
  // count.
  ScreenReading read(std::string_view runner, std::string_view version, std::string_view coloured) const;

  ScreenRules();  // none: every screen is unknown
  ScreenRules(ScreenRules&&) noexcept;
  ScreenRules& operator=(ScreenRules&&) noexcept;
  ~ScreenRules();

 private:
  struct Rule;
  std::vector<Rule> rules_;
};

// Those of screens.toml, compiled in; made when first asked for.
const ScreenRules& screen_rules();
std::string_view built_in_screens();

// A capture as text: the whole of it, and with what is faint as blanks.
struct PlainScreen {
  std::string all;
  std::string bright;
};
PlainScreen plain_screen(std::string_view coloured);

// -1, 0, 1 as a is before, equal to, after b: numbers between dots are compared as numbers, what follows them
// not at all.
int compare_versions(std::string_view a, std::string_view b);

}  // namespace agentmesh::agents
