#include "agents/adapter.h"
#include "agents/custom.h"
#include "agents/opencode.h"
#include "base/text.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {
namespace {

using nlohmann::json;

LaunchRequest request(std::string_view name) { return LaunchRequest{.name = *AgentName::parse(name)}; }

const Adapter& adapter(std::string_view runner) { return **find_adapter(runner); }

TEST(RegistryTest, AnUnknownRunnerNamesTheKnownOnes) {
  const auto missing = find_adapter("other\x1b[31m");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::invalid);
  EXPECT_EQ(missing.error().hint, "one of: opencode, claude, codex, gemini, custom");
  EXPECT_FALSE(missing.error().what.contains('\x1b'));
}

TEST(RegistryTest, AnIdThatAnAdapterTakesIsOneItPlans) {
  constexpr std::string_view kUuid = "01a20e7f-ef84-7ed2-9311-051ab6283a5c";
  const std::vector<std::pair<std::string_view, std::string_view>> taken{{"opencode", "ses_1"},
                                                                         {"claude", kUuid},
                                                                         {"codex", kUuid},
                                                                         {"gemini", kUuid},
                                                                         {"custom", "my session/1"}};
  const std::vector<std::string> ids{"ses_1",
                                     std::string(kUuid),
                                     "my session/1",
                                     "",
                                     "--yolo",
                                     "x\ny",
                                     "x\x1by",
                                     std::string("x\0y", 3),
                                     "../../x",
                                     std::string(4'096, 'a'),
                                     std::string(36, '-'),
                                     "\xff"};
  for (const auto& [runner, good] : taken) {
    EXPECT_TRUE(adapter(runner).takes_session(good)) << runner;
    for (const std::string& id : ids) {
      LaunchRequest wanted = request("alpha");
      wanted.command = "program";
      wanted.conversation = Conversation::continue_session;
      wanted.session_id = id;
      EXPECT_EQ(adapter(runner).takes_session(id), adapter(runner).plan(wanted).has_value())
          << runner << " " << one_line(id);
    }
    for (const char* bad : {"", "x\ny", "x\x1by", "\xff"})
      EXPECT_FALSE(adapter(runner).takes_session(bad)) << runner;
  }
}

TEST(OpencodePlanTest, TheSandboxGetsAServerAndOpenPermissions) {
  LaunchRequest wanted = request("alpha");
  wanted.http_port = kSandboxHttpPort;
  wanted.model = "demo/scripted/v1";
  wanted.provider = {"http://gateway:8080/v1", "AGENTMESH_TOKEN"};
  const auto plan = adapter("opencode").plan(wanted);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->argv, (std::vector<std::string>{"opencode", "--port", "4096", "--hostname", "127.0.0.1",
                                                  "--model", "demo/scripted/v1"}));
  EXPECT_TRUE(plan->serves_http);
  EXPECT_TRUE(plan->files.empty());
  EXPECT_EQ(plan->env.at("AGENTMESH_HTTP_PORT"), "4096");
  EXPECT_EQ(plan->env.at("AGENTMESH_HOOK"), "/run/agentmesh/hook.sock");
  const json config = json::parse(plan->env.at("OPENCODE_CONFIG_CONTENT"));
  EXPECT_EQ(config["permission"]["*"], "allow");
  EXPECT_EQ(config["autoupdate"], false);
  EXPECT_EQ(config["share"], "disabled");
  const json& provider = config["provider"]["demo"];
  EXPECT_EQ(provider["npm"], "@ai-sdk/openai-compatible");
  EXPECT_EQ(provider["options"]["baseURL"], "http://gateway:8080/v1");
  EXPECT_EQ(provider["options"]["apiKey"], "{env:AGENTMESH_TOKEN}");
  EXPECT_TRUE(provider["models"].contains("scripted/v1"));
}

TEST(OpencodePlanTest, AProviderOpencodeKnowsKeepsItsOwnWayOfSpeaking) {
  LaunchRequest wanted = request("alpha");
  wanted.model = "anthropic/claude-x";
  wanted.provider = {"http://gateway:8080/anthropic", "T"};
  const json config = json::parse(*opencode_config(wanted));
  EXPECT_FALSE(config["provider"]["anthropic"].contains("npm"));
  EXPECT_FALSE(config["provider"]["anthropic"].contains("models"));
}

TEST(OpencodePlanTest, ResumingNamesTheConversation) {
  LaunchRequest wanted = request("alpha");
  wanted.conversation = Conversation::continue_last;
  EXPECT_EQ(adapter("opencode").plan(wanted)->argv, (std::vector<std::string>{"opencode", "--continue"}));
  wanted.conversation = Conversation::continue_session;
  EXPECT_FALSE(adapter("opencode").plan(wanted));
  wanted.session_id = "ses_1";
  EXPECT_EQ(adapter("opencode").plan(wanted)->argv,
            (std::vector<std::string>{"opencode", "--session", "ses_1"}));
}

