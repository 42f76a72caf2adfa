#include "daemon/same_prompt.h"

#include "agents/adapter.h"
#include "base/text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <set>
#include <string>

namespace agentmesh::daemon {
namespace {

constexpr std::array<std::string_view, 2> kCommands{"Bash", "Shell"};
constexpr std::array<std::string_view, 5> kOfFiles{"Edit", "Write", "Read", "MultiEdit", "NotebookEdit"};
constexpr std::array<std::string_view, 2> kEllipses{"…", "..."};
constexpr std::string_view kLineBreak = "⏎";  // as visible_line shows it
constexpr std::string_view kEscape = "␛";
constexpr std::string_view kCut = "… (+";
constexpr std::size_t kLeastOfCut = 8;  // bytes of a text that the screen shows cut

static_assert(kLineBreak.size() == 3 && kEscape.size() == 3);

bool is_frame(std::string_view text) {  // U+2500 to U+257F: three bytes too
  return text.size() >= 3 && text[0] == '\xe2' && (text[1] == '\x94' || text[1] == '\x95');
}

// A text without blanks, breaks and frames, and where they stood.
struct Bare {
  std::string text;
  std::set<std::size_t> gaps;   // before this byte
  std::set<std::size_t> lines;  // the same, and it was the end of a line
};

Bare bare(std::string_view from) {
  Bare to;
  while (!from.empty()) {
    const bool line = from.starts_with(kLineBreak);
    const bool sign = line || from.starts_with(kEscape) || is_frame(from);
    const bool gap = sign || std::isspace(static_cast<unsigned char>(from.front())) != 0;
    if (gap) to.gaps.insert(to.text.size());
    if (line) to.lines.insert(to.text.size());
    if (!gap) to.text += from.front();
    from.remove_prefix(sign ? kLineBreak.size() : 1);
  }
  return to;
}

bool starts_with_word(const Bare& text, std::string_view word) {
  return !word.empty() && text.text.starts_with(word) && text.gaps.contains(word.size());
}

Bare behind(const Bare& text, std::size_t bytes) {
  Bare rest{.text = text.text.substr(bytes)};
  for (const std::size_t at : text.gaps)
    if (at >= bytes) rest.gaps.insert(at - bytes);
  return rest;
}

// What is left of a cut text, without a quote that closes it.
std::optional<std::string_view> before_ellipsis(std::string_view text) {
  while (text.ends_with('"') || text.ends_with('\'')) text.remove_suffix(1);
  for (const std::string_view ellipsis : kEllipses) {
    if (text.ends_with(ellipsis)) return text.substr(0, text.size() - ellipsis.size());
  }
  return std::nullopt;
}

// What Gemini CLI writes behind a command: "[in FOLDER]", "(what it does)".
bool is_description(Bare rest) {
  constexpr std::string_view kFolder = "[currentworkingdirectory/";
  while (starts_with_word(rest, "[in") || rest.text.starts_with(kFolder) ||
         rest.text.starts_with("[background]")) {
    const std::size_t end = rest.text.find(']');
    if (end == std::string::npos) return before_ellipsis(rest.text).has_value();
    rest = behind(rest, end + 1);
  }
  const auto cut = before_ellipsis(rest.text);
  if (cut && !cut->empty() && kFolder.starts_with(*cut)) return true;
  const bool closed = cut || rest.text.ends_with(')') || rest.text.ends_with(")[background]");
  return rest.text.empty() || (rest.text.starts_with('(') && closed);
}

struct Told {
  Bare text;
  bool cut = false;
  bool described = false;  // its program writes a description behind it
};

bool same_command(const Told& told, const Bare& screen) {
  const std::string& all = told.text.text;
  if (all.empty() || screen.text.empty()) return false;
  if (screen.text == all || (told.cut && screen.text.starts_with(all))) return true;
  const auto cut = before_ellipsis(screen.text);
  if (cut && cut->size() >= kLeastOfCut && all.starts_with(*cut)) return true;
  if (all.starts_with(screen.text) && told.text.lines.contains(screen.text.size())) return true;
  return told.described && screen.text.starts_with(all) && screen.gaps.contains(all.size()) &&
         is_description(behind(screen, all.size()));
}

// "Writing to ", "Do you want to create ": nothing that could be a part of what is asked for.
bool words_alone(std::string_view text, std::string_view besides) {
  return std::ranges::all_of(text, [&](char c) {
    return std::isalpha(static_cast<unsigned char>(c)) != 0 || std::string_view(" \"'").contains(c) ||
           besides.contains(c);
  });
}

// Behind a path there is nothing, a blank, or a sign and a blank.
bool path_ends(std::string_view rest) {
  if (!rest.empty() && std::string_view("?:\"'").contains(rest.front())) rest.remove_prefix(1);
  return rest.empty() || rest.front() == ' ';
}

// In front of the end of a path: words, or what is shown of its beginning, "src/.../".
bool path_begins(std::string_view before, std::string_view path_before) {
  const std::size_t start = before.find_last_of(" \"'") + 1;
  const std::string_view shown = before.substr(0, before.empty() ? 0 : before.size() - 1);
  if (start == before.size()) return words_alone(before, "");
  if (start > shown.size()) return false;
  for (const std::string_view ellipsis : kEllipses) {
    if (!before.ends_with('/') || !shown.ends_with(ellipsis)) continue;
    const std::string_view head = shown.substr(start, shown.size() - ellipsis.size() - start);
    const std::size_t at = path_before.find(head);
    return at != std::string_view::npos && (at == 0 || path_before[at - 1] == '/' || head.starts_with('/')) &&
           (head.empty() || head.ends_with('/')) && words_alone(before.substr(0, start), "");
  }
  return false;
}

bool shows_path(std::string_view screen, std::string_view path) {
  for (std::size_t from = 0; from < path.size(); ++from) {
    if (from > 0 && path[from - 1] != '/') continue;
    const std::string_view end = path.substr(from);
    for (std::size_t at = 0; (at = screen.find(end, at)) != std::string_view::npos; ++at) {
      if (path_ends(screen.substr(at + end.size())) &&
          path_begins(screen.substr(0, at), path.substr(0, from)))
        return true;
    }
  }
  return false;
}

// A text may begin here: behind words, and not inside one.
bool text_begins(const Bare& screen, std::size_t at) {
  constexpr std::string_view kSigns = ":(";
  const bool opened = at > 0 && (kSigns.contains(screen.text[at - 1]) ||
                                 std::string_view("\"'").contains(screen.text[at - 1]));
  return (at == 0 || opened || screen.gaps.contains(at)) &&
         words_alone(std::string_view(screen.text).substr(0, at), kSigns);
}

bool shows_text(const Bare& screen, const Told& told) {
  const std::string& all = told.text.text;
  if (all.empty()) return false;
  for (std::size_t at = 0; (at = screen.text.find(all, at)) != std::string::npos; ++at) {
    const std::string_view rest = std::string_view(screen.text).substr(at + all.size());
    const bool ends = told.cut || rest.find_first_not_of("\"'?)") == std::string_view::npos;
    if (ends && text_begins(screen, at)) return true;
  }
  const std::string_view cut = before_ellipsis(screen.text).value_or("");
  for (std::size_t at = 0; at + kLeastOfCut <= cut.size(); ++at) {
    if (all.starts_with(cut.substr(at)) && text_begins(screen, at)) return true;
  }
  return false;
}

// A reading's detail is as long as a detail may be: the rest of it is not there.
std::string with_cut_shown(std::string_view on_screen) {
  const bool full = on_screen.size() + 4 > agents::kMaxSignalDetail;
  return std::string(on_screen) + (full ? std::string(kEllipses.front()) : "");
}

}  // namespace

bool same_prompt(std::string_view told, std::string_view on_screen) {
  const std::size_t colon = told.find(": ");
  const std::string_view word = told.substr(0, colon == std::string_view::npos ? 0 : colon);
  const std::string_view kind = word.contains(' ') ? std::string_view{} : word;
  const std::string_view subject = kind.empty() ? told : told.substr(colon + 2);
  const auto uncut = [](std::string_view text) { return text.substr(0, text.rfind(kCut)); };
  const std::string text = with_cut_shown(on_screen);
  const Bare screen = bare(text);
  const bool cut = is_cut(told);
  const Told all{.text = bare(uncut(told)), .cut = cut};
  if (kind.empty()) return same_command(all, screen);
  if (!screen.text.empty() && screen.text == all.text.text) return !cut;  // it was no kind
  const Told asked{.text = bare(uncut(subject)), .cut = cut, .described = kind == "Shell"};
  if (std::ranges::find(kCommands, kind) != kCommands.end()) {
    return same_command(asked, screen) ||
           (starts_with_word(screen, kind) && same_command(asked, behind(screen, kind.size())));
  }
  const bool file = std::ranges::find(kOfFiles, kind) != kOfFiles.end();
  return file ? !cut && shows_path(text, subject) : shows_text(screen, asked);
}

}  // namespace agentmesh::daemon
