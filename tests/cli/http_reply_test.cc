#include "cli/http_reply.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace agentmesh::cli {
namespace {

constexpr std::size_t kMost = 1000;

constexpr std::string_view kSized = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
constexpr std::string_view kChunked =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
    "3\r\nhel\r\n2;note=x\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n";

HttpReply read(std::string_view text) {
  HttpReply reply(kMost, nullptr);
  EXPECT_TRUE(reply.feed(text));
  return reply;
}

ErrorCode refused(std::string_view text) {
  HttpReply reply(kMost, nullptr);
  const auto fed = reply.feed(text);
  EXPECT_FALSE(fed) << text;
  return fed ? ErrorCode::unavailable : fed.error().code;
}

TEST(HttpReplyTest, ReadsASizedBody) {
  HttpReply reply = read(kSized);
  EXPECT_TRUE(reply.complete());
  EXPECT_EQ(reply.status(), 200);
  EXPECT_EQ(reply.take_body(), "hello");
}

TEST(HttpReplyTest, ReadsChunksAndSkipsTheTrailer) {
  HttpReply reply = read(kChunked);
  EXPECT_TRUE(reply.complete());
  EXPECT_EQ(reply.take_body(), "hello");
}

TEST(HttpReplyTest, ReadsTheSameInAnyPieces) {
  for (const auto text : {kSized, kChunked}) {
    for (std::size_t size = 1; size < text.size(); ++size) {
      HttpReply reply(kMost, nullptr);
      for (std::size_t at = 0; at < text.size(); at += size) {
        EXPECT_FALSE(reply.complete());
        ASSERT_TRUE(reply.feed(text.substr(at, size)));
      }
      EXPECT_TRUE(reply.complete());
      EXPECT_EQ(reply.take_body(), "hello");
    }
  }
}

TEST(HttpReplyTest, EndsAtTheEndOfTheConnectionWithoutALength) {
  HttpReply reply = read("HTTP/1.0 200 OK\r\n\r\nhel");
  EXPECT_FALSE(reply.complete());
  ASSERT_TRUE(reply.feed("lo"));
  EXPECT_TRUE(reply.closed());
  EXPECT_EQ(reply.take_body(), "hello");
}

TEST(HttpReplyTest, HasNoBodyWhenNoneIsTold) {
  EXPECT_TRUE(read("HTTP/1.1 204 No Content\r\n\r\n").complete());
  EXPECT_TRUE(read("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").complete());
}

TEST(HttpReplyTest, HandsTheBodyOfAGoodAnswerOnAsItComes) {
  std::vector<std::string> seen;
  const auto keep = [&](std::string_view data) -> Result<void> {
    seen.emplace_back(data);
    return {};
  };
  HttpReply reply(0, keep);
  ASSERT_TRUE(reply.feed(kChunked));
  EXPECT_EQ(seen, (std::vector<std::string>{"hel", "lo"}));
  seen.clear();
  HttpReply bad(kMost, keep);
  ASSERT_TRUE(bad.feed("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"));
  EXPECT_TRUE(seen.empty());
  EXPECT_EQ(bad.take_body(), "no");
}

TEST(HttpReplyTest, PassesOnTheErrorOfItsReader) {
  HttpReply reply(kMost, [](std::string_view) { return fail(ErrorCode::exhausted, "test", "enough"); });
  const auto fed = reply.feed(kSized);
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().what, "enough");
}

TEST(HttpReplyTest, IsNotCompleteWhenTheConnectionBreaksOff) {
  for (const auto text : {kSized, kChunked}) {
    for (std::size_t size = 0; size < text.size(); ++size) {
      HttpReply reply = read(text.substr(0, size));
      const auto closed = reply.closed();
      ASSERT_FALSE(closed) << size;
      EXPECT_EQ(closed.error().code, ErrorCode::unavailable);
    }
  }
}

TEST(HttpReplyTest, IgnoresWhatFollowsTheAnswer) {
  HttpReply reply = read(std::string(kSized) + "HTTP/1.1 500 Second\r\n\r\n");
  ASSERT_TRUE(reply.feed("more"));
  EXPECT_EQ(reply.status(), 200);
  EXPECT_EQ(reply.take_body(), "hello");
}

TEST(HttpReplyTest, RefusesWhatIsNotHttp) {
  for (const std::string_view text : {
           "SSH-2.0-OpenSSH\r\n\r\n",
           "HTTP/2 200\r\n\r\n",
           "HTTP/1.1 abc OK\r\n\r\n",
           "HTTP/1.1 99\r\n\r\n",
           "HTTP/1.1 -20 OK\r\n\r\n",
           "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n",
       }) {
    EXPECT_EQ(refused(text), ErrorCode::internal) << text;
  }
}

TEST(HttpReplyTest, RefusesMoreThanItsLimits) {
  EXPECT_EQ(refused("HTTP/1.1 200 OK\r\n" + std::string(kMaxReplyHead, 'x')), ErrorCode::exhausted);
  EXPECT_EQ(refused("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + std::string(1001, 'x')),
            ErrorCode::exhausted);
  EXPECT_EQ(refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(2000, '0')),
            ErrorCode::internal);
}

}  // namespace
}  // namespace agentmesh::cli
