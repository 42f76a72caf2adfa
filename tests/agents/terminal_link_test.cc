// The Link of a terminal program against real sockets and files in a folder of its own; no agent, no sleep.
#include "agents/terminal_link.h"

#include "agents/claude_signs.h"
#include "agents/held_prompts.h"
#include "agents/status_folder.h"
#include "base/offload.h"
#include "net/http_client.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <linux/sockios.h>
#include <optional>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::string_view kSession = "ee57a98b-2d55-4cfb-93e1-ee93a699595a";
constexpr auto kLimit = std::chrono::seconds(5);

sockaddr_un address(const fs::path& path) {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  path.string().copy(to.sun_path, sizeof to.sun_path - 1);
  return to;
}

// A hook that waits: bound to a name of its own in the run folder.
class Hook {
 public:
  explicit Hook(fs::path run, std::string name = "") : run_(std::move(run)) {
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (name.empty()) return;
    const auto own = address(run_ / name);
    ::bind(socket_, reinterpret_cast<const sockaddr*>(&own), sizeof own);
  }
  ~Hook() { ::close(socket_); }
  Hook(const Hook&) = delete;
  Hook& operator=(const Hook&) = delete;

  void say(const json& message) {
    const std::string text = message.dump();
    const auto to = address(run_ / "hook.sock");
    ASSERT_GT(
        ::sendto(socket_, text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  }
  bool was_read() const {
    int waiting = 0;
    return ::ioctl(socket_, SIOCOUTQ, &waiting) == 0 && waiting == 0;
  }
  std::string heard() {
    std::string text(4096, '\0');
    const ssize_t bytes = ::recv(socket_, text.data(), text.size(), 0);
    return bytes < 0 ? "" : text.substr(0, static_cast<std::size_t>(bytes));
  }

 private:
  fs::path run_;
  int socket_ = -1;
};

json asks(std::string_view id, std::string_view command, int repeat = 0) {
  return {{"runner", "claude"},
          {"id", id},
          {"call", fmt::format("call-{}", command)},
          {"repeat", repeat},
          {"hook",
           {{"hook_event_name", "PermissionRequest"},
            {"session_id", kSession},
            {"tool_name", "Bash"},
            {"tool_input", {{"command", command}}}}}};
}

json tells(std::string_view event, std::string_view command = "") {
  return {{"runner", "claude"},
          {"call", fmt::format("call-{}", command)},
          {"hook", {{"hook_event_name", event}, {"session_id", kSession}}}};
}

class TerminalLinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/link-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    place = pattern;
    sessions = place / "home" / ".claude" / "sessions";
    fs::create_directories(sessions);
    fs::create_directories(place / "run");
    link = make();
    ASSERT_TRUE(link->start());
  }
  void TearDown() override {
    link.reset();
    io.restart();
    io.poll();
    fs::remove_all(place);
  }

  std::unique_ptr<Link> make() {
    return make_terminal_link(
        {.executor = io.get_executor(),
         .http = http,
         .clock = clock,
         .offload = offload,
         .run_dir = place / "run",
         .home = place / "home",
         .http_password = {},
         .session_id = std::string(kSession)},
        [this](Signal signal) { signals.push_back(std::move(signal)); },
        {.runner = "claude",
         .signs = std::make_unique<ClaudeSigns>(std::string(kSession), clock, Place::sandbox),
         .status_folder = ".claude/sessions"});
  }

  // The condition may take what it sees, so it is asked no more once it was true.
  template <typename Condition>
  bool eventually(Condition condition) {
    const auto until = std::chrono::steady_clock::now() + kLimit;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > until) return false;
      io.restart();
      io.run_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  void status(std::string_view word, std::string_view waiting_for = "") {
    json file{{"pid", 7}, {"sessionId", kSession}, {"kind", "interactive"}, {"status", word}};
    if (!waiting_for.empty()) file["waitingFor"] = waiting_for;
    std::ofstream(sessions / "7.json") << file.dump();
  }

  bool told(SignalKind kind, std::string_view id = "") {
    return eventually([&] {
      return !signals.empty() && signals.back().kind == kind && (id.empty() || signals.back().id == id);
    });
  }

