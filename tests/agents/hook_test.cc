#include "agents/hook.h"

#include "agents/custom.h"
#include "agents/throttle.h"
#include "base/offload.h"
#include "base/unique_fd.h"
#include "net/http_client.h"

#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace agentmesh::agents {
namespace {

TEST(HookTest, EventsBearTheNamesOfSignals) {
  const auto signal =
      parse_hook(R"({"event":"permission_asked","id":"7","detail":"rm -rf\nbuild","extra":[1]})");
  ASSERT_TRUE(signal);
  EXPECT_EQ(*signal, (Signal{SignalKind::permission_asked, "hook", "rm -rf⏎build", "7"}));
  const auto limited = parse_hook(R"({"event":"rate_limited","until":"2026-01-02T03:04:05Z"})");
  ASSERT_TRUE(limited);
  EXPECT_EQ(limited->until, from_rfc3339("2026-01-02T03:04:05Z"));
}

TEST(HookTest, NonsenseIsRefused) {
  for (const std::string& bad :
       {std::string(), std::string("busy"), std::string("[]"), std::string("{}"),
        std::string(R"({"event":7})"), std::string(R"({"event":"dance"})"),
        std::string(R"({"event":"unreadable"})"), std::string(R"({"event":"session_learned"})"),
        std::string(R"({"event":"busy","detail":"\xff"})"),
        R"({"event":"busy","detail":")" + std::string(kMaxHookBytes, 'x') + "\"}",
        R"({"event":"busy","x":)" + std::string(20, '[') + std::string(20, ']') + "}"}) {
    EXPECT_FALSE(parse_hook(bad)) << bad.substr(0, 60);
  }
}

class HookSocketTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/agentmesh-hook-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void open() {
    auto opened = HookSocket::open(io_.get_executor(), path(),
                                   as_signals([this](Signal signal) { seen_.push_back(signal); }));
    ASSERT_TRUE(opened) << describe(opened.error());
    socket_ = std::move(*opened);
  }
  std::filesystem::path path() const { return folder_ / "hook.sock"; }

  void send(std::string_view text) {
    ASSERT_EQ(try_send(text), static_cast<ssize_t>(text.size()));
    io_.poll();
  }
  ssize_t try_send(std::string_view text) const {
    const UniqueFd folder(::open(folder_.c_str(), O_PATH | O_DIRECTORY));
    const UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string name = "/proc/self/fd/" + std::to_string(folder.get()) + "/hook.sock";
    name.copy(address.sun_path, name.size());
    return ::sendto(fd.get(), text.data(), text.size(), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&address),
                    sizeof address);
  }

  boost::asio::io_context io_;
  std::filesystem::path folder_;
  std::unique_ptr<HookSocket> socket_;
  std::vector<Signal> seen_;
};

TEST_F(HookSocketTest, ReceivesAndCountsWhatItRefuses) {
  open();
  send(R"({"event":"busy"})");
  send("garbage");
  send(std::string(kMaxHookBytes + 100, ' ') + R"({"event":"idle"})");
  send(R"({"event":"idle"})");
  ASSERT_EQ(seen_.size(), 2U);
  EXPECT_EQ(seen_[0].kind, SignalKind::busy);
  EXPECT_EQ(seen_[1].kind, SignalKind::idle);
  EXPECT_EQ(socket_->refused(), 2U);
}

TEST_F(HookSocketTest, ReplacesWhatADeadDaemonLeftUnderAPathOfAnyLength) {
  folder_ /= std::string(100, 'n');
  std::filesystem::create_directory(folder_);
  open();
  socket_.reset();
  ASSERT_TRUE(std::filesystem::exists(path()));
  open();
  send(R"({"event":"busy"})");
  EXPECT_EQ(seen_.size(), 1U);
  folder_ = folder_.parent_path();
}

