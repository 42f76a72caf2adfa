#include "tmux/desktop.h"

#include "base/text.h"

#include <algorithm>

namespace agentmesh::tmux {
namespace {

enum class Dialect { none, osc9, osc777 };

// By the beginning of its type, else of its name. Others get OSC 9, which most know and the rest ignore.
struct Row {
  std::string_view begins;
  Dialect dialect;
};
constexpr Row kTypes[] = {{"foot", Dialect::osc777}, {"VTE", Dialect::osc777}};
constexpr Row kNames[] = {{"foot", Dialect::osc777},
                          {"rxvt", Dialect::osc777},
                          {"linux", Dialect::none},  // the console prints them
                          {"dumb", Dialect::none}};

Dialect dialect_of(const Terminal& terminal) {
  for (const Row& row : kTypes) {
    if (terminal.type.starts_with(row.begins)) return row.dialect;
  }
  for (const Row& row : kNames) {
    if (terminal.name.starts_with(row.begins)) return row.dialect;
  }
  return terminal.name.empty() ? Dialect::none : Dialect::osc9;
}

bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }

// One line without what separates the fields of a sequence, cut between characters.
std::string harmless(std::string_view text, bool utf8) {
  std::string out;
  std::size_t characters = 0;
  const std::string plain = plain_text(text);
  for (const char c : plain) {
    if (begins_character(c) && ++characters > kMaxDesktopText) break;
    const bool ascii = static_cast<unsigned char>(c) < 0x80;
    if (c == '\n' || c == '\t') {
      out += ' ';
    } else if (ascii || utf8) {
      out += c == ';' ? ',' : c;
    } else if (begins_character(c)) {
      out += '?';
    }
  }
  return out;
}

}  // namespace

std::string desktop_sequence(const Terminal& terminal, std::string_view title, std::string_view text) {
  const std::string head = harmless(title, terminal.utf8);
  const std::string body = harmless(text, terminal.utf8);
  switch (dialect_of(terminal)) {
    case Dialect::none:
      return "";
    case Dialect::osc9:  // it never begins with a digit: some terminals take "9;4;..." for a command
      return "\x1b]9;agentmesh: " + head + ": " + body + "\a";
    case Dialect::osc777:
      return "\x1b]777;notify;agentmesh: " + head + ";" + body + "\a";
  }
  return "";
}

}  // namespace agentmesh::tmux