  // The dialog is open and its hook waits.
  void ask(Hook& hook, std::string_view id, std::string_view command) {
    status("waiting", "permission prompt");
    hook.say(asks(id, command));
    ASSERT_TRUE(told(SignalKind::permission_asked, id));
  }

  struct Outcome {
    bool done = false;
    Result<> result;
  };
  std::shared_ptr<Outcome> answer(std::string prompt, PermissionAnswer verdict) {
    auto outcome = std::make_shared<Outcome>();
    boost::asio::co_spawn(io, link->answer(std::move(prompt), verdict, "because"),
                          [outcome](std::exception_ptr, Result<> result) {
                            outcome->result = std::move(result);
                            outcome->done = true;
                          });
    return outcome;
  }

  boost::asio::io_context io;
  net::HttpClient http{io.get_executor()};
  Offload offload;
  ManualClock clock;
  fs::path place;
  fs::path sessions;
  std::vector<Signal> signals;
  std::unique_ptr<Link> link;
};

TEST_F(TerminalLinkTest, TheStatusFileIsFollowed) {
  status("idle");
  ASSERT_TRUE(told(SignalKind::idle));
  EXPECT_EQ(signals.front().kind, SignalKind::ready);
  EXPECT_EQ(signals.back().source, "status");
  status("busy");
  EXPECT_TRUE(told(SignalKind::busy));
  status("waiting", "permission prompt");
  EXPECT_TRUE(told(SignalKind::permission_asked));
  status("idle");
  EXPECT_TRUE(told(SignalKind::idle));
  fs::remove(sessions / "7.json");
  EXPECT_TRUE(told(SignalKind::unreadable));
}

TEST_F(TerminalLinkTest, AFolderThatComesLaterIsFound) {
  link.reset();
  fs::remove_all(place / "home" / ".claude");
  link = make();
  ASSERT_TRUE(link->start());
  fs::create_directories(sessions);
  status("busy");
  link->title("");  // any word of the program makes it look
  EXPECT_TRUE(told(SignalKind::busy));
}

TEST_F(TerminalLinkTest, WhatIsNoSmallFileIsNotRead) {
  status("idle");
  ASSERT_TRUE(told(SignalKind::idle));
  fs::rename(sessions / "7.json", place / "outside.json");
  EXPECT_TRUE(told(SignalKind::unreadable));
  fs::create_symlink(place / "outside.json", sessions / "7.json");
  ::mkfifo((sessions / "8.json").c_str(), 0600);
  std::ofstream(sessions / "9.json") << std::string(kMaxStatusBytes + 1, ' ');
  Hook(place / "run").say(tells("UserPromptSubmit"));
  ASSERT_TRUE(told(SignalKind::busy));
  EXPECT_EQ(signals.back().source, "hook");
}

TEST_F(TerminalLinkTest, AFolderThatBecameALinkIsNotFollowed) {
  status("idle");
  ASSERT_TRUE(told(SignalKind::idle));
  fs::rename(sessions, place / "outside");
  fs::create_directory_symlink(place / "outside", sessions);
  EXPECT_TRUE(told(SignalKind::unreadable));
}

TEST_F(TerminalLinkTest, APromptHasTheWordsOfItsHookWhicheverComesFirst) {
  Hook hook(place / "run", "answer.a");
  ask(hook, "a", "make");
  EXPECT_EQ(signals.back().detail, "Bash: make");
  status("busy");
  ASSERT_TRUE(told(SignalKind::busy));
  Hook second(place / "run", "answer.b");
  second.say(asks("b", "ls"));
  ASSERT_TRUE(told(SignalKind::permission_asked, "b"));
}

