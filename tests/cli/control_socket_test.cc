// The exchange against a peer on a real socket that answers with given bytes and closes.
#include "cli/control_socket.h"

#include "base/unique_fd.h"

#include <array>
#include <filesystem>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

namespace agentmesh::cli {
namespace {

constexpr std::size_t kMost = 1000;

class Peer {
 public:
  explicit Peer(std::string answer) : answer_(std::move(answer)) {
    std::string folder = std::filesystem::temp_directory_path() / "control-XXXXXX";
    path_ = std::string(::mkdtemp(folder.data())) + "/s";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, path_.size());
    listening_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM, 0));
    EXPECT_EQ(::bind(listening_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listening_.get(), 1), 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~Peer() {
    thread_.join();
    std::filesystem::remove_all(std::filesystem::path(path_).parent_path());
  }
  const std::string& path() const { return path_; }
  const std::string& asked() const { return asked_; }

 private:
  void serve() {
    const UniqueFd client(::accept(listening_.get(), nullptr, nullptr));
    std::array<char, 4096> buffer;
    while (!asked_.contains("\r\n\r\n")) {
      const ssize_t count = ::read(client.get(), buffer.data(), buffer.size());
      if (count <= 0) return;
      asked_.append(buffer.data(), static_cast<std::size_t>(count));
    }
    EXPECT_EQ(::write(client.get(), answer_.data(), answer_.size()), static_cast<ssize_t>(answer_.size()));
  }

  std::string answer_;
  std::string path_;
  std::string asked_;
  UniqueFd listening_;
  std::thread thread_;
};

Result<ControlReply> ask(const std::string& socket, std::string_view method, std::string body) {
  return exchange({.socket = socket, .method = method, .path = "/v1/x", .body = std::move(body)}, kMost,
                  nullptr);
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

TEST(ControlSocketTest, SaysThatNobodyListens) {
  EXPECT_EQ(ask("/nowhere/daemon.sock", "GET", "").error().code, ErrorCode::unavailable);
  EXPECT_EQ(ask("/" + std::string(200, 'x'), "GET", "").error().code, ErrorCode::invalid);
}

}  // namespace
}  // namespace agentmesh::cli
