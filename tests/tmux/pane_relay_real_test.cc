// The pane relay between a real tmux and a real container (Docker on its usual socket, a Debian image).
// Skipped where there is no engine.

#include "tests/tmux/server_fixture.h"

namespace agentmesh::tmux {
namespace {

constexpr const char* kEngine = "/var/run/docker.sock";
constexpr const char* kImage = "debian:bookworm-slim";

std::string shell(const std::string& command) {
  std::string text;
  FILE* pipe = ::popen(command.c_str(), "r");
  char chunk[4096];
  while (const std::size_t size = std::fread(chunk, 1, sizeof chunk, pipe)) text.append(chunk, size);
  ::pclose(pipe);
  return text;
}

struct PaneRelayReal : ServerFixture {
  std::string container = "test-pane-" + std::to_string(::getpid()) + "-" + std::to_string(count());

  static std::string engine(const std::string& method, const std::string& path, const std::string& body) {
    return shell(fmt::format(
        "curl -s --unix-socket {} -X {} -H 'Content-Type: application/json' -d '{}' 'http://engine/v1.41{}'",
        kEngine, method, body, path));
  }
  void SetUp() override {
    ServerFixture::SetUp();
    if (engine("GET", "/_ping", "") != "OK") GTEST_SKIP() << "no engine";
    const std::string created = create(R"(["bash","--norc"])");
    if (created.find("\"Id\"") == std::string::npos) GTEST_SKIP() << created;
    start();
  }
  std::string create(const std::string& command) const {
    return engine(
        "POST", "/containers/create?name=" + container,
        fmt::format(
            R"({{"Image":"{}","Cmd":{},"Tty":true,"OpenStdin":true,)"
            R"("Env":["PS1=agent> ","TERM=tmux-256color"],"HostConfig":{{"NetworkMode":"none","Init":true}}}})",
            kImage, command));
  }
  void start() const { engine("POST", "/containers/" + container + "/start", ""); }
  void TearDown() override {
    engine("DELETE", "/containers/" + container + "?force=1", "");
    ServerFixture::TearDown();
  }
  Pane attach() { return open("a", {fake_program("pane_relay"), kEngine, container, folder.string()}); }
  void type(PaneId pane, const std::string& line) {
    wait(tmux->paste(pane, line, PasteMarks::if_asked_for));
    wait(tmux->press(pane, {"Enter"}));
  }
  bool shows(PaneId pane, const std::string& text) {
    return eventually(Millis{5000}, [&] { return shows_now(pane, text); });
  }
  bool shows_now(PaneId pane, const std::string& text) {
    return screen(pane).find(text) != std::string::npos;
  }
};

TEST_F(PaneRelayReal, APersonTypesSeesAndResizes) {
  const Pane pane = attach();
  ASSERT_TRUE(shows(pane.id, "agent>")) << screen(pane.id);
  const auto sees_size = [&](const std::string& size) {
    return eventually(Millis{5000}, [&] {
      type(pane.id, "stty size");
      return shows_now(pane.id, size);
    });
  };
  EXPECT_TRUE(sees_size("30 100")) << screen(pane.id);
  shell(fmt::format("tmux -L {} resize-window -t {} -x 90 -y 20", options.socket, pane.id.str()));
  EXPECT_TRUE(sees_size("20 90")) << screen(pane.id);
}

TEST_F(PaneRelayReal, NoKeyIsHeldBack) {
  const Pane pane = attach();
  ASSERT_TRUE(shows(pane.id, "agent>"));
  type(pane.id, "echo first");
  ASSERT_TRUE(shows(pane.id, "\nfirst"));
  wait(tmux->press(pane.id, {"C-p"}));
  EXPECT_TRUE(eventually(Millis{2000}, [&] { return screen(pane.id).ends_with("agent> echo first"); }))
      << screen(pane.id);
}

TEST_F(PaneRelayReal, ThePaneEndsWithTheExitCodeOfTheContainer) {
  const Pane pane = attach();
  ASSERT_TRUE(shows(pane.id, "agent>"));
  type(pane.id, "echo last words; exit 7");
  ASSERT_TRUE(eventually(Millis{5000}, [&] { return pushed(pane.id) && pushed(pane.id)->dead; }));
  EXPECT_EQ(pushed(pane.id)->exit_status, 7);
  EXPECT_NE(screen(pane.id).find("\nlast words"), std::string::npos) << screen(pane.id);
}

TEST_F(PaneRelayReal, AKilledServerLeavesTheAgentAloneAndANewPaneHasItsModes) {
  const Pane before = attach();
  ASSERT_TRUE(shows(before.id, "agent>"));
  type(before.id, R"(printf '\033]2;my work\007\033[?1049h\033[?2004h'; x=kept)");
  ASSERT_TRUE(eventually(Millis{3000}, [&] { return has_title(before.id, "my work"); }));
  ::kill(wait(tmux->ensure()).value().pid, SIGKILL);
  ASSERT_TRUE(eventually(Millis{3000}, [&] { return has_event<ServerBack>(); }));
  const Pane after = attach();
  EXPECT_TRUE(eventually(Millis{3000}, [&] { return has_title(after.id, "my work"); }));
  EXPECT_TRUE(eventually(Millis{3000}, [&] { return pushed(after.id)->brackets_pastes; }));
  ASSERT_TRUE(shows(after.id, "agent>")) << "the program paints anew";
  type(after.id, "echo $x-alive");
  EXPECT_TRUE(shows(after.id, "kept-alive")) << screen(after.id);
  EXPECT_EQ(shell(fmt::format("tmux -L {} display-message -p -t {} '#{{alternate_on}}'", options.socket,
                              after.id.str())),
            "1\n");
}

// A program is up before its pane is: its first title, and that it wants pastes marked, must not be lost.
TEST_F(PaneRelayReal, NothingIsLostThatCameBeforeTheFirstAttach) {
  const std::string says = R"(printf \"\\033]2;early\\007\\033[?2004hready\\r\\n\"; exec cat -v)";
  const auto log = [this] {
    return engine("GET", "/containers/" + container + "/logs?stdout=1&tail=all", "");
  };
  for (const bool waits : {true, false, false, false}) {
    engine("DELETE", "/containers/" + container + "?force=1", "");
    container += "-next";  // its modes are kept by its name
    create(fmt::format(R"(["sh","-c","{}"])", says));
    start();
    if (waits) {
      ASSERT_TRUE(eventually(Millis{5000}, [&] { return log().find("ready") != std::string::npos; }))
          << log();
    }
    const Pane pane = attach();
    ASSERT_TRUE(shows(pane.id, "ready")) << screen(pane.id);
    EXPECT_TRUE(eventually(Millis{3000}, [&] { return has_title(pane.id, "early"); }));
    type(pane.id, "x");
    EXPECT_TRUE(shows(pane.id, "\n^[[200~x^[[201~")) << screen(pane.id);
    EXPECT_EQ(screen(pane.id).find("ready"), screen(pane.id).rfind("ready")) << "said once";
    wait(tmux->close("agentmesh-a"));
    events.clear();
  }
}

// The shell asks for brackets by itself, which is switched off here.
TEST_F(PaneRelayReal, NothingIsPastedUntilTheProgramAsksForBracketsWhereTheyAreRequired) {
  const auto told = [this](PaneId pane, bool on) {
    return eventually(Millis{3000}, [&] { return pushed(pane) && pushed(pane)->brackets_pastes == on; });
  };
  const auto paste = [this](PaneId pane) { return wait(tmux->paste(pane, "#x", PasteMarks::required)); };
  const Pane pane = attach();
  ASSERT_TRUE(shows(pane.id, "agent>"));
  type(pane.id, R"(bind 'set enable-bracketed-paste off'; printf '\033]7;file:///x\033\\done\n')");
  ASSERT_TRUE(shows(pane.id, "\ndone")) << screen(pane.id);
  EXPECT_TRUE(told(pane.id, false));
  EXPECT_EQ(paste(pane.id).error().code, ErrorCode::conflict);
  EXPECT_EQ(screen(pane.id).find("#x"), std::string::npos) << screen(pane.id);
  for (const std::string off : {R"(\033[?2004l)", R"(\033c)"}) {
    type(pane.id, R"(printf '\033[?2004h\033]7;file:///y\007'; read line; printf ')" + off + "off\\n'");
    EXPECT_TRUE(told(pane.id, true));
    EXPECT_TRUE(paste(pane.id).has_value());
    EXPECT_TRUE(shows(pane.id, "^[[200~#x^[[201~")) << screen(pane.id);
    wait(tmux->press(pane.id, {"Enter"}));
    EXPECT_TRUE(told(pane.id, false));
    EXPECT_EQ(paste(pane.id).error().code, ErrorCode::conflict);
  }
}

TEST_F(PaneRelayReal, AContainerThatIsGoneIsNamed) {
  engine("DELETE", "/containers/" + container + "?force=1", "");
  const Pane pane = attach();
  ASSERT_TRUE(eventually(Millis{5000}, [&] { return pushed(pane.id) && pushed(pane.id)->dead; }));
  EXPECT_EQ(pushed(pane.id)->exit_status, 3);
  EXPECT_EQ(screen(pane.id), "agentmesh pane: no container " + container);
}

TEST_F(PaneRelayReal, AMegabyteArrivesWhole) {
  const Pane pane = attach();
  ASSERT_TRUE(shows(pane.id, "agent>"));
  type(pane.id, "seq 150000 | tail -c 1000000 | cksum; seq 100000; echo complete");
  ASSERT_TRUE(
      eventually(Millis{20000}, [&] { return screen(pane.id).find("\ncomplete") != std::string::npos; }));
  const auto text = wait(tmux->capture(pane.id, 4000, Rendering::text));
  const std::size_t from = text->find("99000\n");
  ASSERT_NE(from, std::string::npos);
  std::string expected;
  for (int i = 99000; i <= 100000; ++i) expected += std::to_string(i) + "\n";
  EXPECT_EQ(text->substr(from, expected.size()), expected);
}

}  // namespace
}  // namespace agentmesh::tmux
