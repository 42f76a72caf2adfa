#include "config/load.h"

#include "base/files.h"
#include "config/webhook_url.h"

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

TEST(LoadTest, TheReadyLimitIsTheRunnersOwnUntilOneIsSet) {
  EXPECT_EQ(parse_alone("")->watchdog.ready_limit, std::nullopt);
  EXPECT_EQ(parse_alone("[watchdog]\nready_limit = \"5m\"")->watchdog.ready_limit, Millis{300'000});
  EXPECT_NE(problem("[watchdog]\nready_limit = \"1ms\"").find("ready_limit"), std::string::npos);
}

TEST(LoadTest, TheDocumentedFileIsTheBuiltInConfiguration) {
  const auto file = parse_alone(default_toml());
  ASSERT_TRUE(file) << describe(file.error());
  const Config built;
  EXPECT_EQ(file->watchdog.stuck_after, built.watchdog.stuck_after);
  EXPECT_EQ(file->watchdog.nudge_wait, built.watchdog.nudge_wait);
  EXPECT_EQ(file->watchdog.turn_retry, built.watchdog.turn_retry);
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
  EXPECT_EQ(file->notify.on, built.notify.on);
  EXPECT_EQ(file->notify.desktop, built.notify.desktop);
  EXPECT_EQ(file->notify.command, built.notify.command);
  EXPECT_EQ(file->notify.webhook, built.notify.webhook);
  EXPECT_EQ(file->notify.secret, built.notify.secret);
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
  EXPECT_EQ(agent.sandbox, built_in().sandbox);
  EXPECT_EQ(file->sandbox.required, built.sandbox.required);
  EXPECT_EQ(agent.permissions, built_in().permissions);
}

TEST(LoadTest, AWaitMayBeNoneWhereNoneIsAllowed) {
  for (const char* none : {"0", "0s", "0ms"}) {
    const auto config = parse_alone(std::string("[watchdog]\nbackoff_first = \"") + none + "\"\n");
    ASSERT_TRUE(config) << none << ": " << describe(config.error());
    EXPECT_EQ(config->watchdog.backoff_first, Millis{0}) << none;
  }
  EXPECT_THAT(problem("[watchdog]\nrelist = \"0ms\"\n"), HasSubstr("a duration of at least"));
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
  EXPECT_THAT(problem("[crash]\nmax_bytes = \"100\"\n"),
              HasSubstr("c.toml:2: crash.max_bytes is too little"));
  EXPECT_THAT(problem("watchdog = 3\n"), HasSubstr("must be a section"));
  EXPECT_THAT(problem("[watchdog\n"), HasSubstr("c.toml:1:"));
  EXPECT_THAT(problem("[defaults]\nmounts = [1]\n"), HasSubstr("must be a text"));
}

TEST(LoadTest, NotificationsAreChecked) {
  const auto config = parse_alone(
      "[notify]\non = [\"failed\"]\ndesktop = false\ncommand = [\"notify-send\", \"agentmesh\"]\n"
      "webhook = \"https://hooks.example:8443/x?y=1\"\nsecret = \"file:/etc/hook.key\"\n");
  ASSERT_TRUE(config) << describe(config.error());
  EXPECT_EQ(config->notify.on, std::vector<std::string>{"failed"});
  EXPECT_FALSE(config->notify.desktop);
  EXPECT_EQ(config->notify.command.size(), 2U);
  EXPECT_EQ(webhook_origin(config->notify.webhook), "https://hooks.example:8443");
  EXPECT_THAT(problem("[notify]\ncomand = []\n"),
              HasSubstr("c.toml:2: notify.comand is not a known key (did you "
                        "mean 'command'?)"));
  EXPECT_THAT(problem("[notify]\ndesktop = \"yes\"\n"),
              HasSubstr("c.toml:2: notify.desktop must be true or false"));
  EXPECT_THAT(problem("[notify]\ndesktop = \"true\"\n"), HasSubstr("must be true or false"));
  EXPECT_THAT(problem("[notify]\non = \"failed\"\n"), HasSubstr("must be a list of texts"));
  EXPECT_THAT(problem("[notify]\n\non = [\"fail\"]\n"),
              HasSubstr("c.toml:3: notify.on cannot have 'fail' (any of: "));
  EXPECT_THAT(problem("[notify]\ncommand = \"rm -rf x\"\n"), HasSubstr("must be a list of texts"));
  EXPECT_THAT(problem("[notify]\ncommand = [\"\"]\n"), HasSubstr("has no program"));
  EXPECT_THAT(problem("[notify]\ncommand = [\"a\", \"b\\u0000c\"]\n"), HasSubstr("NUL"));
  EXPECT_THAT(problem("[notify]\nsecret = \"hunter2\"\n"), HasSubstr("env:NAME or file:PATH"));
  EXPECT_THAT(problem("[notify]\nwebhook = \"ftp://x/\"\n"),
              HasSubstr("c.toml:2: notify.webhook is not a web address"));
}

TEST(LoadTest, NotificationsMayComeFromTheEnvironment) {
  EXPECT_FALSE(parse("", "c", environment_of({{"AGENTMESH_NOTIFY_DESKTOP", "false"}}))->notify.desktop);
  EXPECT_FALSE(parse("", "c", environment_of({{"AGENTMESH_NOTIFY_DESKTOP", "off"}})));
  const auto config = parse("[notify]\nwebhook = \"${HOOK}\"\n", "c",
                            environment_of({{"HOOK", "https://h.example/T0/secret"}}));
  ASSERT_TRUE(config);
  EXPECT_EQ(webhook_origin(config->notify.webhook), "https://h.example");
}

TEST(WebhookUrl, OnlyWhatIsSafeToSendTo) {
  EXPECT_EQ(webhook_origin("http://127.0.0.1:9/x"), "http://127.0.0.1:9");
  EXPECT_EQ(webhook_origin("http://[::1]:9"), "http://[::1]:9");
  EXPECT_EQ(webhook_origin("https://[fe80::1]/x"), "https://[fe80::1]");
  EXPECT_EQ(webhook_origin("https://a.example?x=@y"), "https://a.example");
  const auto why = [](std::string_view url) {
    const auto origin = webhook_origin(url);
    return origin ? "accepted" : origin.error().what;
  };
  EXPECT_EQ(why("http://hooks.example/x"), "is http to another host");
  EXPECT_EQ(why("http://127.0.0.1.evil.example/"), "is http to another host");
  EXPECT_EQ(why("http://localhost@evil.example/"), "has a user name in it");
  EXPECT_EQ(why("https://user:pass@h.example/"), "has a user name in it");
  EXPECT_EQ(why("https:///x"), "has no host");
  EXPECT_EQ(why("https://:443/x"), "has no host");
  EXPECT_EQ(why("https://h:0/x"), "has no port of 1 to 65535");
  EXPECT_EQ(why("https://h:99999/x"), "has no port of 1 to 65535");
  EXPECT_EQ(why("https://[::1]x/"), "has no host");
  EXPECT_EQ(why("https://[::1"), "has no host");
  EXPECT_EQ(why("https://h.example/a b"), "has a blank or a character that is not ASCII");
  EXPECT_EQ(why("https://h.example/\r\nX: y"), "has a blank or a character that is not ASCII");
  EXPECT_EQ(why("https://h\xC3\xA9.example/"), "has a blank or a character that is not ASCII");
  EXPECT_EQ(why("h.example"), "is not a web address");
  EXPECT_EQ(why("https://h/" + std::string(kMaxWebhookUrl, 'a')), "is too long");
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

TEST(LoadTest, WhetherASandboxIsUsedIsTrueOrFalse) {
  const auto config =
      parse_alone("[sandbox]\nrequired = true\n[defaults]\nsandbox = false\n[agents.a]\nsandbox = true\n");
  ASSERT_TRUE(config) << describe(config.error());
  EXPECT_TRUE(config->sandbox.required);
  EXPECT_EQ(config->defaults.sandbox, false);
  EXPECT_EQ(config->agents.at("a").sandbox, true);
  EXPECT_THAT(problem("[sandbox]\nrequired = \"required\"\n"), HasSubstr("must be true or false"));
  EXPECT_THAT(problem("[sandbox]\nrequired = \"true\"\n"), HasSubstr("must be true or false"));
  EXPECT_THAT(problem("[defaults]\nsandbox = 1\n"), HasSubstr("must be true or false"));
  const auto set = parse("", "c.toml", environment_of({{"AGENTMESH_SANDBOX_REQUIRED", "true"}}));
  ASSERT_TRUE(set) << describe(set.error());
  EXPECT_TRUE(set->sandbox.required);
  EXPECT_FALSE(parse("", "c.toml", environment_of({{"AGENTMESH_SANDBOX_REQUIRED", "yes"}})));
}

}  // namespace
}  // namespace agentmesh::config