TEST_F(TerminalLinkTest, AnAnswerGoesToTheHookThatAsked) {
  Hook hook(place / "run", "answer.a");
  ask(hook, "a", "make");
  const auto outcome = answer("a", PermissionAnswer::allow_once);
  std::string heard;
  ASSERT_TRUE(eventually([&] { return !(heard = hook.heard()).empty(); }));
  EXPECT_EQ(json::parse(heard)["id"], "a");
  const json output = json::parse(json::parse(heard)["output"].get<std::string>());
  EXPECT_EQ(output["hookSpecificOutput"]["decision"]["behavior"], "allow");
  EXPECT_FALSE(outcome->done);
  hook.say({{"runner", "claude"}, {"id", "forged"}, {"taken", true}});
  hook.say({{"runner", "claude"}, {"id", "a"}, {"taken", true}});
  ASSERT_TRUE(eventually([&] { return outcome->done; }));
  EXPECT_TRUE(outcome->result);
  // Until the program shows that it knows, nothing is answered or told twice.
  const std::size_t told_before = signals.size();
  Hook(place / "run").say(tells("SessionStart"));
  const auto again = answer("a", PermissionAnswer::allow_once);
  ASSERT_TRUE(eventually([&] { return again->done; }));
  EXPECT_EQ(again->result.error().code, ErrorCode::conflict);
  EXPECT_EQ(signals.size(), told_before);
}

TEST_F(TerminalLinkTest, APersonWhoAnswersFirstIsNotOvertaken) {
  Hook hook(place / "run", "answer.a");
  ask(hook, "a", "make");
  const auto outcome = answer("a", PermissionAnswer::deny);
  ASSERT_TRUE(eventually([&] { return !hook.heard().empty(); }));
  status("busy");
  ASSERT_TRUE(eventually([&] { return outcome->done; }));
  EXPECT_EQ(outcome->result.error().code, ErrorCode::not_found);
}

TEST_F(TerminalLinkTest, AHookWhosePromptIsGoneIsReleased) {
  Hook hook(place / "run", "answer.a");
  ask(hook, "a", "make");
  status("busy");
  std::string heard;
  ASSERT_TRUE(eventually([&] { return !(heard = hook.heard()).empty(); }));
  EXPECT_EQ(json::parse(heard), (json{{"id", "a"}, {"output", ""}}));
  // It did not hear, and asks again: that is no new prompt.
  ASSERT_TRUE(told(SignalKind::busy));
  hook.say(asks("a", "make", 3));
  ASSERT_TRUE(eventually([&] { return !(heard = hook.heard()).empty(); }));
  EXPECT_EQ(json::parse(heard), (json{{"id", "a"}, {"output", ""}}));
  EXPECT_EQ(signals.back().kind, SignalKind::busy);
}

// On a slow machine a person may be quicker than the hook.
TEST_F(TerminalLinkTest, AHookThatComesAfterTheAnswerIsTakenBack) {
  status("busy");
  ASSERT_TRUE(told(SignalKind::busy));
  Hook hook(place / "run", "answer.a");
  hook.say(asks("a", "make"));
  ASSERT_TRUE(told(SignalKind::permission_asked, "a"));
  hook.say(asks("a", "make", 1));
  EXPECT_TRUE(told(SignalKind::busy));
  EXPECT_TRUE(eventually([&] { return !hook.heard().empty(); }));
}

TEST_F(TerminalLinkTest, ANewDaemonLearnsOfAPromptThatWasOpen) {
  Hook hook(place / "run", "answer.a");
  ask(hook, "a", "make");
  link.reset();
  signals.clear();
  link = make();
  ASSERT_TRUE(link->start());
  ASSERT_TRUE(told(SignalKind::permission_asked));
  hook.say(asks("a", "make", 1));
  ASSERT_TRUE(told(SignalKind::permission_asked, "a"));
  EXPECT_EQ(signals.back().detail, "Bash: make");
}

