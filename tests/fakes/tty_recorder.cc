// A terminal program for tests of typing: `tty_recorder FILE` puts its terminal into raw mode, asks for
// bracketed paste, and appends every byte it is sent to FILE. An Enter outside of a paste makes it "busy"
// (its title) for 50 ms. `tty_recorder FILE N` swallows the first N Enters.

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <string>
#include <string_view>
#include <termios.h>
#include <unistd.h>

namespace {

void print(std::string_view text) {
  if (::write(STDOUT_FILENO, text.data(), text.size()) < 0) _exit(1);
}

void set_title(std::string_view title) { print("\x1b]2;" + std::string(title) + "\a"); }

// Counts the Enters outside of pastes.
struct Composer {
  std::string tail;  // the last bytes, to see the marks of a paste
  bool in_paste = false;
  int enters = 0;

  void take(char c) {
    tail = (tail + c).substr(tail.size() >= 6 ? 1 : 0);
    if (tail.ends_with("\x1b[200~")) in_paste = true;
    if (tail.ends_with("\x1b[201~")) in_paste = false;
    if (c == '\r' && !in_paste) ++enters;
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const int file = ::open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600);
  const int swallow = argc > 2 ? ::atoi(argv[2]) : 0;
  termios mode{};
  if (file < 0 || ::tcgetattr(STDIN_FILENO, &mode) != 0) return 1;
  ::cfmakeraw(&mode);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &mode);
  print("\x1b[?2004hready\r\n");
  set_title("idle");
  Composer composer;
  int seen = swallow;
  char chunk[4096];
  for (;;) {
    const ssize_t size = ::read(STDIN_FILENO, chunk, sizeof chunk);
    if (size <= 0) return 0;
    if (::write(file, chunk, static_cast<size_t>(size)) != size) return 1;
    for (ssize_t i = 0; i < size; ++i) composer.take(chunk[i]);
    if (composer.enters <= seen) continue;
    seen = composer.enters;
    set_title("busy " + std::to_string(seen - swallow));
    print("submitted " + std::to_string(seen - swallow) + "\r\n");
  }
}
