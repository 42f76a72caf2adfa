#pragma once
// The terminal of this process in raw mode, without blocking, and as it was when this object goes.

#include "base/result.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <termios.h>

namespace agentmesh::cli {

struct TerminalSize {
  int rows = 0;
  int columns = 0;
  bool operator==(const TerminalSize&) const = default;
};

enum class TerminalState { open, gone };

class PaneTerminal {
 public:
  // Errors: invalid when standard input or output is no terminal. To be called once.
  Result<> make_raw();
  PaneTerminal() = default;
  ~PaneTerminal();
  PaneTerminal(const PaneTerminal&) = delete;
  PaneTerminal& operator=(const PaneTerminal&) = delete;

  TerminalSize size() const;
  // Appends what was typed, at most `limit` bytes; none when there is nothing now.
  TerminalState read(std::string& into, std::size_t limit);
  // Takes off the front of `from` what the terminal took now.
  TerminalState write(std::string& from);

 private:
  termios before_{};
  int input_flags_ = 0;
  int output_flags_ = 0;
  bool raw_ = false;
};

}  // namespace agentmesh::cli