TEST(OpencodePlanTest, AServerGetsItsPasswordFromAFile) {
  LaunchRequest wanted = request("alpha");
  wanted.surface = Surface::server;
  wanted.http_port = kSandboxHttpPort;
  wanted.password_file = "/run/password";
  wanted.model = "demo/scripted";
  wanted.conversation = Conversation::continue_session;
  wanted.session_id = "ses_1";
  const auto plan = adapter("opencode").plan(wanted);
  ASSERT_TRUE(plan) << describe(plan.error());
  const std::vector<std::string> end(plan->argv.begin() + 3, plan->argv.end());
  EXPECT_EQ(end, (std::vector<std::string>{"sh", "/run/password", "opencode", "serve", "--port", "4096",
                                           "--hostname", "0.0.0.0"}));
  EXPECT_TRUE(plan->serves_http);
  EXPECT_FALSE(plan->env.contains("OPENCODE_SERVER_PASSWORD"));
  wanted.password_file.clear();
  EXPECT_FALSE(adapter("opencode").plan(wanted)) << "never without a password";
  wanted.password_file = "/run/password";
  wanted.place = Place::host;
  wanted.permissions = Permissions::ask;
  EXPECT_FALSE(adapter("opencode").plan(wanted));
  EXPECT_TRUE(adapter("opencode").facts().serves);
  EXPECT_FALSE(adapter("custom").facts().serves);
}

TEST(OpencodePlanTest, PermissionsCanBeAskedForOrLeftAlone) {
  LaunchRequest wanted = request("alpha");
  wanted.permissions = Permissions::ask;
  EXPECT_EQ(json::parse(*opencode_config(wanted))["permission"]["*"], "ask");
  wanted.permissions = Permissions::own;
  EXPECT_FALSE(json::parse(*opencode_config(wanted)).contains("permission"));
}

TEST(OpencodePlanTest, TheHostIsNotASandbox) {
  LaunchRequest wanted = request("alpha");
  wanted.place = Place::host;
  EXPECT_FALSE(adapter("opencode").plan(wanted));
  wanted.permissions = Permissions::own;
  wanted.run_dir = "/home/me/.agentmesh/agents/alpha/run";
  wanted.http_port = 45'001;
  EXPECT_FALSE(adapter("opencode").plan(wanted));  // no password
  wanted.http_password = Secret("pass-word");
  const auto plan = adapter("opencode").plan(wanted);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->env.at("OPENCODE_SERVER_PASSWORD"), "pass-word");
  EXPECT_EQ(plan->env.at("AGENTMESH_HOOK"), "/home/me/.agentmesh/agents/alpha/run/hook.sock");
  EXPECT_FALSE(plan->env.contains("AGENTMESH_HTTP_PORT"));
  for (const std::string& word : plan->argv) EXPECT_FALSE(word.contains("pass-word"));
}

TEST(OpencodePlanTest, AModelNeedsItsProvider) {
  for (const char* bad : {"scripted", "/scripted", "demo/"}) {
    LaunchRequest wanted = request("alpha");
    wanted.model = bad;
    const auto plan = adapter("opencode").plan(wanted);
    ASSERT_FALSE(plan) << bad;
    EXPECT_EQ(plan.error().code, ErrorCode::invalid);
    EXPECT_FALSE(plan.error().hint.empty());
  }
  LaunchRequest wanted = request("alpha");
  wanted.provider.base_url = "http://gateway:8080";
  EXPECT_FALSE(adapter("opencode").plan(wanted));
}

TEST(CustomPlanTest, OneProgramTakesTheShellsPlace) {
  for (const char* line :
       {"fake_agent --echo 'a b'", "/opt/agent \"$HOME\" >log 2>log2", "  aider --yes 2>&1"})
    EXPECT_EQ(shell_line(line), std::string("exec ") + line) << line;
  for (const char* line : {"make watch; echo done",
                           "a && b",
                           "a | b",
                           "(a)",
                           "a\nb",
                           "a &",
                           "FOO=1 agent",
                           "'my agent' x",
                           "$AGENT x",
                           "cd",
                           "exec agent",
                           "while",
                           "{ a",
                           "! a",
                           "echo `date`",
                           "echo $(date)",
                           "",
                           " ",
                           "agent # a note",
                           ">log agent",
                           "~/agent"})
    EXPECT_EQ(shell_line(line), line) << line;
}

TEST(CustomPlanTest, TheCommandIsAShellLine) {
  LaunchRequest wanted = request("alpha");
  EXPECT_FALSE(adapter("custom").plan(wanted));
  wanted.command = "make watch; echo 'done'";
  auto plan = adapter("custom").plan(wanted);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->argv, (std::vector<std::string>{"/bin/sh", "-c", "make watch; echo 'done'"}));
  EXPECT_EQ(plan->env.at("AGENTMESH_AGENT"), "alpha");
  EXPECT_FALSE(plan->env.contains("AGENTMESH_RESUME"));
  wanted.conversation = Conversation::continue_session;
  wanted.session_id = "s1";
  EXPECT_EQ(adapter("custom").plan(wanted)->env.at("AGENTMESH_SESSION"), "s1");
}

}  // namespace
}  // namespace agentmesh::agents
