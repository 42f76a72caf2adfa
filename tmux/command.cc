#include "tmux/command.h"

#include <fmt/format.h>

namespace agentmesh::tmux {
namespace {

// 0xff is the lexer's end of file; ~ is expanded after an opening quote.
bool stands_for_itself(unsigned char byte) {
  const bool special = byte == '"' || byte == '\\' || byte == '$' || byte == '~';
  return byte >= 0x20 && byte != 0x7f && byte != 0xff && !special;
}

std::string shell_quote(std::string_view word) {
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

std::string quote(std::string_view word) {
  std::string quoted;
  quoted.reserve(word.size() + word.size() / 16 + 2);
  quoted += '"';
  for (const char c : word) {
    const auto byte = static_cast<unsigned char>(c);
    if (stands_for_itself(byte)) {
      quoted += c;
    } else if (byte != 0) {
      quoted += fmt::format("\\{:03o}", byte);
    }
  }
  quoted += '"';
  return quoted;
}

std::string command_line(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) {
    if (!line.empty()) line += ' ';
    line += quote(word);
  }
  return line;
}

std::string escape_format(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    escaped += c;
    if (c == '#') escaped += '#';
  }
  return escaped;
}

std::string escape_timed_format(std::string_view text) {
  std::string escaped;
  for (const char c : escape_format(text)) {
    escaped += c;
    if (c == '%') escaped += '%';
  }
  return escaped;
}

std::vector<std::string> pane_command(std::vector<std::string> argv) {
  if (argv.size() == 1) argv.front() = "exec " + shell_quote(argv.front());
  return argv;
}

}  // namespace agentmesh::tmux
