#include "agents/adapter.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentmesh::agents {
namespace {

using testing::Contains;
using testing::HasSubstr;

LaunchRequest request() {
  LaunchRequest wanted{.name = *AgentName::parse("alpha")};
  wanted.http_port = kSandboxHttpPort;
  return wanted;
}

Result<LaunchPlan> plan(const LaunchRequest& wanted) { return (*find_adapter("codex"))->plan(wanted); }

TEST(CodexPlan, InASandboxItsServerRunsBesideIt) {
  const auto made = plan(request());
  ASSERT_TRUE(made);
  ASSERT_GT(made->argv.size(), 4U);
  EXPECT_EQ(made->argv[0], "/bin/sh");
  EXPECT_THAT(made->argv[2], HasSubstr("app-server --listen"));
  EXPECT_EQ(made->argv[3], "codex");
  EXPECT_EQ(made->env.at("AGENTMESH_HTTP_PORT"), "4096");
  EXPECT_EQ(made->env.at("AGENTMESH_CODEX_AT"), "ws://127.0.0.1:4096");
  EXPECT_TRUE(made->serves_http);
  EXPECT_TRUE(made->files.empty());
  EXPECT_EQ(made->env.at("AGENTMESH_CODEX_RULES"),
            R"(-c approval_policy="never" -c sandbox_mode="danger-full-access")");
  EXPECT_THAT(made->argv, Contains(R"(projects={"/workspace"={trust_level="trusted"}})"));
  EXPECT_THAT(made->argv, Contains("check_for_update_on_startup=false"));
  EXPECT_FALSE(made->env.contains("AGENTMESH_RESUME"));
}

TEST(CodexPlan, PermissionsCanBeAskedForOrLeftAlone) {
  LaunchRequest wanted = request();
  wanted.permissions = Permissions::ask;
  EXPECT_EQ(plan(wanted)->env.at("AGENTMESH_CODEX_RULES"),
            R"(-c approval_policy="on-request" -c sandbox_mode="read-only")");
  wanted.permissions = Permissions::own;
  EXPECT_EQ(plan(wanted)->env.at("AGENTMESH_CODEX_RULES"), "");
}

TEST(CodexPlan, AModelEndpointIsAProviderOfItsOwn) {
  LaunchRequest wanted = request();
  wanted.model = "gpt-5.5";
  wanted.provider = {R"(http://gateway:8080/v1?"x")", "AGENTMESH_TOKEN"};
  const auto argv = plan(wanted)->argv;
  EXPECT_THAT(argv, Contains(R"(model_provider="agentmesh")"));
  EXPECT_THAT(
      argv, Contains(R"(model_providers.agentmesh={name="agentmesh",base_url="http://gateway:8080/v1?\"x\"",)"
                     R"(wire_api="responses",env_key="AGENTMESH_TOKEN"})"));
  EXPECT_THAT(argv, Contains(R"(model="gpt-5.5")"));
  EXPECT_THAT(argv, Contains(R"(notice.model_migrations={"gpt-5.5"="gpt-6-sol"})"));
}

TEST(CodexPlan, ResumingNamesTheConversation) {
  LaunchRequest wanted = request();
  wanted.conversation = Conversation::continue_last;
  EXPECT_EQ(plan(wanted)->env.at("AGENTMESH_RESUME"), "--last");
  wanted.conversation = Conversation::continue_session;
  wanted.session_id = "01a20e7f-ef84-7ed2-9311-051ab6283a5c";
  EXPECT_EQ(plan(wanted)->env.at("AGENTMESH_RESUME"), wanted.session_id);
  for (const char* bad : {"", "--last x", "a b", "$(id)"}) {
    wanted.session_id = bad;
    EXPECT_FALSE(plan(wanted)) << bad;
  }
}

TEST(CodexPlan, TheHostIsNotASandbox) {
  LaunchRequest wanted = request();
  wanted.place = Place::host;
  EXPECT_FALSE(plan(wanted));
  wanted.permissions = Permissions::ask;
  wanted.run_dir = "/mesh/agents/a/run";
  wanted.conversation = Conversation::continue_last;
  const auto made = plan(wanted);
  ASSERT_TRUE(made);
  EXPECT_THAT(made->env.at("AGENTMESH_CODEX_RULES"), HasSubstr(R"(sandbox_mode="read-only")"));
  EXPECT_EQ(made->env.at("AGENTMESH_CODEX_AT"), "unix:///mesh/agents/a/run/http.sock");
  EXPECT_EQ(made->env.at("AGENTMESH_RESUME"), "--last");
  EXPECT_FALSE(made->serves_http);
  wanted.permissions = Permissions::own;
  EXPECT_EQ(plan(wanted)->env.at("AGENTMESH_CODEX_RULES"), "");
}

TEST(CodexPlan, ControlCharactersAreRefused) {
  LaunchRequest wanted = request();
  wanted.model = "gpt\n5";
  EXPECT_FALSE(plan(wanted));
  wanted.model = "";
  wanted.provider.base_url = "http://x\x7f";
  EXPECT_FALSE(plan(wanted));
}

}  // namespace
}  // namespace agentmesh::agents
