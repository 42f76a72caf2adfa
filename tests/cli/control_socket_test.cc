// The exchange against a peer on a real socket that answers with given bytes and closes.
#include "cli/control_socket.h"

#include "base/unique_fd.h"

#include <array>
#include <filesystem>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

namespace agentmesh::cli {
namespace {

constexpr std::size_t kMost = 1000;

// Takes connections and says nothing, as a daemon that hangs.
class Listening {
 public:
  Listening() {
    std::string folder = std::filesystem::temp_directory_path() / "control-XXXXXX";
    path_ = std::string(::mkdtemp(folder.data())) + "/s";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, path_.size());
    socket_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM, 0));
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(socket_.get(), 1), 0);
  }
  ~Listening() { std::filesystem::remove_all(std::filesystem::path(path_).parent_path()); }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;

  const std::string& path() const { return path_; }
  UniqueFd accept() const { return UniqueFd(::accept(socket_.get(), nullptr, nullptr)); }

 private:
  std::string path_;
  UniqueFd socket_;
};

std::string head_from(const UniqueFd& client) {
  std::string head;
  std::array<char, 4096> buffer;
  while (!head.contains("\r\n\r\n")) {
    const ssize_t count = ::read(client.get(), buffer.data(), buffer.size());
    if (count <= 0) break;
    head.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return head;
}

void say(const UniqueFd& client, std::string_view text) {
  EXPECT_EQ(::write(client.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

class Peer {
 public:
  explicit Peer(std::string answer) : answer_(std::move(answer)), thread_([this] { serve(); }) {}
  ~Peer() { thread_.join(); }
  const std::string& path() const { return listening_.path(); }
  const std::string& asked() const { return asked_; }

 private:
  void serve() {
    const UniqueFd client = listening_.accept();
    asked_ = head_from(client);
    say(client, answer_);
  }

  Listening listening_;
  std::string answer_;
  std::string asked_;
  std::thread thread_;
};

constexpr Silence kShort{.quiet = Millis{20}, .answer = Millis{20}};
constexpr Silence kPatient{.quiet = Millis{20}, .answer = Millis{60'000}};

Result<ControlReply> ask(const std::string& socket, std::string_view method, std::string body,
                         Silence silence = kSilence) {
  return exchange(
      {.socket = socket, .method = method, .path = "/v1/x", .body = std::move(body), .silence = silence},
      kMost, nullptr);
}

TEST(ControlSocketTest, AsksAndReads) {
  std::string asked;
  {
    Peer peer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]");
    const auto reply = ask(peer.path(), "POST", "{}");
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->status, 200);
    EXPECT_EQ(reply->body, "[]");
    asked = peer.asked();
  }
  EXPECT_TRUE(asked.starts_with("POST /v1/x HTTP/1.1\r\n")) << asked;
  EXPECT_TRUE(asked.contains("\r\nContent-Length: 2\r\n")) << asked;
}

TEST(ControlSocketTest, TellsWhatIsKnownWhenTheAnswerBreaksOff) {
  for (const std::string answer : {"", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n["}) {
    Peer get(answer);
    EXPECT_EQ(ask(get.path(), "GET", "").error().code, ErrorCode::unavailable);
    Peer post(answer);
    EXPECT_EQ(ask(post.path(), "POST", "{}").error().code, ErrorCode::timeout);
  }
}

TEST(ControlSocketTest, APeerThatTakesConnectionsAndSaysNothingIsTold) {
  const Listening mute;
  for (const std::string_view method : {"GET", "POST"}) {
    const auto reply = ask(mute.path(), method, "", kShort);
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, ErrorCode::timeout);
    EXPECT_TRUE(reply.error().what.contains(std::to_string(::getpid()))) << reply.error().what;
    EXPECT_TRUE(reply.error().hint.contains("kill -CONT")) << reply.error().hint;
    mute.accept(), mute.accept();  // so that the next ones are not the first that are not taken
  }
}

TEST(ControlSocketTest, APeerThatTakesNoConnectionIsTold) {
  const Listening full;
  std::vector<UniqueFd> waiting;
  while (true) {
    auto sent =
        send_request({.socket = full.path(), .method = "GET", .path = "/", .body = {}, .silence = kShort});
    if (!sent) {
      EXPECT_EQ(sent.error().code, ErrorCode::timeout);
      break;
    }
    waiting.push_back(std::move(sent->fd));
    ASSERT_LT(waiting.size(), 100U);
  }
}

TEST(ControlSocketTest, ALongAnswerIsWaitedForWhileThePeerAnswersOthers) {
  const Listening busy;
  std::thread peer([&] {
    const UniqueFd client = busy.accept();
    (void)head_from(client);
    for (int i = 0; i < 3; ++i) {  // asked three times whether it lives
      const UniqueFd other = busy.accept();
      EXPECT_TRUE(head_from(other).starts_with("GET "));
      say(other, "HTTP/1.1 404 Not Found\r\n\r\n");
    }
    say(client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]");
  });
  const auto reply = ask(busy.path(), "POST", "{}", kPatient);
  peer.join();
  ASSERT_TRUE(reply) << reply.error().what;
  EXPECT_EQ(reply->body, "[]");
}

TEST(ControlSocketTest, SaysThatNobodyListens) {
  EXPECT_EQ(ask("/nowhere/daemon.sock", "GET", "").error().code, ErrorCode::unavailable);
  EXPECT_EQ(ask("/" + std::string(200, 'x'), "GET", "").error().code, ErrorCode::invalid);
}

}  // namespace
}  // namespace agentmesh::cli
