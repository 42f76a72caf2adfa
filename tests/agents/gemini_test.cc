#include "agents/gemini.h"

#include "agents/gemini_signs.h"
#include "base/text.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {
namespace {

using nlohmann::json;

constexpr std::string_view kId = "706c31e8-eec0-440a-98a5-6c83fa48624a";

LaunchRequest request() { return LaunchRequest{.name = *AgentName::parse("alpha")}; }
const Adapter& gemini() { return **find_adapter("gemini"); }

class At final : public Clock {
 public:
  explicit At(WallTime now) : now_(now) {}
  WallTime now() const override { return now_; }

 private:
  WallTime now_;
};

WallTime at(int hour, int minute, int second) {
  constexpr auto kDay = std::chrono::sys_days(std::chrono::year(2026) / 11 / 24);
  return std::chrono::time_point_cast<WallTime::duration>(
      kDay + std::chrono::hours(hour) + std::chrono::minutes(minute) + std::chrono::seconds(second));
}

// ---- the plan

TEST(GeminiPlanTest, TheSandboxIsOpenAndAsksNothingAtItsFirstStart) {
  LaunchRequest wanted = request();
  wanted.model = "gemini-x";
  wanted.provider = {"http://gateway:8080/v1", ""};
  const auto plan = gemini().plan(wanted);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->argv, (std::vector<std::string>{"gemini", "--approval-mode", "yolo", "--model", "gemini-x",
                                                  "--skip-trust"}));
  EXPECT_EQ(plan->env.at("GOOGLE_GEMINI_BASE_URL"), "http://gateway:8080");
  EXPECT_EQ(plan->env.at("GEMINI_API_KEY"), "agentmesh");
  EXPECT_EQ(plan->env.at("GEMINI_CLI_NO_RELAUNCH"), "true");
  ASSERT_EQ(plan->files.size(), 1U);
  EXPECT_EQ(plan->files[0].path, ".gemini/settings.json");
  EXPECT_EQ(plan->files[0].rewrite, Rewrite::keep);
  const json settings = json::parse(plan->files[0].content);
  EXPECT_EQ(settings["security"]["auth"]["selectedType"], "gemini-api-key");
  EXPECT_EQ(settings["general"]["enableAutoUpdate"], false);
  EXPECT_EQ(settings["hooks"]["Notification"][0]["hooks"][0]["command"], "/opt/agentmesh/hook gemini");
}

TEST(GeminiPlanTest, NoFileIsSearchedForBehindAnAt) {
  const json settings = json::parse(gemini_settings(request()));
  EXPECT_EQ(settings["context"]["fileFiltering"]["enableRecursiveFileSearch"], false);
}

// What it takes for a path is measured: docs/runners.md.
TEST(GeminiMisreadTest, AFolderThatIsAlwaysThereIsNoWord) {
  const std::pair<std::string_view, std::string_view> taken[] = {
      {"@/", "@/"},           {"see @/, please", "@/"}, {"a@.,b", "@."},    {"@.. ", "@."},
      {"@... and", "@.."},    {"@../../", "@../../"},   {"x(@./)", "@./"},  {"@\\/ ", "@\\/"},
      {"a@b and @/\n", "@/"}, {"@//", "@//"},           {"@/. then", "@/"}, {"@\\.!", "@\\."},
      {"@./..", "@./."},
  };
  for (const auto& [message, words] : taken) {
    EXPECT_EQ(gemini().misread(message).value_or(""), words) << message;
  }
}

TEST(GeminiMisreadTest, EverythingElseIsWords) {
  for (const std::string_view message :
       {"@", "a@", "@.", "@. ", "me@host.org", "@/lib/utils", "@README.md", "@.x", "\\@/", "@,", "@...,",
        "@/\\", "@\"/\" ", "@@", "@/@", "@/'", "@\\", "no such sign", "@日本"}) {
    EXPECT_EQ(gemini().misread(message), std::nullopt) << message;
  }
}

TEST(GeminiPlanTest, WithoutAKeyThePersonChoosesHowToLogIn) {
  EXPECT_FALSE(json::parse(gemini_settings(request())).contains("security"));
}

TEST(GeminiPlanTest, TheTokenIsNeverInThePlan) {
  LaunchRequest wanted = request();
  wanted.provider = {"http://gateway:8080/v1beta/", "GEMINI_API_KEY"};
  const auto plan = gemini().plan(wanted);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->env.at("GOOGLE_GEMINI_BASE_URL"), "http://gateway:8080");
  EXPECT_FALSE(plan->env.contains("GEMINI_API_KEY"));
  wanted.provider.token_env = "OTHER";
  EXPECT_EQ(gemini().plan(wanted).error().code, ErrorCode::invalid);
}

