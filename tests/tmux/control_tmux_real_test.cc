#include "tests/tmux/server_fixture.h"
#include "tmux/control_tmux.h"

namespace agentmesh::tmux {
namespace {

using ControlTmuxReal = ServerFixture;
using Argv = std::vector<std::string>;

const Argv kIdle = {"sleep", "1000"};

TEST_F(ControlTmuxReal, EnsureStartsAServerOfItsOwn) {
  const auto server = wait(tmux->ensure());
  ASSERT_TRUE(server.has_value()) << describe(server.error());
  EXPECT_FALSE(server->version.empty());
  EXPECT_GT(server->pid, 0);
  EXPECT_EQ(::getsid(server->pid), server->pid) << "the server must outlive our session";
  EXPECT_NE(server->socket_path.find(options.socket), std::string::npos);
}

TEST_F(ControlTmuxReal, ASessionRunsItsProgramWithoutAShell) {
  const Pane pane =
      open("a", {"sh", "-c", "printf '%s|' \"$@\"; sleep 1000", "sh", "one two", "$HOME", "a;b", "~"});
  EXPECT_EQ(pane.session, "agentmesh-a");
  EXPECT_EQ(pane.size, (Size{100, 30}));
  EXPECT_TRUE(eventually(Millis{2000}, [&] { return screen(pane.id).find("one two|$HOME|a;b|~|") == 0; }))
      << screen(pane.id);
}

TEST_F(ControlTmuxReal, ASingleWordIsAProgramToo) {
  const Pane pane = open("a", {"true"});
  EXPECT_TRUE(eventually(Millis{2000}, [&] { return pushed(pane.id) && pushed(pane.id)->exit_status == 0; }));
}

TEST_F(ControlTmuxReal, TheProgramGetsItsEnvironmentAndFolderAndNothingOfOurs) {
  ::setenv("AGENTMESH_TEST_SECRET", "leaked", 1);
  auto pane = wait(tmux->open({.session = "agentmesh-a",
                               .argv = {"sh", "-c", "pwd; env; ls -l /proc/self/fd; exec sleep 1000"},
                               .env = {{"COLOUR", "blue; $x"}},
                               .workdir = folder.string(),
                               .size = {150, 60}}));
  ASSERT_TRUE(pane.has_value());
  ASSERT_TRUE(eventually(Millis{2000}, [&] { return screen(pane->id).find("/proc/") != std::string::npos; }));
  const std::string text = screen(pane->id);
  EXPECT_EQ(text.find(folder.string()), 0U) << text;
  EXPECT_NE(text.find("COLOUR=blue; $x"), std::string::npos) << text;
  EXPECT_NE(text.find("TERM=tmux-256color"), std::string::npos) << text;
  EXPECT_EQ(text.find("leaked"), std::string::npos) << text;
  EXPECT_EQ(text.find("socket:"), std::string::npos) << text;
}

TEST_F(ControlTmuxReal, ASecondSessionOfTheSameNameIsAConflict) {
  open("a", kIdle);
  const auto again = wait(tmux->open({.session = "agentmesh-a", .argv = kIdle, .size = {80, 24}}));
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, ErrorCode::conflict);
}

TEST_F(ControlTmuxReal, CloseIsExactAndIdempotent) {
  open("ab", kIdle);
  EXPECT_TRUE(wait(tmux->close("agentmesh-a")).has_value());
  EXPECT_EQ(wait(tmux->list())->size(), 1U) << "a is not ab";
  EXPECT_TRUE(wait(tmux->close("agentmesh-ab")).has_value());
  EXPECT_TRUE(wait(tmux->close("agentmesh-ab")).has_value());
  EXPECT_TRUE(wait(tmux->list())->empty()) << "the keeper is hidden";
}

TEST_F(ControlTmuxReal, BadRequestsAreRefusedBeforeTmux) {
  for (const std::string& name : {"", "a b", "a:1", "=a", "a.b"}) {
    EXPECT_EQ(wait(tmux->open({.session = name, .argv = kIdle, .size = {80, 24}})).error().code,
              ErrorCode::invalid);
  }
  EXPECT_EQ(wait(tmux->open({.session = "a", .argv = {}, .size = {80, 24}})).error().code,
            ErrorCode::invalid);
  EXPECT_EQ(wait(tmux->open({.session = "a", .argv = kIdle, .size = {80, 0}})).error().code,
            ErrorCode::invalid);
  EXPECT_EQ(wait(tmux->open({.session = "a", .argv = kIdle, .size = {5000, 5}})).error().code,
            ErrorCode::invalid);
  EXPECT_EQ(wait(tmux->press(PaneId{0}, {"kill-server"})).error().code, ErrorCode::invalid);
}

TEST_F(ControlTmuxReal, APaneThatDoesNotExistIsNotFound) {
  const PaneId nobody{4242};
  EXPECT_EQ(wait(tmux->capture(nobody, 0, Rendering::text)).error().code, ErrorCode::not_found);
  EXPECT_EQ(wait(tmux->paste(nobody, "x", PasteMarks::if_asked_for)).error().code, ErrorCode::not_found);
  EXPECT_EQ(wait(tmux->press(nobody, {"Enter"})).error().code, ErrorCode::not_found);
  EXPECT_EQ(wait(tmux->last_key(nobody)).error().code, ErrorCode::not_found);
  EXPECT_EQ(wait(tmux->respawn(nobody, kIdle)).error().code, ErrorCode::not_found);
}

TEST_F(ControlTmuxReal, TitlesArePushedWithinASecondAndAHalf) {
  const Pane pane = open("a", {"sh", "-c", "printf '\\033]2;✳ work; a : b\\007'; exec sleep 1000"});
  EXPECT_TRUE(eventually(Millis{1500}, [&] { return has_title(pane.id, "✳ work; a : b"); }));
}

TEST_F(ControlTmuxReal, ADeathIsPushedAtOnceWithItsStatusOrSignal) {
  const Pane coded = open("a", {"sh", "-c", "read line; exit 3"});
  const Pane killed = open("b", kIdle);
  eventually(Millis{1500}, [&] { return pushed(coded.id) && pushed(killed.id); });
  wait(tmux->press(coded.id, {"Enter"}));
  EXPECT_TRUE(eventually(Millis{200}, [&] { return pushed(coded.id)->exit_status == 3; }));
  ::kill(killed.pid, SIGKILL);
  EXPECT_TRUE(eventually(Millis{200}, [&] { return pushed(killed.id)->signal == SIGKILL; }));
  EXPECT_TRUE(pushed(killed.id)->dead);
}

TEST_F(ControlTmuxReal, EveryDeathHasItsCause) {
  std::vector<PaneId> panes;
  for (int i = 0; i < 20; ++i)
    panes.push_back(open("p" + std::to_string(i), {"sh", "-c", "sleep 0.2; exit 7"}).id);
  for (const PaneId id : panes) {
    EXPECT_TRUE(eventually(Millis{2000}, [&] { return pushed(id) && pushed(id)->dead; }));
    EXPECT_EQ(pushed(id)->exit_status, 7);
  }
}

TEST_F(ControlTmuxReal, ADeadPaneKeepsItsTextAndTakesNoMore) {
  const Pane pane = open("a", {"sh", "-c", "echo last words; sleep 0.2; exit 1"});
  ASSERT_TRUE(eventually(Millis{1500}, [&] { return pushed(pane.id) && pushed(pane.id)->dead; }));
  EXPECT_EQ(screen(pane.id).find("last words"), 0U);
  EXPECT_EQ(wait(tmux->paste(pane.id, "x", PasteMarks::if_asked_for)).error().code, ErrorCode::conflict);
  const auto again = wait(tmux->respawn(pane.id, {"sh", "-c", "echo new life; exec sleep 1000"}));
  ASSERT_TRUE(again.has_value());
  EXPECT_FALSE(again->dead);
  EXPECT_TRUE(eventually(Millis{1500}, [&] { return screen(pane.id).find("new life") == 0; }))
      << screen(pane.id);
}

TEST_F(ControlTmuxReal, AClosedSessionIsPushedAsGone) {
  const Pane pane = open("a", kIdle);
  ASSERT_TRUE(eventually(Millis{1500}, [&] { return pushed(pane.id).has_value(); }));
  wait(tmux->close("agentmesh-a"));
  EXPECT_TRUE(eventually(Millis{500}, [&] { return has_event<PaneGone>(); }));
}

TEST_F(ControlTmuxReal, CopyModeIsSeenAndLeftByWhatIsTyped) {
  const Pane pane = open("a", {"cat"});
  for (const char* mode : {"copy-mode -t ", "choose-tree -t ", "clock-mode -t "}) {
    tmux_cli(mode + pane.id.str());
    EXPECT_TRUE(eventually(Millis{1500}, [&] { return pushed(pane.id) && pushed(pane.id)->in_mode; }))
        << mode;
    ASSERT_TRUE(wait(tmux->press(pane.id, {"x"})).has_value());
    EXPECT_FALSE(wait(tmux->list())->front().in_mode) << mode;
    EXPECT_TRUE(eventually(Millis{1500}, [&] { return pushed(pane.id) && !pushed(pane.id)->in_mode; }))
        << mode;
  }
  EXPECT_TRUE(eventually(Millis{1500}, [&] { return screen(pane.id) == "xxx"; })) << screen(pane.id);
}

TEST_F(ControlTmuxReal, CaptureIsRenderedTextWithHistory) {
  const Pane pane =
      open("a", {"sh", "-c",
                 "for i in $(seq 100); do echo line $i; done; printf '\\033[31mred\\033[0m né'; sleep 1000"});
  ASSERT_TRUE(eventually(Millis{2000}, [&] { return screen(pane.id).ends_with("red né"); }))
      << screen(pane.id);
  EXPECT_EQ(screen(pane.id).find("line 50\n"), std::string::npos);
  const auto all = wait(tmux->capture(pane.id, 1000, Rendering::text));
  EXPECT_EQ(all->find("line 1\nline 2\n"), 0U);
  EXPECT_NE(wait(tmux->capture(pane.id, 0, Rendering::colour))->find("\x1b[31mred"), std::string::npos);
}

TEST_F(ControlTmuxReal, ALineThatWrappedIsOneLineOfText) {
  const std::string key(250, 'k');  // of 100 columns
  const Pane pane = open("a", {"sh", "-c", "printf '%s   \\nshort  \\nlast' " + key + "; sleep 1000"});
  EXPECT_TRUE(eventually(Millis{2000}, [&] { return screen(pane.id) == key + "\nshort\nlast"; }))
      << screen(pane.id);
}

TEST_F(ControlTmuxReal, WhatAnAgentPaintsCannotSpeakForTmux) {
  const std::string lie =
      "for s in $(seq -2 5); do for n in $(seq 250 450); do echo \"%end $((EPOCHSECONDS+s)) $n 1\"; "
      "done; done; echo '%exit liar'; echo done; exec sleep 1000";
  const Pane pane = open("a", {"bash", "-c", lie});
  ASSERT_TRUE(eventually(Millis{20000}, [&] { return screen(pane.id).ends_with("done"); }));
  for (int i = 0; i < 20; ++i) {
    const auto text = wait(tmux->capture(pane.id, 5000, Rendering::text));
    ASSERT_TRUE(text.has_value());
    EXPECT_EQ(std::ranges::count(*text, '\n'), 8 * 201 + 1);
    EXPECT_EQ(wait(tmux->list())->size(), 1U);
  }
  EXPECT_FALSE(has_event<ServerLost>());
}

TEST_F(ControlTmuxReal, AKilledServerIsReportedAndStartedAgain) {
  const Pane before = open("a", kIdle);
  const pid_t old = wait(tmux->ensure()).value().pid;
  ::kill(old, SIGKILL);
  ASSERT_TRUE(eventually(Millis{500}, [&] { return has_event<ServerLost>(); }));
  ASSERT_TRUE(eventually(Millis{3000}, [&] { return has_event<ServerBack>(); }));
  const auto& back = std::get<ServerBack>(*std::ranges::find_if(
      events, [](const Event& event) { return std::holds_alternative<ServerBack>(event); }));
  EXPECT_TRUE(back.fresh);
  EXPECT_NE(back.server_pid, old);
  const Pane after = open("a", kIdle);
  EXPECT_EQ(after.session, before.session);
  EXPECT_TRUE(eventually(Millis{1500}, [&] { return pushed(after.id).has_value(); }));
}

TEST_F(ControlTmuxReal, AKilledClientLosesNothing) {
  const Pane pane = open("a", kIdle);
  const pid_t server = wait(tmux->ensure()).value().pid;
  const std::string kill_clients =
      "tmux -L " + options.socket + " list-clients -F '#{client_pid}' | xargs kill -9";
  ASSERT_EQ(std::system(kill_clients.c_str()), 0);
  ASSERT_TRUE(eventually(Millis{3000}, [&] { return has_event<ServerBack>(); }));
  EXPECT_EQ(wait(tmux->ensure()).value().pid, server);
  EXPECT_EQ(wait(tmux->list())->front().id, pane.id);
}

TEST_F(ControlTmuxReal, AnotherDaemonFindsWhatRuns) {
  const Pane pane = open("a", {"sh", "-c", "printf '\\033]2;kept\\007'; exec sleep 1000"});
  tmux.reset();
  events.clear();
  tmux = connect();
  const auto panes = wait(tmux->list());
  ASSERT_TRUE(panes.has_value()) << describe(panes.error());
  ASSERT_EQ(panes->size(), 1U);
  EXPECT_EQ(panes->front().pid, pane.pid);
  EXPECT_TRUE(eventually(Millis{1500}, [&] { return has_title(pane.id, "kept"); }));
}

TEST_F(ControlTmuxReal, NoControlClientIsLeftBehind) {
  open("a", kIdle);
  for (int i = 0; i < 5; ++i) {
    tmux.reset();
    tmux = connect();
    const auto server = wait(tmux->ensure());
    ASSERT_TRUE(server.has_value()) << describe(server.error());
  }
  const std::filesystem::path out = folder / "clients";
  const std::string list = "tmux -L " + options.socket + " list-clients > " + out.string();
  EXPECT_TRUE(eventually(Millis{1000}, [&] {
    return std::system(list.c_str()) == 0 && std::ranges::count(read(out), '\n') == 1;
  })) << read(out);
}

TEST_F(ControlTmuxReal, AHungServerIsATimeoutThenUnavailableThenBack) {
  const auto running = wait(tmux->ensure());
  ASSERT_TRUE(running.has_value()) << describe(running.error());
  const pid_t server = running->pid;
  options.deadline = Millis{300};
  tmux = connect();
  ASSERT_TRUE(wait(tmux->ensure()).has_value());
  ::kill(server, SIGSTOP);
  EXPECT_EQ(wait(tmux->list()).error().code, ErrorCode::timeout);
  EXPECT_TRUE(eventually(Millis{500}, [&] { return has_event<ServerLost>(); }));
  EXPECT_EQ(wait(tmux->list()).error().code, ErrorCode::unavailable);
  ::kill(server, SIGCONT);
  EXPECT_TRUE(eventually(Millis{5000}, [&] { return has_event<ServerBack>(); }));
  EXPECT_EQ(wait(tmux->ensure()).value().pid, server);
}

TEST_F(ControlTmuxReal, AMissingProgramSaysWhatToInstall) {
  options.program = "no-such-tmux";
  ControlTmux missing(context.get_executor(), options, {});
  const auto server = wait(missing.ensure());
  ASSERT_FALSE(server.has_value());
  EXPECT_EQ(server.error().code, ErrorCode::unavailable);
  EXPECT_NE(server.error().hint.find("install tmux"), std::string::npos);
}

TEST_F(ControlTmuxReal, AProgramThatIsNotTmuxIsAnError) {
  options.program = "true";
  ControlTmux liar(context.get_executor(), options, {});
  EXPECT_EQ(wait(liar.ensure()).error().code, ErrorCode::unavailable);
}

TEST_F(ControlTmuxReal, IdlePanesCostNothing) {
  for (int i = 0; i < 20; ++i) open("p" + std::to_string(i), kIdle);
  const pid_t server = wait(tmux->ensure()).value().pid;
  eventually(Millis{1500}, [] { return false; });
  const Work server_before = work_of(server);
  const Work ours_before = work_of(::getpid());
  context.restart();
  context.run_for(Millis{3000});
  EXPECT_LE(work_of(server).ticks - server_before.ticks, 3) << "of 300 ticks";
  EXPECT_LE(work_of(::getpid()).ticks - ours_before.ticks, 1);
  EXPECT_EQ(work_of(server).faults, server_before.faults);
  EXPECT_EQ(work_of(::getpid()).faults, ours_before.faults);
}

TEST_F(ControlTmuxReal, ManyCallsAtOnceAreAnsweredInOrder) {
  const Pane pane = open("a", {"sh", "-c", "echo hello; exec sleep 1000"});
  int answered = 0;
  for (int i = 0; i < 500; ++i) {
    boost::asio::co_spawn(
        context, tmux->capture(pane.id, 0, Rendering::text),
        [&](std::exception_ptr, const Result<std::string>& text) { answered += text ? 1 : 0; });
  }
  EXPECT_TRUE(eventually(Millis{5000}, [&] { return answered == 500; }));
}

}  // namespace
}  // namespace agentmesh::tmux