TEST_F(HookSocketTest, BindsWhateverTheAgentLeftInItsPlaceAndFollowsNothing) {
  const auto victim = folder_ / "victim";
  std::ofstream(victim) << "precious";
  std::filesystem::permissions(victim, std::filesystem::perms::owner_read);
  const std::vector<std::function<void()>> leavings = {
      [&] { std::ofstream(path()) << "a file"; },
      [&] { std::filesystem::create_symlink(victim, path()); },
      [&] { std::filesystem::create_symlink("nowhere", path()); },
      [&] { std::filesystem::create_directory(path()); },
      [&] { std::filesystem::create_directories(path() / "full" / "of"); },
  };
  for (const auto& leave : leavings) {
    socket_.reset();
    std::filesystem::remove_all(path());
    leave();
    open();
    seen_.clear();
    send(R"({"event":"busy"})");
    EXPECT_EQ(seen_.size(), 1U);
  }
  EXPECT_EQ(std::filesystem::status(victim).permissions(), std::filesystem::perms::owner_read);
}

TEST_F(HookSocketTest, OnlyASocketIsOpenedToEverybodyNeverWhatALinkNames) {
  const auto victim = folder_ / "victim";
  std::ofstream(victim) << "precious";
  std::filesystem::permissions(victim, std::filesystem::perms::owner_read);
  std::filesystem::create_symlink(victim, path());  // put there after the socket was bound
  const UniqueFd folder(::open(folder_.c_str(), O_PATH | O_DIRECTORY));
  const auto followed = open_to_agent(folder.get(), "hook.sock");
  ASSERT_FALSE(followed);
  EXPECT_EQ(followed.error().code, ErrorCode::denied);
  EXPECT_FALSE(open_to_agent(folder.get(), "victim"));
  EXPECT_FALSE(open_to_agent(folder.get(), "absent"));
  EXPECT_EQ(std::filesystem::status(victim).permissions(), std::filesystem::perms::owner_read);
  std::filesystem::remove(path());
  open();
  EXPECT_EQ(std::filesystem::status(path()).permissions(), std::filesystem::perms{0666});
}

TEST_F(HookSocketTest, AFloodIsCut) {
  open();
  std::size_t turns = 0;
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(400);
  while (std::chrono::steady_clock::now() < until) {
    try_send(R"({"event":"activity"})");
    turns += io_.poll();
  }
  EXPECT_EQ(seen_.size(), static_cast<std::size_t>(kMaxHooksPerSecond));
  EXPECT_LE(turns, 2U * kMaxHooksPerSecond) << "nothing wakes for the rest of the second";
  io_.restart();
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (seen_.size() == static_cast<std::size_t>(kMaxHooksPerSecond) &&
         std::chrono::steady_clock::now() < limit)
    io_.run_one_for(std::chrono::milliseconds(100));
  EXPECT_GT(seen_.size(), static_cast<std::size_t>(kMaxHooksPerSecond)) << "the next second goes on";
}

TEST_F(HookSocketTest, AMissingFolderIsAnError) {
  const auto opened =
      HookSocket::open(io_.get_executor(), folder_ / "no" / "hook.sock", as_signals([](Signal) {}));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::not_found);
}

TEST(TitleTest, AWordInTheTitleTellsTheState) {
  EXPECT_EQ(state_in_title("make [agentmesh:busy]"), SignalKind::busy);
  EXPECT_EQ(state_in_title("[agentmesh:permission] rm"), SignalKind::permission_asked);
  EXPECT_EQ(state_in_title("[agentmesh:question]"), SignalKind::question_asked);
  EXPECT_EQ(state_in_title("[agentmesh:idle]"), SignalKind::idle);
  EXPECT_EQ(state_in_title("[agentmesh:dreaming] busy"), std::nullopt);
}