TEST(GeminiPlanTest, OnTheHostItsOwnRulesHoldAndNoFileIsWritten) {
  LaunchRequest wanted = request();
  wanted.place = Place::host;
  EXPECT_EQ(gemini().plan(wanted).error().code, ErrorCode::invalid);
  wanted.permissions = Permissions::own;
  const auto plan = gemini().plan(wanted);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->argv, std::vector<std::string>{"gemini"});
  EXPECT_TRUE(plan->files.empty());
  EXPECT_FALSE(plan->env.contains("GEMINI_CLI_NO_RELAUNCH"));
}

TEST(GeminiPlanTest, AConversationIsNamedByAUuidAlone) {
  LaunchRequest wanted = request();
  wanted.conversation = Conversation::continue_session;
  wanted.session_id = "$(reboot)";
  EXPECT_EQ(gemini().plan(wanted).error().code, ErrorCode::invalid);
  wanted.session_id = kId;
  EXPECT_TRUE(gemini().plan(wanted));
}

// Runs the plan with a program that prints its arguments, in a home that holds what `write` puts there.
class GeminiResumeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/gemini-test-XXXXXX";
    home_ = ::mkdtemp(pattern);
    std::filesystem::create_directories(home_ / "work");
    chats_ = home_ / ".gemini/tmp/work/chats";
  }
  void TearDown() override { std::filesystem::remove_all(home_); }

  void conversation(std::string_view id, bool spoken) {
    std::filesystem::create_directories(chats_);
    std::ofstream(chats_.parent_path() / ".project_root") << (home_ / "work").string();
    std::ofstream file(chats_ / ("session-1-" + std::string(id.substr(0, 8)) + ".jsonl"));
    file << R"({"sessionId":")" << id << R"(","kind":"main"})" << '\n'
         << R"({"$set":{"messages":[{"id":"1","timestamp":"2","type":"user","content":[]}]}})" << '\n';
    if (spoken) file << R"({"id":"1","timestamp":"2","type":"user","content":[{"text":"hello"}]})" << '\n';
  }

  std::string started(Conversation how, std::string session = {}) {
    LaunchRequest wanted = request();
    wanted.permissions = Permissions::own;
    wanted.command = "echo";
    wanted.conversation = how;
    wanted.session_id = std::move(session);
    const auto plan = gemini().plan(wanted);
    std::string line = "cd " + (home_ / "work").string() + " && HOME=" + home_.string();
    for (const std::string& word : plan->argv) {
      line += " '";
      for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
      line += "'";
    }
    std::string said;
    FILE* output = ::popen(line.c_str(), "r");
    for (int c = std::fgetc(output); c != EOF; c = std::fgetc(output)) said += static_cast<char>(c);
    EXPECT_EQ(::pclose(output), 0);
    return std::string(trim(said));
  }

  std::filesystem::path home_;
  std::filesystem::path chats_;
};

TEST_F(GeminiResumeTest, OnlyWhatHasAMessageIsResumed) {
  const std::string id(kId);
  EXPECT_EQ(started(Conversation::continue_last), "--skip-trust");
  EXPECT_EQ(started(Conversation::continue_session, id), "--skip-trust");
  conversation(kId, false);
  EXPECT_EQ(started(Conversation::continue_last), "--skip-trust");
  EXPECT_EQ(started(Conversation::continue_session, id), "--skip-trust");
  conversation(kId, true);
  EXPECT_EQ(started(Conversation::continue_last), "--skip-trust --resume latest");
  EXPECT_EQ(started(Conversation::continue_session, id), "--skip-trust --resume " + id);
  EXPECT_EQ(started(Conversation::continue_session, "11111111-2222-4333-8444-555555555555"), "--skip-trust");
}

TEST_F(GeminiResumeTest, AnotherFoldersConversationIsNotTheLastOne) {
  conversation(kId, true);
  std::ofstream(chats_.parent_path() / ".project_root") << "/elsewhere";
  EXPECT_EQ(started(Conversation::continue_last), "--skip-trust");
}

// ---- what it says

Sense sense_of(const std::optional<Sign>& sign) { return sign ? sign->sense : Sense::silent; }

