#include "cli/pane_modes.h"

#include "base/text.h"
#include "tmux/paste_mark.h"

#include <algorithm>
#include <set>

namespace agentmesh::cli {
namespace {

// Cursor keys, wrap, mouse, focus, cursor, alternate screens, bracketed paste, colour scheme reports.
const std::set<int> kKept = {1,    7,    9,    25,   47,   1000, 1002, 1003,
                             1004, 1005, 1006, 1015, 1047, 1049, 2004, 2031};
const std::set<int> kOnAtFirst = {7, 25};
constexpr int kBracketedPaste = 2004;

bool is_final(char c) { return c >= 0x40 && c <= 0x7e; }

}  // namespace

bool PaneModes::feed(std::string_view bytes) {
  changed_ = false;
  for (const char c : bytes) {
    if (state_ != State::ground || c == '\x1b') take(c);
  }
  return changed_;
}

std::string PaneModes::marked(std::string_view bytes, pid_t relay) {
  std::string shown;
  bool changed = false;
  for (const char& c : bytes) {
    const bool plain = state_ == State::ground;
    changed = feed({&c, 1}) || changed;
    shown += c;
    if (plain || state_ != State::ground || brackets_pastes() == marked_) continue;  // no sequence's end
    marked_ = !marked_;
    shown += tmux::paste_mark(marked_ ? tmux::Brackets::on : tmux::Brackets::off, relay);
  }
  changed_ = changed;
  return shown;
}

bool PaneModes::brackets_pastes() const { return is_on(kBracketedPaste); }

bool PaneModes::is_on(int mode) const {
  const auto known = private_modes_.find(mode);
  return known == private_modes_.end() ? kOnAtFirst.contains(mode) : known->second;
}

void PaneModes::take(char c) {
  switch (state_) {
    case State::ground:
      state_ = State::escape;
      break;
    case State::escape:
      take_escape(c);
      break;
    case State::csi:
      take_csi(c);
      break;
    case State::osc:
    case State::string:
      take_string(c);
      break;
  }
}

void PaneModes::take_escape(char c) {
  sequence_.clear();
  string_escape_ = false;
  state_ = State::ground;
  if (c == '[') state_ = State::csi;
  if (c == ']') state_ = State::osc;
  if (c == 'P' || c == '_' || c == '^' || c == 'X') state_ = State::string;
  if (c == '\x1b') state_ = State::escape;
  if (c == 'c') reset();
  if (c == '=' || c == '>') {
    changed_ = changed_ || keypad_ != (c == '=');
    keypad_ = c == '=';
  }
}

void PaneModes::take_csi(char c) {
  if (c == '\x1b') {
    state_ = State::escape;
  } else if (is_final(c)) {
    state_ = State::ground;
    end_csi(c);
  } else if (sequence_.size() < kMaxSequence) {
    sequence_ += c;
  }
}

// Ends with BEL or ESC \. What is over the limit is not kept, but is still part of the string.
void PaneModes::take_string(char c) {
  const bool ended = c == '\a' || (string_escape_ && c == '\\');
  if (ended || c == '\x18' || c == '\x1a') {
    const bool title = ended && state_ == State::osc;
    state_ = State::ground;
    if (title) end_osc();
    return;
  }
  if (string_escape_) return take_escape(c);
  string_escape_ = c == '\x1b';
  if (!string_escape_ && sequence_.size() < kMaxSequence) sequence_ += c;
  if (state_ == State::osc && sequence_ == "7;") marked_ = false;  // a path, however it ends
}

void PaneModes::end_csi(char final) {
  if (sequence_.size() >= kMaxSequence) return;
  if (sequence_.starts_with('?') && (final == 'h' || final == 'l')) {
    set_private(std::string_view(sequence_).substr(1), final == 'h');
  }
  if (sequence_ == "!" && final == 'p') reset();
  const auto keep = [&](std::string& kept) {
    changed_ = changed_ || kept != sequence_;
    kept = sequence_;
  };
  if (final == 'q' && sequence_.ends_with(' ')) keep(cursor_style_);
  if (final == 'm' && sequence_.starts_with(">4")) keep(modify_keys_);
}

void PaneModes::set_private(std::string_view numbers, bool on) {
  for (const std::string_view number : split(numbers, ';')) {
    const int mode = whole_number<int>(number).value_or(0);
    if (!kKept.contains(mode)) continue;
    const auto [kept, added] = private_modes_.try_emplace(mode, kOnAtFirst.contains(mode));
    changed_ = changed_ || kept->second != on;
    kept->second = on;
  }
}

void PaneModes::end_osc() {
  if (!sequence_.starts_with("0;") && !sequence_.starts_with("2;")) return;
  title_ = plain_text(to_utf8(sequence_.substr(2)));
}

void PaneModes::reset() {
  changed_ = true;
  private_modes_.clear();
  cursor_style_.clear();
  modify_keys_.clear();
  keypad_ = false;
}

std::string PaneModes::replay() const {
  std::string text = replay_onto(PaneModes{});
  return text.size() <= kMaxModesText ? text : "";
}

std::string PaneModes::replay_onto(const PaneModes& before) const {
  std::string text;
  std::set<int> modes;
  for (const PaneModes* either : {this, &before}) {
    for (const auto& [mode, on] : either->private_modes_) modes.insert(mode);
  }
  // The alternate screens come first: they have modes of their own.
  for (const bool screens : {true, false}) {
    for (const int mode : modes) {
      const bool screen = mode == 47 || mode == 1047 || mode == 1049;
      if (screen != screens || is_on(mode) == before.is_on(mode)) continue;
      text += "\x1b[?" + std::to_string(mode) + (is_on(mode) ? "h" : "l");
    }
  }
  if (keypad_ != before.keypad_) text += keypad_ ? "\x1b=" : "\x1b>";
  if (cursor_style_ != before.cursor_style_)
    text += "\x1b[" + (cursor_style_.empty() ? "0 " : cursor_style_) + "q";
  if (modify_keys_ != before.modify_keys_)
    text += "\x1b[" + (modify_keys_.empty() ? ">4" : modify_keys_) + "m";
  if (title_ != before.title_) text += "\x1b]2;" + title_ + "\a";
  return text;
}

std::size_t overlap(std::string_view past, std::string_view seen) {
  std::size_t common = std::min(past.size(), seen.size());
  while (!past.ends_with(seen.substr(0, common))) --common;
  return common;
}

}  // namespace agentmesh::cli
