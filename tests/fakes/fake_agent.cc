// A coding agent's outside without its inside: it paints a prompt, takes messages typed or pasted into its
// terminal, records each one durably, tells its state by hooks and titles, and misbehaves when told to.
// Statically linked, so that it runs in a bare image; waits in poll(), so that a hundred of them cost
// nothing.
//
// A message may be a command: "CRASH [EXIT]", "KILL SIGNAL", "HANG", "BUSY MS", "ASK" (a permission dialog),
// "QUESTION", "LOOP", "EAT BYTES", "SAY TEXT", "FAIL" anywhere in it (the turn ends by an error). Any other
// is "worked on" for --busy milliseconds.

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <map>
#include <poll.h>
#include <signal.h>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t kHistory = 200;        // lines painted again after a resize
constexpr std::int64_t kLookAtHook = 1'000;  // ms; whether a daemon has bound it anew

constexpr char kHelp[] = R"(fake_agent [options]
  --record FILE          one JSON line for each message and each answer to a dialog ($HOME/fake-agent.jsonl)
  --continue             says how many messages the file holds
  --busy MS              how long a turn takes (50)
  --start-after MS       paints nothing before (0)
  --crash-after MS       then ends with --exit N (1) or by --signal N
  --hang                 takes no input, says nothing more
  --eat-memory BYTES     at the start; --eat-memory-child BYTES: in a child
  --fork-children N      children that only wait
  --swallow-enter N      ignores the first N Enter keys
  --permission-dialog    every message asks for permission first; Enter allows, Escape denies
  --loop                 prints the same screen again and again
  --fail-turns           every turn ends by an error of its provider
  --titles               tells its state in the terminal title
  --no-hooks             does not tell its state to $AGENTMESH_HOOK
  --no-bracketed-paste   does not ask the terminal to mark pastes
  --ignore-term          does not end on SIGTERM
)";

std::int64_t now_ms() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1'000'000;
}

std::string json_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      snprintf(escaped, sizeof escaped, "\\u%04x", c);
      out += escaped;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

struct Options {
  std::map<std::string, std::string> values;
  bool has(const std::string& name) const { return values.contains(name); }
  std::int64_t number(const std::string& name, std::int64_t fallback) const {
    const auto found = values.find(name);
    return found == values.end() ? fallback : atoll(found->second.c_str());
  }
};

Options read_options(int argc, char** argv) {
  constexpr std::string_view kFlags[] = {
      "--continue", "--hang",     "--permission-dialog",  "--loop",       "--fail-turns",
      "--titles",   "--no-hooks", "--no-bracketed-paste", "--ignore-term"};
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    bool flag = false;
    for (const auto known : kFlags) flag = flag || known == name;
    if (name == "--help" || !name.starts_with("--") || (!flag && i + 1 == argc)) {
      write_all(name == "--help" ? 1 : 2, kHelp);
      exit(name == "--help" ? 0 : 2);
    }
    options.values[name] = flag ? "" : argv[++i];
  }
  return options;
}