TEST(GeminiSignsTest, ATitleIsReadByItsMark) {
  const At clock(at(17, 0, 0));
  GeminiSigns signs(clock);
  EXPECT_EQ(sense_of(signs.title("✦  Working… (workspace)   ")), Sense::busy);
  EXPECT_EQ(sense_of(signs.title("✦  Considering the problem (workspace)")), Sense::busy);
  EXPECT_EQ(sense_of(signs.title("⏲  Working… (workspace)")), Sense::busy);
  EXPECT_EQ(sense_of(signs.title("◇  Ready (workspace)")), Sense::quiet);
  EXPECT_EQ(sense_of(signs.title("✋  Action Required (workspace)")), Sense::unclear);
  for (const std::string_view other : {"", "bash", "Gemini CLI (workspace)", "x ✦  Working…", "\xff\xfe"}) {
    EXPECT_EQ(signs.title(other), std::nullopt) << other;
  }
}

json hook(std::string_view event) {
  return {{"hook_event_name", event}, {"session_id", kId}, {"cwd", "/workspace"}};
}

TEST(GeminiSignsTest, HooksTellTurnsToolsAndPrompts) {
  const At clock(at(17, 0, 0));
  GeminiSigns signs(clock);
  const HookSaid begun = signs.hook(hook("PreCompress"));
  EXPECT_EQ(begun.sign, std::nullopt);
  EXPECT_EQ(begun.news, (std::vector<Signal>{{SignalKind::session_learned, "hook", "", std::string(kId)}}));
  EXPECT_EQ(sense_of(signs.hook(hook("BeforeAgent")).sign), Sense::busy);
  EXPECT_EQ(sense_of(signs.hook(hook("AfterTool")).sign), Sense::busy);
  const HookSaid tool = signs.hook(hook("BeforeTool"));
  EXPECT_EQ(sense_of(tool.sign), Sense::busy);
  EXPECT_EQ(tool.news.back().kind, SignalKind::tool_called);
  const HookSaid ended = signs.hook(hook("AfterAgent"));
  EXPECT_EQ(sense_of(ended.sign), Sense::idle);
  EXPECT_EQ(ended.news.back().kind, SignalKind::turn_ended);
}

TEST(GeminiSignsTest, APromptIsToldWithWhatItAsksFor) {
  const At clock(at(17, 0, 0));
  GeminiSigns signs(clock);
  json asked = hook("Notification");
  asked["notification_type"] = "ToolPermission";
  asked["message"] = "Tool Confirm Shell Command requires execution";
  asked["details"] = {{"type", "exec"}, {"title", "Confirm Shell Command"}, {"command", "rm -rf build"}};
  EXPECT_EQ(signs.hook(asked).sign, (Sign{Sense::permission, "Shell: rm -rf build"}));
  asked["details"] = {{"type", "edit"}, {"fileName", "a.txt"}, {"filePath", "/workspace/a.txt"}};
  EXPECT_EQ(signs.hook(asked).sign, (Sign{Sense::permission, "Edit: /workspace/a.txt"}));
  asked["details"] = {{"type", "a_later_kind"}};
  EXPECT_EQ(signs.hook(asked).sign,
            (Sign{Sense::permission, "Tool Confirm Shell Command requires execution"}));
  asked["details"] = {{"type", "ask_user"}, {"title", "Ask User"}};
  EXPECT_EQ(signs.hook(asked).sign, (Sign{Sense::question, "Ask User"}));
  asked["notification_type"] = "Weather";
  EXPECT_EQ(signs.hook(asked).sign, std::nullopt);
}

TEST(GeminiSignsTest, GarbageSaysNothing) {
  const At clock(at(17, 0, 0));
  GeminiSigns signs(clock);
  for (const json& garbage :
       {json(), json(7), json::array({1}), json::object(), json{{"hook_event_name", 7}},
        json{{"hook_event_name", "Rain"}}, json{{"hook_event_name", "Notification"}, {"details", 3}},
        json{{"session_id", "a b"}}, json{{"session_id", std::string(500, 'x')}}}) {
    const HookSaid said = signs.hook(garbage);
    EXPECT_EQ(said.sign, std::nullopt) << garbage;
    EXPECT_TRUE(said.news.empty()) << garbage;
  }
}

TEST(GeminiSignsTest, ALimitEndsWithTheMinuteThatItNames) {
  EXPECT_EQ(gemini_limit_end("Access resets at 5:15 PM UTC.", at(17, 10, 0)), at(17, 16, 0));
  EXPECT_EQ(gemini_limit_end("Access resets at 5:15 PM UTC.", at(17, 15, 17)), at(17, 16, 0));
  EXPECT_EQ(gemini_limit_end("Access resets at 12:05 AM UTC.", at(17, 15, 0)), at(24, 6, 0));
  EXPECT_EQ(gemini_limit_end("Access resets at 12:05 PM GMT", at(1, 0, 0)), at(12, 6, 0));
  for (const std::string_view none :
       {"", "resets at 25:00 PM UTC", "resets at 5:75 PM UTC", "resets at 5:15 PM XYZ",
        "resets at 0:15 AM UTC", "resets at 99999999999:15 PM UTC"}) {
    EXPECT_EQ(gemini_limit_end(none, at(17, 0, 0)), std::nullopt) << none;
  }
}

