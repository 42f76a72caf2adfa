// What a person sees who attaches: a second session shows a tmux client that is attached to the first.

#include "tests/tmux/server_fixture.h"

#include <array>
#include <pty.h>
#include <sys/wait.h>

namespace agentmesh::tmux {
namespace {

struct PersonReal : ServerFixture {
  Pane look_at(const std::string& session) {
    return open("viewer", {"env", "-u", "TMUX", "tmux", "-L", options.socket, "attach", "-t", "=" + session});
  }
  bool sees(PaneId viewer, const std::string& text) {
    return eventually(Millis{6000}, [&] { return screen(viewer).find(text) != std::string::npos; });
  }
};

TEST_F(PersonReal, TheStatusLineNamesTheAgentAndItsTitleAndItsEnd) {
  const Pane pane =
      open("neo", {"sh", "-c", "printf 'hello\\033]2;fixing the build\\007'; read line; exit 3"});
  ASSERT_TRUE(eventually(Millis{2000}, [&] { return has_title(pane.id, "fixing the build"); }));
  const Pane viewer = look_at("agentmesh-neo");
  EXPECT_TRUE(sees(viewer.id, "fixing the build  C-b d detaches")) << screen(viewer.id);
  EXPECT_NE(screen(viewer.id).find("\n neo  "), std::string::npos) << screen(viewer.id);
  EXPECT_TRUE(eventually(Millis{2000}, [&] { return pushed(pane.id)->attached == 1; }));
  wait(tmux->press(pane.id, {"Enter"}));
  EXPECT_TRUE(sees(viewer.id, "the program ended (status 3)")) << screen(viewer.id);
  if (std::getenv("SHOW") != nullptr) fmt::print("{}\n", screen(viewer.id));
}

TEST_F(PersonReal, ATitleStylesNothingAndIsNoFormat) {
  const std::string title = "a #[bg=red]b ##[bg=red]c ###[bg=red]d #(date) #{pid} 100% #";
  open("neo", {"sh", "-c", "printf '\\033]2;%s\\007' \"$0\"; sleep 1000", title});
  const Pane viewer = look_at("agentmesh-neo");
  std::string since_3_7 = title;  // it writes _( for #(
  since_3_7.replace(title.find("#("), 1, "_");
  const std::string after = "  C-b d detaches";
  EXPECT_TRUE(sees(viewer.id, title + after) || sees(viewer.id, since_3_7 + after)) << screen(viewer.id);
}

TEST_F(PersonReal, AnAnnouncementIsShown) {
  open("neo", {"sleep", "1000"});
  const Pane viewer = look_at("agentmesh-neo");
  ASSERT_TRUE(sees(viewer.id, " neo  "));
  ASSERT_TRUE(
      wait(tmux->announce("agentmesh-neo", "neo crashed 3 times; #{pid} %H 10% stays text")).has_value());
  EXPECT_TRUE(sees(viewer.id, "neo crashed 3 times; #{pid} %H 10% stays text")) << screen(viewer.id);
  EXPECT_TRUE(wait(tmux->announce("agentmesh-viewer", "nobody looks")).has_value());
  EXPECT_EQ(wait(tmux->announce("agentmesh-none", "x")).error().code, ErrorCode::not_found);
}

// A terminal of the test's own: what a person's terminal gets, byte for byte.
struct OwnTerminal {
  OwnTerminal(std::vector<std::string> argv, const char* term, const char* language) {
    pid = ::forkpty(&fd, nullptr, nullptr, nullptr);
    if (pid == 0) {
      ::setenv("TERM", term, 1);
      ::setenv("LC_ALL", language, 1);
      ::unsetenv("TMUX");
      std::vector<char*> words;
      for (std::string& word : argv) words.push_back(word.data());
      words.push_back(nullptr);
      ::execvp(words[0], words.data());
      ::_exit(127);
    }
    ::fcntl(fd, F_SETFL, O_NONBLOCK);
  }
  ~OwnTerminal() {
    ::close(fd);
    ::waitpid(pid, nullptr, 0);
  }
  bool got(std::string_view text) {
    std::array<char, 4096> chunk{};
    for (ssize_t size = 0; (size = ::read(fd, chunk.data(), chunk.size())) > 0;)
      seen.append(chunk.data(), static_cast<std::size_t>(size));
    return seen.contains(text);
  }

  int fd = -1;
  pid_t pid = 0;
  std::string seen;
};

TEST_F(PersonReal, ADesktopNotificationReachesEveryTerminalThatShowsIt) {
  open("neo", {"sleep", "1000"});
  open("trinity", {"sleep", "1000"});
  const std::vector<std::string> attach{"tmux", "-L", options.socket, "attach", "-t"};
  const auto to = [&](const char* session) {
    auto words = attach;
    words.emplace_back(session);
    return words;
  };
  OwnTerminal xterm(to("=agentmesh-neo"), "xterm-256color", "C.UTF-8");
  OwnTerminal rxvt(to("=agentmesh-trinity"), "rxvt-unicode-256color", "C");
  OwnTerminal console(to("=agentmesh-neo"), "linux", "C.UTF-8");
  for (OwnTerminal* terminal : {&xterm, &rxvt, &console})
    ASSERT_TRUE(eventually(Millis{5000}, [&] { return terminal->got("detaches"); })) << terminal->seen;
  ASSERT_TRUE(wait(tmux->notify_desktop("neo", "wants: r\u00e9m\x1b]52;c;x\x07 -rf;")).has_value());
  EXPECT_TRUE(eventually(Millis{2000}, [&] {
    return xterm.got("\x1b]9;agentmesh: neo: wants: r\u00e9m -rf,\a");
  })) << xterm.seen;
  EXPECT_TRUE(eventually(Millis{2000}, [&] {
    return rxvt.got("\x1b]777;notify;agentmesh: neo;wants: r?m -rf,\a");
  })) << rxvt.seen;
  ASSERT_TRUE(wait(tmux->announce("", "the engine is lost")).has_value());
  for (OwnTerminal* terminal : {&xterm, &rxvt, &console})
    EXPECT_TRUE(eventually(Millis{2000}, [&] { return terminal->got("the engine is lost"); }))
        << terminal->seen;
  EXPECT_FALSE(console.got("\x1b]9;")) << "the console would print it";
}

}  // namespace
}  // namespace agentmesh::tmux
