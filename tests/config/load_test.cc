#include "config/load.h"

#include "base/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentmesh::config {
namespace {

using testing::HasSubstr;

Environment environment_of(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const std::string& name) -> std::optional<std::string> {
    const auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  };
}

Result<Config> parse_alone(std::string_view text) { return parse(text, "c.toml", environment_of({})); }

std::string problem(std::string_view text) {
  const auto config = parse_alone(text);
  return config ? "no error" : describe(config.error());
}

TEST(LoadTest, TheDocumentedFileIsTheBuiltInConfiguration) {
  const auto file = parse_alone(default_toml());
  ASSERT_TRUE(file) << describe(file.error());
  const Config built;
  EXPECT_EQ(file->watchdog.stuck_after, built.watchdog.stuck_after);
  EXPECT_EQ(file->watchdog.nudge_wait, built.watchdog.nudge_wait);
  EXPECT_EQ(file->watchdog.loop_repeats, built.watchdog.loop_repeats);
  EXPECT_EQ(file->watchdog.nudge_text, built.watchdog.nudge_text);
  EXPECT_EQ(file->watchdog.max_restarts, built.watchdog.max_restarts);
  EXPECT_EQ(file->watchdog.restart_window, built.watchdog.restart_window);
  EXPECT_EQ(file->watchdog.backoff_first, built.watchdog.backoff_first);
  EXPECT_EQ(file->watchdog.backoff_max, built.watchdog.backoff_max);
  EXPECT_EQ(file->watchdog.backoff_jitter_percent, built.watchdog.backoff_jitter_percent);
  EXPECT_EQ(file->watchdog.stable_after, built.watchdog.stable_after);
  EXPECT_EQ(file->watchdog.on_permission, built.watchdog.on_permission);
  EXPECT_EQ(file->watchdog.max_starting, built.watchdog.max_starting);
  EXPECT_EQ(file->watchdog.ready_limit, built.watchdog.ready_limit);
  EXPECT_EQ(file->watchdog.relist, built.watchdog.relist);
  EXPECT_EQ(file->delivery.paste_wait, built.delivery.paste_wait);
  EXPECT_EQ(file->delivery.ttl, built.delivery.ttl);
  EXPECT_EQ(file->delivery.queue_depth, built.delivery.queue_depth);
  EXPECT_EQ(file->crash.lines, built.crash.lines);
  EXPECT_EQ(file->crash.max_bytes, built.crash.max_bytes);
  EXPECT_EQ(file->crash.files, built.crash.files);
  EXPECT_EQ(file->tmux.socket, built.tmux.socket);
  EXPECT_EQ(file->engine.deadline, built.engine.deadline);
  EXPECT_EQ(file->hub.key, built.hub.key);
  EXPECT_EQ(file->hub.listen, built.hub.listen);
  EXPECT_EQ(file->daemon.log_level, built.daemon.log_level);
  const AgentSettings agent = merge(file->defaults, built_in());
  EXPECT_EQ(agent.runner, built_in().runner);
  EXPECT_EQ(agent.image, built_in().image);
  EXPECT_EQ(agent.cpus, built_in().cpus);
  EXPECT_EQ(agent.pids, built_in().pids);
  EXPECT_EQ(agent.network, built_in().network);
  EXPECT_EQ(agent.permissions, built_in().permissions);
}

TEST(LoadTest, UnknownKeysNameFileLineAndTheNearestKey) {
  EXPECT_THAT(problem("[watchdog]\n\nstuck_afer = \"1m\"\n"),
              HasSubstr("c.toml:3: watchdog.stuck_afer is not a known key (did you mean 'stuck_after'?)"));
  EXPECT_THAT(problem("[watchdgo]\n"),
              HasSubstr("c.toml:1: watchdgo is not a known section (did you mean 'watchdog'?)"));
  EXPECT_THAT(problem("[agents.demo]\nmemroy = \"1g\"\n"), HasSubstr("c.toml:2: agents.demo.memroy"));
  EXPECT_THAT(problem("[agents.Demo]\n"), HasSubstr("is not an agent's name"));
  EXPECT_THAT(problem("top = 1\n"), HasSubstr("c.toml:1: top is not a known section"));
}

TEST(LoadTest, BadValuesNameFileAndLine) {
  EXPECT_THAT(problem("[defaults]\nmemory = \"2gg\"\n"),
              HasSubstr("c.toml:2: defaults.memory cannot be '2gg'"));
  EXPECT_THAT(problem("[defaults]\ncpus = 0\n"),
              HasSubstr("c.toml:2: defaults.cpus must be a number above 0"));
  EXPECT_THAT(problem("[defaults]\ncpus = nan\n"), HasSubstr("must be a number above 0"));
  EXPECT_THAT(problem("[defaults]\nnetwork = \"host\"\n"), HasSubstr("one of: none, egress, bridge"));
  EXPECT_THAT(problem("[watchdog]\nmax_restarts = -1\n"), HasSubstr("from 0 to 1000"));
  EXPECT_THAT(problem("[watchdog]\nmax_restarts = \"3\"\n"), HasSubstr("must be a whole number"));
  EXPECT_THAT(problem("[watchdog]\nstuck_after = 5\n"), HasSubstr("must be a text in quotes"));
  EXPECT_THAT(problem("watchdog = 3\n"), HasSubstr("must be a section"));
  EXPECT_THAT(problem("[watchdog\n"), HasSubstr("c.toml:1:"));
  EXPECT_THAT(problem("[defaults]\nmounts = [1]\n"), HasSubstr("must be a text"));
}

TEST(LoadTest, TheEnvironmentFillsInAndWins) {
  const auto environment = environment_of(
      {{"WHERE", "/srv"}, {"AGENTMESH_WATCHDOG_MAX_RESTARTS", "7"}, {"AGENTMESH_TMUX_SOCKET", "mine"}});
  const auto config =
      parse("[defaults]\nworkdir = \"${WHERE}/code\"\n[watchdog]\nmax_restarts = 1\n", "c", environment);
  ASSERT_TRUE(config) << describe(config.error());
  EXPECT_EQ(config->defaults.workdir, "/srv/code");
  EXPECT_EQ(config->watchdog.max_restarts, 7);
  EXPECT_EQ(config->tmux.socket, "mine");
  EXPECT_THAT(problem("[defaults]\nworkdir = \"${NOPE}\"\n"), HasSubstr("names ${NOPE}, which is not set"));
}

TEST(LoadTest, LayersMerge) {
  const auto config = parse_alone(
      "[defaults]\nmodel = \"a\"\nenv = {A = \"1\", B = \"1\"}\n[agents.x]\nmodel = \"b\"\nenv = {B = "
      "\"2\"}\n");
  ASSERT_TRUE(config);
  const AgentSettings merged = merge(config->agents.at("x"), config->defaults);
  EXPECT_EQ(merged.model, "b");
  EXPECT_EQ(merged.env.at("A"), "1");
  EXPECT_EQ(merged.env.at("B"), "2");
}

TEST(LoadTest, HomeIsAbsolute) {
  EXPECT_EQ(home_folder(environment_of({{"AGENTMESH_HOME", "/a/b"}})), "/a/b");
  EXPECT_EQ(home_folder(environment_of({{"HOME", "/root"}})), "/root/.agentmesh");
  EXPECT_FALSE(home_folder(environment_of({{"AGENTMESH_HOME", "a"}})));
  EXPECT_FALSE(home_folder(environment_of({})));
}

}  // namespace
}  // namespace agentmesh::config
