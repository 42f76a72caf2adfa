#include "sandbox/attach.h"

#include <gtest/gtest.h>

namespace agentmesh::sandbox {
namespace {

const AttachTarget kTarget{"/run/engine.sock", "1.41", "agentmesh-a-1"};

TEST(AttachRequest, UpgradesAndDetachesOnNothingThatIsTyped) {
  const std::string request = attach_request(kTarget);
  EXPECT_TRUE(
      request.starts_with("POST /v1.41/containers/agentmesh-a-1/attach?stream=1&stdin=1&stdout=1&stderr=1"));
  EXPECT_NE(request.find("detachKeys=%FF,%FE,%FF,%FE "), std::string::npos);
  EXPECT_NE(request.find("\r\nUpgrade: tcp\r\n"), std::string::npos);
  EXPECT_TRUE(request.ends_with("\r\n\r\n"));
}

TEST(AttachRequest, WithoutAVersionTheEngineTakesItsOwn) {
  EXPECT_TRUE(attach_request({"/s", "", "a"}).starts_with("POST /containers/a/attach?"));
}

TEST(ContainerReference, IsSafeInAPath) {
  for (const char* text : {"a", "agentmesh-a-1", "0968ff9dd375", "a_b.c"})
    EXPECT_TRUE(is_container_reference(text));
  for (const char* text : {"", "-a", "a/b", "a b", "a?x", "a\r\nX: y", "..", "é"}) {
    EXPECT_FALSE(is_container_reference(text)) << text;
  }
  EXPECT_FALSE(is_container_reference(std::string(129, 'a')));
}

TEST(ResponseHead, WhatFollowsTheHeadIsKept) {
  ResponseHead head;
  EXPECT_EQ(head.feed("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nagent$ "), true);
  EXPECT_EQ(head.status(), 101);
  EXPECT_EQ(head.feed("more"), true);
  EXPECT_EQ(head.take_rest(), "agent$ more");
}

TEST(ResponseHead, OneByteAtATime) {
  ResponseHead head;
  const std::string text = "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: Chunked\r\n\r\n";
  for (std::size_t i = 0; i + 1 < text.size(); ++i) EXPECT_EQ(head.feed(text.substr(i, 1)), false);
  EXPECT_EQ(head.feed(text.substr(text.size() - 1)), true);
  EXPECT_EQ(head.status(), 404);
  EXPECT_TRUE(head.chunked());
}

TEST(ResponseHead, WhatIsNotHttpIsRefusedAtOnce) {
  for (const char* text :
       {"SSH-2.0", "HTTP/2", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 01\r\n\r\n", "\r\n\r\n"}) {
    ResponseHead head;
    const auto result = head.feed(text);
    ASSERT_FALSE(result.has_value()) << text;
    EXPECT_EQ(result.error().code, ErrorCode::invalid);
  }
}

TEST(ResponseHead, AHeadWithoutAnEndIsRefused) {
  ResponseHead head;
  ASSERT_TRUE(head.feed("HTTP/1.1 200 OK\r\n").has_value());
  const auto result = head.feed("X: " + std::string(kMaxResponseHead, 'x'));
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::exhausted);
}

}  // namespace
}  // namespace agentmesh::sandbox