void eat(std::size_t bytes) {
  constexpr std::size_t kStep = 1 << 20;
  for (std::size_t eaten = 0; eaten < bytes; eaten += kStep) {
    void* memory = mmap(nullptr, kStep, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    memset(memory, 1, kStep);
  }
}

pid_t make_child() {
  const pid_t child = fork();
  if (child == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
  return child;
}

volatile sig_atomic_t resized = 0;
volatile sig_atomic_t ended = 0;

// ---- the terminal ---------------------------------------------------------------------------------------

class Terminal {
 public:
  explicit Terminal(const Options& options) {
    tty_ = isatty(0) != 0 && tcgetattr(0, &before_) == 0;
    if (tty_) {
      termios raw = before_;
      cfmakeraw(&raw);
      tcsetattr(0, TCSANOW, &raw);
    }
    paste_ = !options.has("--no-bracketed-paste");
    if (paste_) write_all(1, "\x1b[?2004h");
  }
  ~Terminal() { restore(); }

  void restore() {
    if (paste_) write_all(1, "\x1b[?2004l");
    if (tty_) tcsetattr(0, TCSANOW, &before_);
    tty_ = paste_ = false;
  }

  void say(const std::string& line) {
    history_.push_back(line);
    if (history_.size() > kHistory) history_.pop_front();
    write_all(1, "\r\x1b[K" + line + "\r\n");
    prompt();
  }
  void set_prompt(std::string text) {
    if (text == prompt_) return;
    prompt_ = std::move(text);
    prompt();
  }
  void repaint() {
    std::string all = "\x1b[2J\x1b[H";
    for (const std::string& line : history_) all += line + "\r\n";
    write_all(1, all);
    prompt();
  }
  void title(std::string_view text) { write_all(1, "\x1b]0;" + std::string(text) + "\x07"); }

 private:
  void prompt() { write_all(1, "\r\x1b[K" + prompt_); }

  termios before_{};
  bool tty_ = false;
  bool paste_ = false;
  std::deque<std::string> history_;
  std::string prompt_;
};

// Keys out of bytes: text, pastes and the few keys that matter.
struct Key {
  enum Kind { text, paste, enter, escape, erase, kill_line, interrupt, end } kind;
  std::string bytes;
};

class Keys {
 public:
  std::vector<Key> feed(std::string_view bytes) {
    buffer_ += bytes;
    std::vector<Key> keys;
    while (!buffer_.empty() && take(keys)) {
    }
    return keys;
  }
  // Nothing followed an Escape: it was the key.
  std::vector<Key> quiet() {
    if (pasting_ || buffer_ != "\x1b") return {};
    buffer_.clear();
    return {{Key::escape, ""}};
  }
  bool waits() const { return !pasting_ && buffer_ == "\x1b"; }

 private:
  static constexpr std::string_view kPasteBegins = "\x1b[200~";
  static constexpr std::string_view kPasteEnds = "\x1b[201~";

  bool take(std::vector<Key>& keys) {
    if (pasting_) return take_paste(keys);
    if (buffer_.starts_with(kPasteBegins)) {
      buffer_.erase(0, kPasteBegins.size());
      pasting_ = true;
      return true;
    }
    if (buffer_[0] == '\x1b') return take_sequence(keys);
    const char c = buffer_[0];
    buffer_.erase(0, 1);
    switch (c) {
      case '\r':
        keys.push_back({Key::enter, ""});
        break;
      case 0x7f:
      case '\b':
        keys.push_back({Key::erase, ""});
        break;
      case 0x15:
        keys.push_back({Key::kill_line, ""});
        break;
      case 0x03:
        keys.push_back({Key::interrupt, ""});
        break;
      case 0x04:
        keys.push_back({Key::end, ""});
        break;
      default:
        if (keys.empty() || keys.back().kind != Key::text) keys.push_back({Key::text, ""});
        keys.back().bytes += c;
    }
    return true;
  }
  bool take_paste(std::vector<Key>& keys) {
    const std::size_t end = buffer_.find(kPasteEnds);
    if (end == std::string::npos) return false;
    std::string text = buffer_.substr(0, end);
    for (char& c : text) c = c == '\r' ? '\n' : c;
    keys.push_back({Key::paste, std::move(text)});
    buffer_.erase(0, end + kPasteEnds.size());
    pasting_ = false;
    return true;
  }
  // Arrow keys and the like are dropped; an unfinished one waits.
  bool take_sequence(std::vector<Key>& keys) {
    if (buffer_.size() == 1) return false;
    if (buffer_[1] != '[' && buffer_[1] != 'O') {
      buffer_.erase(0, 1);
      keys.push_back({Key::escape, ""});
      return true;
    }
    for (std::size_t i = 2; i < buffer_.size(); ++i) {
      if (buffer_[i] < 0x40 || buffer_[i] > 0x7e) continue;
      if (kPasteBegins.starts_with(buffer_.substr(0, i + 1)) && i + 1 < kPasteBegins.size()) continue;
      buffer_.erase(0, i + 1);
      return true;
    }
    return false;
  }

  std::string buffer_;
  bool pasting_ = false;
};

// ---- the agent ------------------------------------------------------------------------------------------

class Agent {
 public:
  explicit Agent(Options options) : options_(std::move(options)), terminal_(options_) {
    const char* home = getenv("HOME");
    const std::string fallback = std::string(home != nullptr ? home : ".") + "/fake-agent.jsonl";
    record_ = options_.has("--record") ? options_.values["--record"] : fallback;
    swallow_ = options_.number("--swallow-enter", 0);
    if (options_.has("--crash-after")) crash_at_ = now_ms() + options_.number("--crash-after", 0);
  }

  int run() {
    wait_until(now_ms() + options_.number("--start-after", 0));
    misbehave_at_start();
    terminal_.say("fake-agent is up, pid " + std::to_string(getpid()));
    if (options_.has("--continue") || getenv("AGENTMESH_RESUME") != nullptr) {
      terminal_.say("fake-agent continues after " + std::to_string(recorded()) + " messages");
    }
    hook("session_learned", "fake-session");
    bound_at_ = hook_bound_at();
    become("idle");
    while (!ended) step();
    return 143;
  }

 private:
  void misbehave_at_start() {
    for (std::int64_t i = 0; i < options_.number("--fork-children", 0); ++i) {
      if (make_child() == 0) {
        while (true) pause();
      }
    }
    if (options_.has("--eat-memory")) eat(static_cast<std::size_t>(options_.number("--eat-memory", 0)));
    if (options_.has("--eat-memory-child")) eat_in_child(options_.number("--eat-memory-child", 0));
    if (options_.has("--hang")) hang();
    if (options_.has("--loop")) looping_ = true;
  }

  void eat_in_child(std::int64_t bytes) {
    if (make_child() != 0) return;
    eat(static_cast<std::size_t>(bytes));
    while (true) pause();
  }

  [[noreturn]] void hang() {
    terminal_.say("fake-agent hangs");
    while (true) {
      pause();
      if (ended) exit(143);
    }
  }

  [[noreturn]] void crash(std::int64_t exit_code, std::int64_t signal_number) {
    terminal_.say("fake-agent crashes: its last words");
    terminal_.restore();
    if (signal_number != 0) {
      signal(static_cast<int>(signal_number), SIG_DFL);
      raise(static_cast<int>(signal_number));
    }
    _exit(static_cast<int>(exit_code));
  }

  void wait_until(std::int64_t when) {
    while (!ended && now_ms() < when) poll(nullptr, 0, static_cast<int>(when - now_ms()));
  }

  int timeout() const {
    std::int64_t wait = -1;
    const auto sooner = [&](std::int64_t at) {
      const std::int64_t left = at > now_ms() ? at - now_ms() : 0;
      wait = wait < 0 || left < wait ? left : wait;
    };
    if (crash_at_ != 0) sooner(crash_at_);
    if (turn_ends_ != 0) sooner(turn_ends_);
    if (keys_.waits()) sooner(now_ms() + 50);
    if (bound_at_ != 0) sooner(now_ms() + kLookAtHook);
    if (looping_) sooner(now_ms() + 100);
    return static_cast<int>(wait);
  }

  void step() {
    pollfd input{0, POLLIN, 0};
    const int ready = poll(&input, 1, timeout());
    if (resized) {
      resized = 0;
      terminal_.repaint();
    }
    if (crash_at_ != 0 && now_ms() >= crash_at_)
      crash(options_.number("--exit", 1), options_.number("--signal", 0));
    if (turn_ends_ != 0 && now_ms() >= turn_ends_) end_turn();
    if (looping_) terminal_.say("$ make test  (round after round, all the same)");
    tell_again();
    if (ready > 0) return read_input();
    if (ready == 0) act(keys_.quiet());
  }

  void read_input() {
    char bytes[4096];
    const ssize_t count = ::read(0, bytes, sizeof bytes);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (count <= 0) exit(0);
    act(keys_.feed(std::string_view(bytes, static_cast<std::size_t>(count))));
  }

  void act(const std::vector<Key>& keys) {
    for (const Key& key : keys) {
      if (!dialog_.empty()) {
        act_in_dialog(key);
        continue;
      }
      switch (key.kind) {
        case Key::text:
        case Key::paste:
          draft_ += key.bytes;
          break;
        case Key::erase:
          if (!draft_.empty()) draft_.pop_back();
          break;
        case Key::kill_line:
          draft_.clear();
          break;
        case Key::interrupt:
          draft_.clear();
          if (turn_ends_ != 0) interrupt();
          break;
        case Key::escape:
          if (turn_ends_ != 0) interrupt();
          break;
        case Key::end:
          terminal_.restore();
          exit(0);
        case Key::enter:
          enter();
          break;
      }
    }
    paint();
  }

  // As the real ones do it: Enter takes the button that is lit, which is "allow"; letters are ignored.
  void act_in_dialog(const Key& key) {
    if (key.kind != Key::enter && key.kind != Key::escape) return;
    const bool allowed = key.kind == Key::enter;
    record(allowed ? "allowed" : "denied", dialog_);
    terminal_.say(std::string("fake-agent: ") + (allowed ? "allowed: " : "denied: ") + dialog_);
    hook(asks_question_ ? "question_closed" : "permission_closed", "7");
    dialog_.clear();
    begin_turn(options_.number("--busy", 50));
  }

  void enter() {
    if (swallow_ > 0) {
      --swallow_;
      return;
    }
    if (draft_.empty()) return;
    const std::string message = std::exchange(draft_, "");
    paint();
    record("message", message);
    terminal_.say("you: " + message.substr(0, message.find('\n')));
    obey(message);
  }

  void obey(const std::string& message) {
    const std::size_t space = message.find(' ');
    const std::string word = message.substr(0, space);
    const std::string rest = space == std::string::npos ? "" : message.substr(space + 1);
    if (word == "CRASH") crash(rest.empty() ? 1 : atoll(rest.c_str()), 0);
    if (word == "KILL") crash(1, atoll(rest.c_str()));
    if (word == "HANG") {
      become("busy");
      hang();
    }
    if (word == "LOOP") looping_ = true;
    fails_ = options_.has("--fail-turns") || message.find("FAIL") != std::string::npos;
    if (word == "EAT") eat(static_cast<std::size_t>(atoll(rest.c_str())));
    if (word == "SAY") terminal_.say(rest);
    if (word == "ASK" || options_.has("--permission-dialog")) return open_dialog(message, "permission");
    if (word == "QUESTION") return open_dialog(message, "question");
    begin_turn(word == "BUSY" ? atoll(rest.c_str()) : options_.number("--busy", 50));
  }

  void open_dialog(const std::string& about, const std::string& kind) {
    asks_question_ = kind == "question";
    dialog_ = about;
    terminal_.say(asks_question_ ? "? " + about : "! Permission required: " + about);
    tell_dialog();
    if (options_.has("--titles")) terminal_.title("fake-agent [agentmesh:" + kind + "]");
    paint();
  }

  void tell_dialog() {
    hook(asks_question_ ? "question_asked" : "permission_asked", "7", dialog_.substr(0, 200));
  }

  // A daemon that has bound the socket anew knows nothing of what an earlier one was told.
  void tell_again() {
    const std::int64_t bound_at = hook_bound_at();
    if (bound_at == 0 || bound_at == std::exchange(bound_at_, bound_at)) return;
    dialog_.empty() ? hook(state_, "") : tell_dialog();
  }

  // When it was bound, in ns; 0 when it is not there.
  std::int64_t hook_bound_at() const {
    const char* path = getenv("AGENTMESH_HOOK");
    struct stat socket{};
    if (path == nullptr || options_.has("--no-hooks") || stat(path, &socket) != 0) return 0;
    return socket.st_ctim.tv_sec * 1'000'000'000 + socket.st_ctim.tv_nsec;
  }

  void begin_turn(std::int64_t ms) {
    turn_ends_ = now_ms() + ms;
    become("busy");
  }
  void end_turn() {
    turn_ends_ = 0;
    ++turns_;
    terminal_.say("fake-agent: done, turn " + std::to_string(turns_));
    if (fails_) {
      hook("turn_failed", "", "API Error: 500");
    } else {
      hook("turn_ended", "");
    }
    become("idle");
  }
  void interrupt() {
    turn_ends_ = 0;
    looping_ = false;
    terminal_.say("fake-agent: interrupted");
    become("idle");
  }

  void become(const std::string& state) {
    state_ = state;
    hook(state, "");
    if (options_.has("--titles")) terminal_.title("fake-agent [agentmesh:" + state + "]");
    paint();
  }

  void paint() {
    if (!dialog_.empty()) return terminal_.set_prompt("[ Allow ]  Reject   (enter confirm, esc reject)");
    terminal_.set_prompt((state_ == "busy" ? "* working, esc to interrupt > " : "> ") +
                         draft_.substr(0, draft_.find('\n')));
  }

  void record(const std::string& kind, const std::string& text) {
    const int fd = open(record_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) return terminal_.say("fake-agent: cannot record: " + std::string(strerror(errno)));
    write_all(fd, "{\"kind\":" + json_text(kind) + ",\"text\":" + json_text(text) + "}\n");
    fsync(fd);
    close(fd);
  }

  std::int64_t recorded() const {
    FILE* file = fopen(record_.c_str(), "re");
    if (file == nullptr) return 0;
    std::int64_t lines = 0;
    for (int c = getc(file); c != EOF; c = getc(file)) lines += c == '\n';
    fclose(file);
    return lines;
  }

  void hook(const std::string& event, const std::string& id, const std::string& detail = "") {
    const char* path = getenv("AGENTMESH_HOOK");
    if (path == nullptr || options_.has("--no-hooks")) return;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address.sun_path) return;
    strcpy(address.sun_path, path);
    const std::string text = "{\"event\":" + json_text(event) + ",\"id\":" + json_text(id) +
                             ",\"detail\":" + json_text(detail) + "}";
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sendto(fd, text.data(), text.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), sizeof address);
    close(fd);
  }

  Options options_;
  Terminal terminal_;
  Keys keys_;
  std::string record_;
  std::string draft_;
  std::string dialog_;
  std::string state_;
  std::int64_t swallow_ = 0;
  std::int64_t crash_at_ = 0;
  std::int64_t turn_ends_ = 0;
  std::int64_t turns_ = 0;
  std::int64_t bound_at_ = 0;  // the hook's socket, when it was last told to
  bool looping_ = false;
  bool fails_ = false;
  bool asks_question_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  struct sigaction action{};
  action.sa_handler = [](int) { resized = 1; };
  sigaction(SIGWINCH, &action, nullptr);
  action.sa_handler = [](int) { ended = 1; };
  if (options.has("--ignore-term")) action.sa_handler = SIG_IGN;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGHUP, &action, nullptr);
  return Agent(options).run();
}
