#include "daemon/agent_spec.h"

#include "daemon/mailbox.h"
#include "daemon/signals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::daemon {
namespace {

using nlohmann::json;
using testing::HasSubstr;

TEST(SettingsTest, UnknownNamesAndWrongTypesAreErrors) {
  EXPECT_TRUE(settings_from_json(json::object()));
  for (const json& bad :
       {json{{"colour", "red"}}, json{{"cpus", 1}}, json{{"cpus", "nan"}}, json{{"cpus", "0"}},
        json{{"cpus", "-1"}}, json{{"memory", "2gg"}}, json{{"pids", "many"}}, json{{"mounts", {1}}},
        json{{"env", {{"A", 1}}}}, json{{"env", "A=1"}}, json{{"runner", 5}}, json::array()}) {
    EXPECT_FALSE(settings_from_json(bad)) << bad;
  }
}

TEST(ResolveTest, LayersFillIn) {
  config::Config config;
  config.defaults.network = "none";
  config.agents["demo"].cpus = 3.0;
  config::AgentSettings flags;
  flags.memory_bytes = 512ULL << 20;
  const auto spec = resolve_spec(config, "demo", flags, "/src");
  ASSERT_TRUE(spec) << describe(spec.error());
  EXPECT_EQ(spec->runner, "opencode");
  EXPECT_EQ(spec->cpus, 3.0);
  EXPECT_EQ(spec->memory_bytes, 512ULL << 20);
  EXPECT_EQ(spec->workdir, "/src");
  EXPECT_EQ(resolve_spec(config, "demo", {}, "/src")->memory_bytes, 4ULL << 30);
  EXPECT_EQ(spec_from_json(to_json(*spec))->workdir, "/src");
  EXPECT_NE(hash_of(*spec), hash_of(*resolve_spec(config, "other", flags, "/src")));
}

TEST(ResolveTest, AServerNeedsARunnerThatHasOneAndANetwork) {
  config::AgentSettings flags;
  flags.serve_port = 3001;
  flags.network = "bridge";
  const auto spec = resolve_spec({}, "demo", flags, "/src");
  ASSERT_TRUE(spec) << describe(spec.error());
  EXPECT_EQ(spec->serve_port, 3001);
  EXPECT_TRUE(served(*spec));
  EXPECT_EQ(spec_from_json(to_json(*spec))->serve_port, 3001);
  json older = to_json(*spec);
  older.erase("serve_port");
  EXPECT_FALSE(served(*spec_from_json(older)));
  for (const char* closed : {"none", "egress"}) {
    flags.network = closed;
    EXPECT_EQ(resolve_spec({}, "demo", flags, "/src").error().code, ErrorCode::invalid);
    EXPECT_THAT(resolve_spec({}, "demo", flags, "/src").error().hint, HasSubstr("--network bridge"));
  }
  flags.network = "bridge";
  flags.runner = "custom";
  flags.command = "true";
  EXPECT_EQ(resolve_spec({}, "demo", flags, "/src").error().what, "the runner custom has no server");
  EXPECT_FALSE(settings_from_json(json{{"serve_port", 0}}));
  EXPECT_FALSE(settings_from_json(json{{"serve_port", 65'536}}));
  EXPECT_FALSE(settings_from_json(json{{"serve_port", "3001"}}));
  EXPECT_EQ(settings_from_json(json{{"serve_port", 1}})->serve_port, 1);
}

TEST(ResolveTest, EgressIsRefusedUntilItCanBeKept) {
  const auto spec = resolve_spec({}, "demo", {}, "/src");
  ASSERT_FALSE(spec);
  EXPECT_EQ(spec.error().code, ErrorCode::denied);
  EXPECT_THAT(spec.error().hint, HasSubstr("--network none"));
}

TEST(ResolveTest, WhatLooksLikeASecretIsRefused) {
  config::Config config;
  config.defaults.network = "none";
  config::AgentSettings flags;
  flags.env["OPENAI_API_KEY"] = "sk-abcdefghijklmnopqrstuvwxyz";
  const auto spec = resolve_spec(config, "demo", flags, "/src");
  ASSERT_FALSE(spec);
  EXPECT_EQ(spec.error().code, ErrorCode::denied);
  EXPECT_EQ(describe(spec.error()).find("sk-abc"), std::string::npos);
}

TEST(ResolveTest, VariablesThatAreOursAreRefusedInBothPlaces) {
  for (const bool sandbox : {true, false}) {
    config::AgentSettings flags;
    flags.sandbox = sandbox;
    if (sandbox) flags.network = "none";
    for (const char* name : {"AGENTMESH_HOOK", "OPENCODE_SERVER_PASSWORD"}) {
      flags.env = {{name, "/nope"}};
      const auto spec = resolve_spec({}, "demo", flags, "/src");
      ASSERT_FALSE(spec) << name;
      EXPECT_EQ(spec.error().code, ErrorCode::invalid);
      EXPECT_THAT(spec.error().what, HasSubstr(name));
    }
    flags.env = {{"OPENCODE_CONFIG_CONTENT", "{}"}, {"HOMEPAGE", "x"}};
    EXPECT_TRUE(resolve_spec({}, "demo", flags, "/src"));
    flags.env = {{"HOME", "/elsewhere"}};
    EXPECT_EQ(resolve_spec({}, "demo", flags, "/src").has_value(), !sandbox);
  }
}

config::AgentSettings on_host(std::string runner) {
  config::AgentSettings flags;
  flags.sandbox = false;
  flags.runner = std::move(runner);
  if (flags.runner == "custom") flags.command = "true";
  return flags;
}

TEST(HostSpecTest, WhatIsTheContainersIsEmptyAndTheRunnersOwnRulesHold) {
  config::Config config;
  config.defaults.permissions = "open";
  config.defaults.mounts = {"/a:/b"};
  const auto spec = resolve_spec(config, "demo", on_host("opencode"), "/src");
  ASSERT_TRUE(spec) << describe(spec.error());
  EXPECT_EQ(spec->place, agents::Place::host);
  EXPECT_EQ(spec->permissions, "own");
  EXPECT_TRUE(spec->image.empty() && spec->network.empty() && spec->mounts.empty());
  EXPECT_EQ(spec->memory_bytes, 0U);
  EXPECT_EQ(spec_from_json(to_json(*spec))->place, agents::Place::host);
  json old = to_json(*spec);
  old.erase("place");
  EXPECT_EQ(spec_from_json(old)->place, agents::Place::sandbox);
}

TEST(HostSpecTest, TheNearestLayerDecidesWhere) {
  config::Config config;
  config.defaults.network = "none";
  config.agents["demo"].sandbox = false;
  EXPECT_EQ(resolve_spec(config, "demo", {}, "/src")->place, agents::Place::host);
  EXPECT_EQ(resolve_spec(config, "other", {}, "/src")->place, agents::Place::sandbox);
  config::AgentSettings flags;
  flags.sandbox = true;
  EXPECT_EQ(resolve_spec(config, "demo", flags, "/src")->place, agents::Place::sandbox);
}

TEST(HostSpecTest, ARequiredSandboxIsARule) {
  config::Config config;
  config.sandbox.required = true;
  const auto spec = resolve_spec(config, "demo", on_host("custom"), "/src");
  ASSERT_FALSE(spec);
  EXPECT_EQ(spec.error().code, ErrorCode::denied);
  EXPECT_THAT(spec.error().hint, HasSubstr("sandbox-required"));
  EXPECT_TRUE(allow_place(agents::Place::sandbox, config));
}

TEST(HostSpecTest, NobodyIsToldToActUnaskedWhereNothingBoundsIt) {
  config::AgentSettings flags = on_host("opencode");
  flags.permissions = "open";
  const auto spec = resolve_spec({}, "demo", flags, "/src");
  ASSERT_FALSE(spec);
  EXPECT_EQ(spec.error().code, ErrorCode::denied);
  EXPECT_THAT(spec.error().hint, HasSubstr("open-needs-sandbox"));
  flags = on_host("custom");
  flags.permissions = "open";
  EXPECT_TRUE(resolve_spec({}, "demo", flags, "/src"));
}

TEST(HostSpecTest, FlagsOfTheContainerAreErrors) {
  const std::vector<std::pair<std::string, std::function<void(config::AgentSettings&)>>> flags{
      {"--sandbox-image", [](auto& s) { s.image = "x"; }},
      {"--sandbox-cpu", [](auto& s) { s.cpus = 1; }},
      {"--sandbox-memory", [](auto& s) { s.memory_bytes = 1ULL << 30; }},
      {"--sandbox-pids", [](auto& s) { s.pids = 5; }},
      {"--network", [](auto& s) { s.network = "none"; }},
      {"--mount", [](auto& s) { s.mounts = {"/a:/b"}; }},
  };
  for (const auto& [name, set] : flags) {
    config::AgentSettings settings = on_host("custom");
    set(settings);
    const auto spec = resolve_spec({}, "demo", settings, "/src");
    ASSERT_FALSE(spec) << name;
    EXPECT_EQ(spec.error().code, ErrorCode::invalid);
    EXPECT_THAT(spec.error().what, HasSubstr(name));
  }
}

watchdog::Agent agent_in(watchdog::Phase phase, watchdog::Condition condition) {
  auto agent = watchdog::make_agent(*AgentName::parse("demo"), from_millis(1));
  agent.wanted = watchdog::Wanted::running;
  agent.phase = phase;
  agent.live.condition = condition;
  return agent;
}

TEST(RefusalTest, NothingIsSentIntoADialogOrAnUnknownState) {
  using watchdog::Condition;
  using watchdog::Phase;
  for (const Condition condition : {Condition::waiting_permission, Condition::waiting_question,
                                    Condition::auth_required, Condition::rate_limited, Condition::unknown}) {
    for (const bool own_channel : {false, true}) {
      const auto no = refusal(agent_in(Phase::up, condition), own_channel);
      ASSERT_TRUE(no) << watchdog::to_string(condition);
      EXPECT_FALSE(no->waits);
    }
  }
  EXPECT_FALSE(refusal(agent_in(Phase::up, Condition::idle), false));
  EXPECT_FALSE(refusal(agent_in(Phase::up, Condition::busy), true));
  EXPECT_TRUE(refusal(agent_in(Phase::up, Condition::busy), false)->waits);
  for (const Phase phase : {Phase::absent, Phase::failed, Phase::stopping, Phase::ended, Phase::checking}) {
    EXPECT_TRUE(refusal(agent_in(phase, Condition::idle), true)) << watchdog::to_string(phase);
  }
}

TEST(SignalsTest, OwnEchoIsNoProof) {
  agents::Signal busy{.kind = agents::SignalKind::busy, .source = "hook"};
  EXPECT_TRUE(proves_change(busy));
  busy.source = "output";
  EXPECT_FALSE(proves_change(busy));
  EXPECT_FALSE(proves_change({.kind = agents::SignalKind::activity, .source = "event"}));
}

TEST(SignalsTest, ReadyOfAnUnreadableRunnerMeansThatItRunsAndNoMore) {
  const agents::Signal ready{.kind = agents::SignalKind::ready, .source = "output"};
  EXPECT_FALSE(watchdog_signal(ready, RunId{1}, {}, true));
  EXPECT_EQ(watchdog_signal(ready, RunId{1}, {}, false)->kind, watchdog::SignalKind::answers);
}

TEST(AssignmentTextTest, NamesTheItemAndItsRepository) {
  hub::InboxItem item;
  item.id = "itm_1";
  item.title = "Fix";
  item.body = "Please";
  item.repo = "https://example.org/a.git";
  item.ref = "main";
  const std::string text = assignment_text({&item}, false);
  EXPECT_EQ(
      text,
      "[assignment itm_1, priority normal] Fix\n\nPlease\n\nRepository: https://example.org/a.git at main");
  EXPECT_THAT(assignment_text({&item, &item}, true), testing::StartsWith("You were restarted."));
}

}  // namespace
}  // namespace agentmesh::daemon