// Told by hooks alone, and by hooks and the status file. The value: the file is there.
class ParallelPromptsTest : public TerminalLinkTest, public ::testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    TerminalLinkTest::SetUp();
    first_.emplace(place / "run", "answer.a");
    second_.emplace(place / "run", "answer.b");
  }
  // The same call twice, when `second` is not given.
  void ask_both(std::string_view second = "make") {
    if (GetParam()) status("waiting", "permission prompt");
    first_->say(asks("a", "make"));
    ASSERT_TRUE(told(SignalKind::permission_asked, "a"));
    second_->say(asks("b", second));
    settle();
    EXPECT_EQ(signals.back().id, "a") << "the one that is shown stays shown";
  }
  // What was said so far has been heard: datagrams are read in their order.
  void settle() {
    Hook last(place / "run");
    last.say(tells("SessionStart"));
    ASSERT_TRUE(eventually([&] { return last.was_read(); }));
  }
  void take(Hook& hook, std::string_view id) {
    const auto outcome = answer(std::string(id), PermissionAnswer::allow_once);
    std::string heard;
    ASSERT_TRUE(eventually([&] { return !(heard = hook.heard()).empty(); }));
    EXPECT_EQ(json::parse(heard)["id"], id);
    hook.say({{"runner", "claude"}, {"id", id}, {"taken", true}});
    ASSERT_TRUE(eventually([&] { return outcome->done; }));
    EXPECT_TRUE(outcome->result);
  }
  std::size_t asked() const {
    return static_cast<std::size_t>(std::ranges::count(signals, SignalKind::permission_asked, &Signal::kind));
  }

  std::optional<Hook> first_;
  std::optional<Hook> second_;
};
INSTANTIATE_TEST_SUITE_P(Told, ParallelPromptsTest, ::testing::Values(false, true));

TEST_P(ParallelPromptsTest, TheFirstIsShownUntilItIsTakenThenTheNext) {
  ask_both("ls");
  take(*first_, "a");
  ASSERT_TRUE(told(SignalKind::permission_asked, "b"));
  EXPECT_EQ(signals.back().detail, "Bash: ls");
  EXPECT_EQ(second_->heard(), "");
  take(*second_, "b");
  EXPECT_EQ(asked(), 2U);
}

TEST_P(ParallelPromptsTest, AnAnswerGoesToThePromptItNamesOrToNone) {
  ask_both();
  take(*second_, "b");
  EXPECT_EQ(first_->heard(), "");
  const auto none = answer("c", PermissionAnswer::allow_once);
  ASSERT_TRUE(eventually([&] { return none->done; }));
  EXPECT_EQ(none->result.error().code, ErrorCode::not_found);
  EXPECT_EQ(first_->heard(), "");
}

TEST_P(ParallelPromptsTest, WhatIsToldAgainDoesNotChangeWhatIsShown) {
  ask_both("ls");
  second_->say(asks("b", "ls", 1));
  first_->say(asks("a", "make", 1));
  second_->say(asks("b", "ls", 2));
  settle();
  EXPECT_EQ(asked(), 1U);
  EXPECT_EQ(signals.back().id, "a");
}

TEST_P(ParallelPromptsTest, TheEndOfAnAllowedCallIsNotTheEndOfItsEqual) {
  ask_both();
  take(*first_, "a");
  ASSERT_TRUE(told(SignalKind::permission_asked, "b"));
  Hook(place / "run").say(tells("PostToolUse", "make"));
  settle();
  EXPECT_EQ(signals.back().id, "b");
  EXPECT_EQ(second_->heard(), "") << "its hook waits on";
  take(*second_, "b");
}

TEST_P(ParallelPromptsTest, OneThatWasAnsweredInThePaneMakesRoom) {
  ask_both("ls");
  Hook(place / "run").say(tells("PostToolUse", "make"));
  ASSERT_TRUE(told(SignalKind::permission_asked, "b"));
  EXPECT_EQ(json::parse(first_->heard()), (json{{"id", "a"}, {"output", ""}}));
  take(*second_, "b");
}

TEST_P(ParallelPromptsTest, OneWhoseHookWasEndedMakesRoom) {
  if (GetParam()) status("waiting", "permission prompt");
  auto refused = std::make_unique<Hook>(place / "run", "answer.r");
  refused->say(asks("r", "rm"));
  ASSERT_TRUE(told(SignalKind::permission_asked, "r"));
  first_->say(asks("a", "make"));
  settle();
  refused.reset();  // "no" in the pane
  const auto gone = answer("r", PermissionAnswer::allow_once);
  ASSERT_TRUE(eventually([&] { return gone->done; }));
  EXPECT_EQ(gone->result.error().code, ErrorCode::not_found);
  ASSERT_TRUE(told(SignalKind::permission_asked, "a"));
  take(*first_, "a");
}

