#include "agents/claude.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

LaunchRequest request() { return LaunchRequest{.name = *AgentName::parse("alpha")}; }

Result<LaunchPlan> plan(const LaunchRequest& wanted) { return ClaudeAdapter().plan(wanted); }

std::string after(const std::vector<std::string>& argv, std::string_view option) {
  const auto found = std::ranges::find(argv, option);
  return found == argv.end() || found + 1 == argv.end() ? "" : *(found + 1);
}

TEST(ClaudePlanTest, TheSandboxAsksNothingAndItsFirstDialogsAreAnswered) {
  LaunchRequest wanted = request();
  wanted.model = "sonnet";
  wanted.provider = {"http://gateway:8080/v1/", ""};
  const auto made = plan(wanted);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->argv[0], "claude");
  EXPECT_EQ(after(made->argv, "--permission-mode"), "bypassPermissions");
  EXPECT_EQ(after(made->argv, "--model"), "sonnet");
  const json settings = json::parse(after(made->argv, "--settings"));
  EXPECT_EQ(settings["skipDangerousModePermissionPrompt"], true);
  EXPECT_EQ(settings["hooks"]["Stop"][0]["hooks"][0]["command"], "/opt/agentmesh/hook claude");
  const json& asks = settings["hooks"]["PermissionRequest"][0]["hooks"][0];
  EXPECT_EQ(asks["command"], "/opt/agentmesh/hook claude --wait");
  EXPECT_EQ(asks["timeout"], 86400);
  EXPECT_EQ(made->env.at("ANTHROPIC_BASE_URL"), "http://gateway:8080");
  EXPECT_EQ(made->env.at("ANTHROPIC_AUTH_TOKEN"), "agentmesh");
  EXPECT_EQ(made->env.at("IS_SANDBOX"), "1");
  ASSERT_EQ(made->files.size(), 1U);
  EXPECT_EQ(made->files[0].path, ".claude.json");
  EXPECT_EQ(made->files[0].rewrite, Rewrite::keep);
  const json state = json::parse(made->files[0].content);
  EXPECT_EQ(state["projects"]["/workspace"]["hasTrustDialogAccepted"], true);
  EXPECT_EQ(made->emptied, std::vector<fs::path>{".claude/sessions"});
}

TEST(ClaudePlanTest, ATokenOfTheEnvironmentIsLeftAlone) {
  LaunchRequest wanted = request();
  wanted.provider = {"http://gateway:8080", "ANTHROPIC_AUTH_TOKEN"};
  EXPECT_FALSE(plan(wanted)->env.contains("ANTHROPIC_AUTH_TOKEN"));
  wanted.provider.token_env = "OTHER";
  EXPECT_EQ(plan(wanted).error().code, ErrorCode::invalid);
  EXPECT_FALSE(plan(request())->env.contains("ANTHROPIC_AUTH_TOKEN"));
}

TEST(ClaudePlanTest, PermissionsAreAskedOrLeftToThePerson) {
  LaunchRequest wanted = request();
  wanted.permissions = Permissions::ask;
  EXPECT_EQ(after(plan(wanted)->argv, "--permission-mode"), "default");
  wanted.permissions = Permissions::own;
  EXPECT_EQ(after(plan(wanted)->argv, "--permission-mode"), "");
  EXPECT_FALSE(
      json::parse(after(plan(wanted)->argv, "--settings")).contains("skipDangerousModePermissionPrompt"));
}

TEST(ClaudePlanTest, OnTheHostNothingIsWrittenAndOpenIsRefused) {
  LaunchRequest wanted = request();
  wanted.place = Place::host;
  EXPECT_EQ(plan(wanted).error().code, ErrorCode::invalid);
  wanted.permissions = Permissions::own;
  const auto made = plan(wanted);
  ASSERT_TRUE(made);
  EXPECT_TRUE(made->files.empty());
  EXPECT_TRUE(made->emptied.empty());
  EXPECT_FALSE(made->env.contains("IS_SANDBOX"));
  const json settings = json::parse(after(made->argv, "--settings"));
  EXPECT_EQ(settings["hooks"]["Stop"][0]["hooks"][0]["command"],
            R"("${AGENTMESH_PROGRAM:-agentmesh}" hook claude)");
}

TEST(ClaudePlanTest, AConversationNeedsAUuid) {
  LaunchRequest wanted = request();
  wanted.conversation = Conversation::continue_session;
  for (const std::string_view id : {"", "7", "$(reboot)", "../../../../../../../../../../../../x"}) {
    wanted.session_id = id;
    EXPECT_EQ(plan(wanted).error().code, ErrorCode::invalid) << id;
  }
}

// The shell that looks whether there is a conversation, run with echo in the place of the program.
class ClaudeResumeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/claude-resume-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    place = pattern;
    fs::create_directories(place / "work_1.x");
    std::string slug = (fs::canonical(place) / "work_1.x").string();
    std::ranges::replace_if(slug, [](unsigned char c) { return std::isalnum(c) == 0; }, '-');
    transcripts = place / ".claude" / "projects" / slug;
    fs::create_directories(transcripts);
  }
  void TearDown() override { fs::remove_all(place); }

  std::string words(Conversation conversation, std::string session) {
    LaunchRequest wanted = request();
    wanted.command = "echo";
    wanted.permissions = Permissions::own;
    wanted.conversation = conversation;
    wanted.session_id = std::move(session);
    auto made = plan(wanted);
    if (!made) return made.error().what;
    std::string line = "cd '" + (place / "work_1.x").string() + "' && HOME='" + place.string() + "' exec";
    for (std::string word : made->argv) {
      for (std::size_t at = 0; (at = word.find('\'', at)) != std::string::npos; at += 4)
        word.replace(at, 1, "'\\''");
      line += " '" + word + "'";
    }
    FILE* out = ::popen(line.c_str(), "r");
    std::string text(4096, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), out));
    ::pclose(out);
    return text.substr(0, text.find(" --settings"));
  }

  fs::path place;
  fs::path transcripts;
  const std::string id = "ee57a98b-2d55-4cfb-93e1-ee93a699595a";
};

TEST_F(ClaudeResumeTest, ANamedConversationIsResumedOrBegunUnderItsName) {
  EXPECT_EQ(words(Conversation::continue_session, id), "--session-id " + id);
  std::ofstream(transcripts / (id + ".jsonl")) << "{}\n";
  EXPECT_EQ(words(Conversation::continue_session, id), "--resume " + id);
}

TEST_F(ClaudeResumeTest, TheLastConversationIsContinuedWhenThereIsOne) {
  EXPECT_EQ(words(Conversation::continue_last, "").substr(0, 10), "--settings");
  std::ofstream(transcripts / "other.jsonl") << "{}\n";
  EXPECT_EQ(words(Conversation::continue_last, ""), "--continue");
}

}  // namespace
}  // namespace agentmesh::agents