class CustomLinkTest : public HookSocketTest {
 protected:
  void SetUp() override {
    HookSocketTest::SetUp();
    LinkContext context{.executor = io_.get_executor(),
                        .http = http_,
                        .clock = clock_,
                        .offload = offload_,
                        .run_dir = folder_};
    link_ = (*find_adapter("custom"))->link(std::move(context), [this](Signal signal) {
      kinds_.push_back(std::string(to_string(signal.kind)));
    });
    ASSERT_TRUE(link_->start());
  }
  ManualClock clock_;
  net::HttpClient http_{io_.get_executor()};
  Offload offload_;
  std::unique_ptr<Link> link_;
  std::vector<std::string> kinds_;
};

TEST_F(CustomLinkTest, AnotherPictureIsReadyOnceAndActivityOnceASecond) {
  EXPECT_FALSE(link_->painted());
  EXPECT_FALSE(link_->painted());
  clock_.advance(Millis{1'000});
  EXPECT_FALSE(link_->painted());
  EXPECT_EQ(kinds_, (std::vector<std::string>{"ready", "activity", "activity"}));
}

TEST_F(CustomLinkTest, HooksTellTheStateAndTheSession) {
  send(R"({"event":"session_learned","id":"s-1"})");
  send(R"({"event":"busy"})");
  EXPECT_EQ(kinds_, (std::vector<std::string>{"ready", "session_learned", "busy"}));
  EXPECT_EQ(link_->session_id(), "s-1");
}

TEST_F(CustomLinkTest, HooksAreToldSeldomWhenTheyFloodAndAPromptAlways) {
  for (int i = 0; i < 30; ++i) {
    send(R"({"event":"busy"})");
    send(R"({"event":"activity"})");
    send(R"({"event":"idle"})");
  }
  EXPECT_EQ(kinds_.size(), static_cast<std::size_t>(kSignalBurst));
  send(R"({"event":"permission_asked","id":"7"})");
  clock_.advance(Millis{1'000});
  send(R"({"event":"busy"})");
  const std::vector<std::string> last(kinds_.end() - 3, kinds_.end());
  EXPECT_EQ(last, (std::vector<std::string>{"idle", "permission_asked", "busy"}));
}

TEST_F(CustomLinkTest, ATitleThatSaysNothingMoreIsUnreadable) {
  link_->title("plain");
  link_->title("[agentmesh:permission]");
  link_->title("[agentmesh:permission] again");
  link_->title("[agentmesh:busy]");
  link_->title("plain");
  EXPECT_EQ(kinds_, (std::vector<std::string>{"ready", "permission_asked", "permission_closed", "busy",
                                              "unreadable"}));
}

TEST_F(CustomLinkTest, ATitleTakesNothingFromAPromptThatAHookTold) {
  send(R"({"event":"permission_asked","id":"7","detail":"rm -rf build"})");
  link_->title("[agentmesh:permission]");
  EXPECT_EQ(kinds_, (std::vector<std::string>{"ready", "permission_asked"}));
  send(R"({"event":"permission_closed","id":"7"})");
  send(R"({"event":"permission_asked","id":"8"})");
  link_->title("[agentmesh:busy]");
  EXPECT_EQ(kinds_, (std::vector<std::string>{"ready", "permission_asked", "permission_closed",
                                              "permission_asked", "busy"}))
      << "the title of the prompt before closes none";
  send(R"({"event":"permission_closed","id":"8"})");
  link_->title("[agentmesh:permission]");
  EXPECT_EQ(kinds_.back(), "permission_asked") << "the title alone tells it";
}

TEST_F(CustomLinkTest, APromptOfAHookThatTheTitleShowedIsOverWhenTheTitleGoesOn) {
  send(R"({"event":"question_asked","id":"7","detail":"which?"})");
  link_->title("[agentmesh:question]");
  link_->title("[agentmesh:busy]");
  EXPECT_EQ(kinds_, (std::vector<std::string>{"ready", "question_asked", "question_closed", "busy"}));
}

}  // namespace
}  // namespace agentmesh::agents