TEST_P(ParallelPromptsTest, AnotherCallThatBeginsDoesNotCloseThem) {
  ask_both("ls");
  Hook(place / "run").say(tells("PreToolUse", "cat"));
  settle();
  EXPECT_EQ(signals.back().kind, SignalKind::permission_asked);
  EXPECT_EQ(signals.back().id, "a");
  take(*first_, "a");
}

TEST_P(ParallelPromptsTest, WhatIsOverTheLimitIsHeldWhenThereIsRoom) {
  ask_both("ls");
  std::vector<std::unique_ptr<Hook>> more;
  for (std::size_t i = 0; i < kMaxHeldPrompts; ++i) {
    const std::string id = fmt::format("m{}", i);
    more.push_back(std::make_unique<Hook>(place / "run", "answer." + id));
    more.back()->say(asks(id, id));
    settle();
  }
  EXPECT_EQ(signals.back().id, "a") << "the one that is shown is not forgotten";
  take(*first_, "a");
  ASSERT_TRUE(told(SignalKind::permission_asked, "b"));
  more.back()->say(asks(fmt::format("m{}", kMaxHeldPrompts - 1), "late", 1));
  settle();
  take(*more.back(), fmt::format("m{}", kMaxHeldPrompts - 1));
}

TEST_F(TerminalLinkTest, ATitleThatShowsWorkClosesThePromptThatHooksAloneTold) {
  Hook first(place / "run", "answer.a");
  Hook second(place / "run", "answer.b");
  first.say(asks("a", "make"));
  second.say(asks("b", "ls"));
  ASSERT_TRUE(told(SignalKind::permission_asked, "a"));
  ASSERT_TRUE(eventually([&] { return link->session_id() == kSession; }));
  link->title("◐ work");
  ASSERT_TRUE(told(SignalKind::permission_asked, "b"));
  EXPECT_TRUE(eventually([&] { return !first.heard().empty(); })) << "its hook is let go";
}

TEST_F(TerminalLinkTest, WithoutAHookThatWaitsKeysAreLeft) {
  status("waiting", "permission prompt");
  ASSERT_TRUE(told(SignalKind::permission_asked));
  auto outcome = answer("", PermissionAnswer::allow_once);
  ASSERT_TRUE(eventually([&] { return outcome->done; }));
  EXPECT_EQ(outcome->result.error().code, ErrorCode::invalid);
  {
    Hook hook(place / "run", "answer.a");
    hook.say(asks("a", "make"));
    ASSERT_TRUE(told(SignalKind::permission_asked, "a"));
  }  // it was killed
  outcome = answer("a", PermissionAnswer::allow_once);
  ASSERT_TRUE(eventually([&] { return outcome->done; }));
  EXPECT_EQ(outcome->result.error().code, ErrorCode::invalid);
}

TEST_F(TerminalLinkTest, AnAnswerNeverLeavesTheRunFolder) {
  Hook outside(place, "outside.sock");
  fs::create_symlink(place / "outside.sock", place / "run" / "answer.link");
  const auto linked = answer_hook(place / "run", {.id = "a", .socket = "answer.link"}, "x");
  EXPECT_EQ(linked.error().code, ErrorCode::denied);
  std::ofstream(place / "run" / "file") << "";
  EXPECT_EQ(answer_hook(place / "run", {.id = "a", .socket = "file"}, "x").error().code, ErrorCode::denied);
  EXPECT_EQ(answer_hook(place / "run", {.id = "a", .socket = "none"}, "x").error().code,
            ErrorCode::not_found);
  EXPECT_EQ(outside.heard(), "");
}

TEST_F(TerminalLinkTest, AnAnswerIsNotFollowedByTheEndOfTheRun) {
  Hook hook(place / "run", "answer.a");
  ask(hook, "a", "make");
  const auto outcome = answer("a", PermissionAnswer::allow_once);
  ASSERT_TRUE(eventually([&] { return !hook.heard().empty(); }));
  link.reset();
  ASSERT_TRUE(eventually([&] { return outcome->done; }));
  EXPECT_EQ(outcome->result.error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace agentmesh::agents
