#include "cli/pane_terminal.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace agentmesh::cli {

Result<> PaneTerminal::make_raw() {
  if (::tcgetattr(STDIN_FILENO, &before_) != 0 || ::isatty(STDOUT_FILENO) == 0) {
    return fail(ErrorCode::invalid, "pane", "standard input and output must be a terminal",
                "this command is run by tmux; use: agentmesh attach NAME");
  }
  input_flags_ = ::fcntl(STDIN_FILENO, F_GETFL);
  output_flags_ = ::fcntl(STDOUT_FILENO, F_GETFL);
  termios mode = before_;
  ::cfmakeraw(&mode);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &mode);
  ::fcntl(STDIN_FILENO, F_SETFL, input_flags_ | O_NONBLOCK);
  ::fcntl(STDOUT_FILENO, F_SETFL, output_flags_ | O_NONBLOCK);
  raw_ = true;
  return {};
}

PaneTerminal::~PaneTerminal() {
  if (!raw_) return;
  ::fcntl(STDIN_FILENO, F_SETFL, input_flags_);
  ::fcntl(STDOUT_FILENO, F_SETFL, output_flags_);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
}

TerminalSize PaneTerminal::size() const {
  winsize window{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_row == 0 || window.ws_col == 0)
    return {24, 80};
  return {window.ws_row, window.ws_col};
}

TerminalState PaneTerminal::read(std::string& into, std::size_t limit) {
  char chunk[16 * 1024];
  const ssize_t got = ::read(STDIN_FILENO, chunk, limit < sizeof chunk ? limit : sizeof chunk);
  if (got > 0) into.append(chunk, static_cast<std::size_t>(got));
  const bool later = got < 0 && (errno == EAGAIN || errno == EINTR);
  return got > 0 || later ? TerminalState::open : TerminalState::gone;
}

TerminalState PaneTerminal::write(std::string& from) {
  const ssize_t put = ::write(STDOUT_FILENO, from.data(), from.size());
  if (put > 0) from.erase(0, static_cast<std::size_t>(put));
  return put >= 0 || errno == EAGAIN || errno == EINTR ? TerminalState::open : TerminalState::gone;
}

}  // namespace agentmesh::cli