TEST(GeminiSignsTest, AScreensLimitHasItsEndAndNoFrame) {
  const At clock(at(17, 10, 0));
  GeminiSigns signs(clock);
  const auto sign = signs.screen(
      {ScreenMeaning::limit, "Usage limit reached for x.    │ │ Access resets at 5:15 PM UTC.  │"});
  ASSERT_TRUE(sign);
  EXPECT_EQ(sign->detail, "Usage limit reached for x. Access resets at 5:15 PM UTC.");
  EXPECT_EQ(sign->until, at(17, 16, 0));
  EXPECT_EQ(signs.screen({ScreenMeaning::unknown}), std::nullopt);
}

// At 5:16 the dialog that is open still would name a time of tomorrow.
TEST(GeminiSignsTest, ALimitThatIsOverIsNotOneOfTomorrow) {
  At clock(at(17, 10, 0));
  GeminiSigns signs(clock);
  const ScreenReading dialog{ScreenMeaning::limit, "Access resets at 5:15 PM UTC."};
  EXPECT_EQ(signs.screen(dialog)->until, at(17, 16, 0));
  clock = At(at(17, 20, 0));
  EXPECT_EQ(signs.screen(dialog)->until, at(17, 16, 0));
  signs.screen({ScreenMeaning::idle});
  EXPECT_EQ(signs.screen(dialog)->until, at(17, 16, 0) + std::chrono::days(1)) << "another dialog";
}

// ---- the fold, as it happened

std::vector<SignalKind> kinds(const std::vector<Signal>& signals) {
  std::vector<SignalKind> all;
  for (const Signal& signal : signals) all.push_back(signal.kind);
  return all;
}

TEST(GeminiFoldTest, ASilentShellCommandIsNoPrompt) {
  SignFold fold;
  fold.told(Rung::hook, {Sense::busy});
  fold.told(Rung::title, {Sense::busy});
  EXPECT_EQ(kinds(fold.told(Rung::title, {Sense::unclear})),
            std::vector<SignalKind>{SignalKind::unreadable});  // until the screen is read
  EXPECT_TRUE(fold.wants_screen());
  EXPECT_EQ(kinds(fold.told(Rung::screen, {Sense::busy})), std::vector<SignalKind>{SignalKind::busy});
}

TEST(GeminiFoldTest, APromptIsToldByItsHookAndClosedByTheTitle) {
  SignFold fold;
  fold.told(Rung::hook, {Sense::busy});
  fold.told(Rung::title, {Sense::busy});
  EXPECT_EQ(kinds(fold.told(Rung::hook, {Sense::permission, "Shell: ls"})),
            std::vector<SignalKind>{SignalKind::permission_asked});
  EXPECT_TRUE(fold.told(Rung::title, {Sense::unclear}).empty());
  EXPECT_TRUE(fold.told(Rung::screen, {Sense::permission, "Shell ls"}).empty());
  EXPECT_EQ(kinds(fold.told(Rung::title, {Sense::busy})),
            (std::vector<SignalKind>{SignalKind::permission_closed, SignalKind::busy}));
}

TEST(GeminiFoldTest, APromptThatWasRefusedFiresNoHook) {
  SignFold fold;
  fold.told(Rung::hook, {Sense::permission, "Shell: ls"});
  fold.told(Rung::title, {Sense::unclear});
  fold.told(Rung::title, {Sense::quiet});
  EXPECT_EQ(kinds(fold.told(Rung::screen, {Sense::idle})),
            (std::vector<SignalKind>{SignalKind::permission_closed, SignalKind::idle}));
}

TEST(GeminiFoldTest, ALimitsDialogStandsUnderATitleThatSaysWorking) {
  SignFold fold;
  fold.told(Rung::hook, {Sense::busy});
  fold.told(Rung::title, {Sense::busy});
  EXPECT_EQ(kinds(fold.told(Rung::screen, {Sense::limited, "Usage limit reached"})),
            std::vector<SignalKind>{SignalKind::rate_limited});
}

}  // namespace
}  // namespace agentmesh::agents
