// Programs in a pane that write what breaks terminals: nobody else is disturbed, and the connection lives.

#include "tests/tmux/server_fixture.h"

namespace agentmesh::tmux {
namespace {

const std::vector<std::string> kNeighbour = {"sh", "-c",
                                             "printf '\\033]2;neighbour\\007still here'; exec sleep 1000"};

struct HostileReal : ServerFixture {
  Pane neighbour;

  void SetUp() override {
    ServerFixture::SetUp();
    neighbour = open("neighbour", kNeighbour);
    ASSERT_TRUE(eventually(Millis{3000}, [&] { return has_title(neighbour.id, "neighbour"); }));
  }
  Pane hostile(const std::string& script) { return open("hostile", {"bash", "-c", script}); }
  bool ends_with(PaneId pane, const std::string& text) {
    return eventually(Millis{20000}, [&] { return screen(pane).ends_with(text); });
  }
  void expect_nobody_is_disturbed() {
    const auto panes = wait(tmux->list());
    ASSERT_TRUE(panes.has_value()) << describe(panes.error());
    EXPECT_EQ(panes->size(), 2U);
    EXPECT_EQ(screen(neighbour.id), "still here");
    EXPECT_TRUE(has_title(neighbour.id, "neighbour"));
    EXPECT_FALSE(has_event<ServerLost>());
    EXPECT_EQ(tmux_cli("list-buffers"), "");
    EXPECT_EQ(tmux_cli("display-message -p -t " + neighbour.id.str() + " '#{session_name}:#{window_panes}'"),
              "agentmesh-neighbour:1");
  }
  // Ticks of 10 ms that a process uses in a time.
  long used(pid_t pid, Millis time) {
    const long before = work_of(pid).ticks;
    context.restart();
    context.run_for(time);
    return work_of(pid).ticks - before;
  }
  pid_t server() { return wait(tmux->ensure()).value().pid; }
};

TEST_F(HostileReal, AThousandByAThousandIsIdleWhenItsProgramIs) {
  const Pane pane = hostile("printf 'big'; exec sleep 1000");
  tmux_cli("resize-window -t " + pane.id.str() + " -x 1000 -y 1000");
  ASSERT_TRUE(
      eventually(Millis{3000}, [&] { return pushed(pane.id) && pushed(pane.id)->size == Size{1000, 1000}; }));
  EXPECT_EQ(screen(pane.id), "big");
  EXPECT_LE(used(server(), Millis{3000}), 9) << "of 300 ticks";
  EXPECT_LE(used(::getpid(), Millis{1000}), 2) << "of 100 ticks";
  expect_nobody_is_disturbed();
}

// tmux would work on such a picture for seconds, and answer nobody.
TEST_F(HostileReal, AVeryLargePictureIsReadAsTextAlone) {
  const Pane pane = hostile("printf 'big'; exec sleep 1000");
  tmux_cli("resize-window -t " + pane.id.str() + " -x 1000 -y 1000");
  const auto has_size = [&](Size size) {
    return eventually(Millis{3000}, [&] { return pushed(pane.id) && pushed(pane.id)->size == size; });
  };
  ASSERT_TRUE(has_size({1000, 1000}));
  const auto picture = wait(tmux->capture(pane.id, 0, Rendering::colour));
  ASSERT_FALSE(picture);
  EXPECT_EQ(picture.error().code, ErrorCode::exhausted);
  EXPECT_EQ(screen(pane.id), "big");
  tmux_cli("resize-window -t " + pane.id.str() + " -x 600 -y 150");
  ASSERT_TRUE(has_size({600, 150}));
  EXPECT_TRUE(wait(tmux->capture(pane.id, 0, Rendering::colour)).has_value());
}

TEST_F(HostileReal, ALineOfAMegabyteIsCut) {
  const Pane pane = hostile("head -c 1048576 /dev/zero | tr '\\0' x; printf done; exec sleep 1000");
  ASSERT_TRUE(ends_with(pane.id, "xdone"));
  EXPECT_TRUE(wait(tmux->capture(pane.id, kMaxCaptureLines, Rendering::text)).has_value());
  expect_nobody_is_disturbed();
}

TEST_F(HostileReal, ATitleIsBoundedTextAndNothingElse) {
  const Pane pane = hostile(
      "printf '\\033]2;%s\\007' \"$(head -c 5000 /dev/zero | tr '\\0' y)\"; printf one; read line;"
      "printf '\\033]2;%%end 1 2 1:%%0:agentmesh-neighbour:1:1:9 #{pid} #(touch %s) "
      "$(id)\\n\\036x\\037\\007' /tmp/no;"
      "printf two; read line; printf '\\033]2;\\377\\376 bad \\302\\007'; printf three; exec sleep 1000");
  ASSERT_TRUE(ends_with(pane.id, "one"));
  EXPECT_TRUE(eventually(Millis{2000}, [&] { return pushed(pane.id)->title == std::string(256, 'y'); }));
  wait(tmux->press(pane.id, {"Enter"}));
  ASSERT_TRUE(ends_with(pane.id, "two"));
  EXPECT_TRUE(eventually(Millis{2000}, [&] {
    const std::string title = pushed(pane.id)->title;  // tmux 3.7 makes "#(" harmless: "_("
    return title.starts_with("%end 1 2 1:%0:agentmesh-neighbour:1:1:9 #{pid} ") &&
           title.contains("(touch /tmp/no) $(id)");
  })) << pushed(pane.id)->title;
  wait(tmux->press(pane.id, {"Enter"}));
  ASSERT_TRUE(ends_with(pane.id, "three"));
  eventually(Millis{1200}, [] { return false; });
  EXPECT_FALSE(std::filesystem::exists("/tmp/no"));
  expect_nobody_is_disturbed();
}

TEST_F(HostileReal, SequencesReachNobodyElse) {
  const Pane pane = hostile(
      "stty -echo; "                  // the random bytes may ask for reports, whose answers would be echoed
      "printf '\\033kevil\\033\\\\'"  // names the window
      "'\\033]52;c;ZXZpbA==\\007'"    // writes the clipboard
      "'\\033Ptmux;\\033\\033]2;through\\007\\033\\\\'"  // passes through to the person's terminal
      "'\\033]7;file:///etc\\033\\\\\\033]8;;http://x\\007l\\033]8;;\\007'"  // folder and link
      "'\\033[8;2000;2000t\\033[3;9;9t\\033[5t\\033[21t'"                    // resizes, reports
      "'\\033[999999999b\\033[99999999;99999999H\\033[1000000L\\033[1000000@'"
      "'\\033[?1049h\\033[?2026h\\033[?1003h\\033[?2004h\\033#8\\033c'"
      "'\\033P+q544e\\033\\\\\\033P$qm\\033\\\\\\033_G\\033\\\\\\033^x\\033\\\\';"
      "head -c 3000000 /dev/urandom; printf "
      "'\\033\\\\\\030\\033c\\033[?2026l\\033[?1049l\\033[2J\\033[Hdone'; exec sleep 1000");
  ASSERT_TRUE(ends_with(pane.id, "done")) << screen(pane.id);
  EXPECT_EQ(wait(tmux->list())->size(), 2U);
  EXPECT_EQ(tmux_cli("display-message -p -t " + pane.id.str() + " '#{session_name}'"), "agentmesh-hostile");
  EXPECT_EQ(tmux_cli("list-windows -a -F '#{window_name}' | grep -c evil || true"), "0");
  EXPECT_EQ(tmux_cli("display-message -p -t " + pane.id.str() + " '#{window_width}x#{window_height}'"),
            "100x30");
  expect_nobody_is_disturbed();
}

TEST_F(HostileReal, AFloodCostsUsNothing) {
  hostile("while :; do printf '\\033]2;title %s\\007line %s\\r\\n' $RANDOM $RANDOM; done");
  eventually(Millis{1000}, [] { return false; });
  const std::size_t before = events.size();
  EXPECT_LE(used(::getpid(), Millis{3000}), 6) << "of 300 ticks";
  EXPECT_LE(events.size() - before, 5U);
  expect_nobody_is_disturbed();
}

}  // namespace
}  // namespace agentmesh::tmux
