#include "net/router.h"

#include "net/wire.h"

#include <gtest/gtest.h>

namespace agentmesh::net {
namespace {

Handler named(std::string name) {
  return [name](ServerRequest) -> Task<Reply> { co_return Reply{.body = name}; };
}

Router router() {
  Routes routes;
  routes.add("GET", "/v1/inbox", named("list"))
      .add("POST", "/v1/inbox", named("post"))
      .add("GET", "/v1/inbox/{id}", named("get"))
      .add("GET", "/v1/inbox/newest", named("newest"))
      .add("POST", "/v1/inbox/{id}/ack", named("ack"));
  return Router(std::move(routes));
}

Router::Match find(const Router& in, std::string_view method, std::string_view target) {
  return in.find(method, parse_target(target).value());
}

TEST(Target, PathAndQueryAreDecoded) {
  const auto target = parse_target("/v1/a%20b/c%2Fd?x=1&y=a+b%21&z&x=2");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->segments, (std::vector<std::string>{"v1", "a b", "c/d"}));
  EXPECT_EQ(target->query.at("x"), "2");
  EXPECT_EQ(target->query.at("y"), "a b!");
  EXPECT_EQ(target->query.at("z"), "");
}

TEST(Target, WhatIsNotAPathIsRefused) {
  for (const std::string_view bad : {"", "*", "http://h/", "/%", "/%zz", "/%4", "/%00", "/a%0Ab", "/%ff",
                                     "/x?%ff=1", "/x?a=%c3%28", "/x?a=%0d"}) {
    EXPECT_FALSE(parse_target(bad)) << bad;
  }
}

TEST(Router, FindsByMethodAndPattern) {
  const Router routes = router();
  EXPECT_NE(find(routes, "GET", "/v1/inbox").entry, nullptr);
  EXPECT_NE(find(routes, "GET", "/v1/inbox").entry, find(routes, "POST", "/v1/inbox").entry);
  const auto ack = find(routes, "POST", "/v1/inbox/itm_1/ack");
  ASSERT_NE(ack.entry, nullptr);
  EXPECT_EQ(ack.params.at("id"), "itm_1");
}

TEST(Router, ALiteralIsPreferredToAParameter) {
  const Router routes = router();
  EXPECT_TRUE(find(routes, "GET", "/v1/inbox/newest").params.empty());
  EXPECT_EQ(find(routes, "GET", "/v1/inbox/other").params.at("id"), "other");
}

TEST(Router, AnEmptySegmentIsNoParameter) {
  EXPECT_EQ(find(router(), "GET", "/v1/inbox/").entry, nullptr);
  EXPECT_EQ(find(router(), "POST", "/v1/inbox//ack").entry, nullptr);
}

TEST(Router, TheOtherMethodsAreTold) {
  const auto match = find(router(), "DELETE", "/v1/inbox");
  EXPECT_EQ(match.entry, nullptr);
  EXPECT_EQ(match.allowed, "GET, POST");
  EXPECT_EQ(find(router(), "GET", "/nowhere").allowed, "");
}

TEST(Router, HeadIsServedByGet) { EXPECT_NE(find(router(), "HEAD", "/v1/inbox").entry, nullptr); }

TEST(Wire, AHeaderWithALineBreakIsLeftOut) {
  const Reply reply{.headers = {{"X-Good", "1"}, {"X-Bad", "1\r\nSet-Cookie: a"}, {"X\r\nY", "2"}}};
  const std::string head = reply_head(reply, 0, AfterReply::keep);
  EXPECT_NE(head.find("X-Good: 1\r\n"), std::string::npos);
  EXPECT_EQ(head.find("Set-Cookie"), std::string::npos);
  EXPECT_EQ(head.find("X-Bad"), std::string::npos);
  EXPECT_EQ(head.find("Y: 2"), std::string::npos);
}

TEST(Wire, ErrorsGoThereAndBack) {
  const Error error{ErrorCode::conflict, "hub", "it is there", "use another"};
  const Reply reply = error_reply(error);
  EXPECT_EQ(reply.status, 409);
  const Error back = error_from_reply(reply.status, reply.body);
  EXPECT_EQ(back.code, error.code);
  EXPECT_EQ(back.stage, error.stage);
  EXPECT_EQ(back.what, error.what);
  EXPECT_EQ(back.hint, error.hint);
}

TEST(Wire, AnErrorOfAnotherFormIsMadeOfTheStatus) {
  EXPECT_EQ(error_from_reply(404, "<html>").code, ErrorCode::not_found);
  EXPECT_EQ(error_from_reply(401, "").code, ErrorCode::denied);
  EXPECT_EQ(error_from_reply(418, "{\"error\":7}").code, ErrorCode::invalid);
  EXPECT_EQ(error_from_reply(502, "{}").code, ErrorCode::unavailable);
  EXPECT_EQ(error_from_reply(599, "[]").code, ErrorCode::internal);
}

}  // namespace
}  // namespace agentmesh::net
