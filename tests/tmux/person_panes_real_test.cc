// What a person does in an agent's session beside the agent's pane: theirs is never taken for ours, typed
// into or ended, and ours comes back when they end it.

#include "tests/tmux/server_fixture.h"

namespace agentmesh::tmux {
namespace {

const std::vector<std::string> kIdle = {"sleep", "1000"};
constexpr const char* kPerson = " -P -F '#{pane_id}' -t =agentmesh-a: 'exec sleep 2000'";

struct PersonPanesReal : ServerFixture {
  Pane only_pane() {
    const auto panes = wait(tmux->list());
    if (!panes || panes->size() != 1)
      throw std::runtime_error(fmt::format("{} panes", panes ? panes->size() : 0));
    return panes->front();
  }
  Pane open_again() {
    const auto pane = wait(tmux->open({.session = "agentmesh-a", .argv = kIdle, .size = {100, 30}}));
    if (!pane) throw std::runtime_error(describe(pane.error()));
    return *pane;
  }
  bool lives(const std::string& pane) {
    return tmux_cli("list-panes -a -F '#{pane_id}:#{pane_dead}:#{pane_start_command}' | grep -c '^" + pane +
                    ":0:.*sleep 2000' || true") == "1";
  }
  bool gone(PaneId id) {
    return std::ranges::any_of(events, [&](const Event& event) {
      const auto* gone = std::get_if<PaneGone>(&event);
      return gone != nullptr && gone->id == id;
    });
  }
};

TEST_F(PersonPanesReal, ASplitAndANewWindowAreNotOurs) {
  const Pane ours = open("a", kIdle);
  ASSERT_TRUE(eventually(Millis{1500}, [&] { return pushed(ours.id).has_value(); }));
  const std::string split = tmux_cli(std::string("split-window") + kPerson);
  const std::string window = tmux_cli(std::string("new-window") + kPerson);
  EXPECT_EQ(only_pane().id, ours.id);
  tmux_cli("select-pane -t " + ours.id.str() + " -T seen");
  ASSERT_TRUE(eventually(Millis{3000}, [&] { return has_title(ours.id, "seen"); }));
  for (const std::string& pane : {split, window}) EXPECT_FALSE(pushed(*parse_pane_id(pane))) << pane;
  ASSERT_TRUE(wait(tmux->respawn(ours.id, kIdle)).has_value());
  EXPECT_EQ(only_pane().id, ours.id) << "a respawned pane stays ours";
  ASSERT_TRUE(wait(tmux->close("agentmesh-a")).has_value());
  EXPECT_TRUE(wait(tmux->list())->empty());
  EXPECT_TRUE(lives(split) && lives(window));
}

TEST_F(PersonPanesReal, OursComesBackInASessionThatAPersonKept) {
  const Pane ours = open("a", kIdle);
  ASSERT_TRUE(eventually(Millis{1500}, [&] { return pushed(ours.id).has_value(); }));
  const std::string theirs = tmux_cli(std::string("split-window") + kPerson);
  tmux_cli("kill-pane -t " + ours.id.str());
  EXPECT_TRUE(eventually(Millis{3000}, [&] { return gone(ours.id); }));
  const Pane again = open_again();
  EXPECT_EQ(again.session, "agentmesh-a");
  EXPECT_EQ(only_pane().id, again.id);
  EXPECT_TRUE(lives(theirs));
  EXPECT_EQ(tmux_cli("display-message -p -t =agentmesh-a: '#{pane_id}'"), again.id.str())
      << "nobody is attached: who attaches next sees the agent";
}

TEST_F(PersonPanesReal, APersonWhoIsAttachedStaysInTheirWindow) {
  const Pane ours = open("a", kIdle);
  const std::string theirs = tmux_cli(std::string("new-window") + kPerson);
  open("viewer", {"env", "-u", "TMUX", "tmux", "-L", options.socket, "attach", "-t", "=agentmesh-a"});
  ASSERT_TRUE(eventually(Millis{3000}, [&] {
    return tmux_cli("display-message -p -t =agentmesh-a: '#{session_attached}'") == "1";
  }));
  tmux_cli("kill-pane -t " + ours.id.str());
  open_again();
  EXPECT_EQ(tmux_cli("display-message -p -t =agentmesh-a: '#{pane_id}'"), theirs);
}

TEST_F(PersonPanesReal, APaneOfOursThatIsMovedAwayIsGoneAndOpenedAgain) {
  const Pane ours = open("a", kIdle);
  const Pane other = open("b", kIdle);
  ASSERT_TRUE(eventually(Millis{1500}, [&] { return pushed(ours.id) && pushed(other.id); }));
  tmux_cli("join-pane -s " + ours.id.str() + " -t " + other.id.str());
  EXPECT_EQ(only_pane().id, other.id) << "it does not take the place of the agent there";
  EXPECT_TRUE(eventually(Millis{3000}, [&] { return gone(ours.id); }));
  const Pane again = open_again();
  tmux_cli("join-pane -s " + ours.id.str() + " -t " + again.id.str());
  EXPECT_EQ(wait(tmux->list())->size(), 2U);
  EXPECT_EQ(wait(tmux->list())->front().id, again.id) << "moved back, it is not ours again";
}

TEST_F(PersonPanesReal, APaneOfAnOlderVersionIsMarkedOnce) {
  tmux_cli("-f /dev/null new-session -d -s agentmesh-a 'exec sleep 1000'");
  ASSERT_TRUE(wait(tmux->ensure()).has_value());
  const Pane ours = only_pane();
  EXPECT_EQ(ours.session, "agentmesh-a");
  const std::string theirs = tmux_cli(std::string("split-window") + kPerson);
  tmux_cli("kill-pane -t " + ours.id.str());
  tmux.reset();
  tmux = connect();
  ASSERT_TRUE(wait(tmux->ensure()).has_value());
  EXPECT_TRUE(wait(tmux->list())->empty()) << "a person's only pane is not adopted by the next daemon";
  EXPECT_TRUE(lives(theirs));
}

}  // namespace
}  // namespace agentmesh::tmux
