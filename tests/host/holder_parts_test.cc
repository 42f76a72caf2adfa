// What the holder is made of, as far as it is pure: its requests, its launch, the output it keeps.
#include "host/holder_launch.h"
#include "host/holder_request.h"
#include "host/output_tail.h"

#include <gtest/gtest.h>

namespace agentmesh::host {
namespace {

TEST(HolderRequestTest, ReadsTheEnginesPathsWithAndWithoutAVersion) {
  const auto resize = parse_request("POST /containers/host-1/resize?h=24&w=80 HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(resize);
  EXPECT_EQ(resize->method, "POST");
  EXPECT_EQ(resize->container, "host-1");
  EXPECT_EQ(resize->action, "resize");
  EXPECT_EQ(resize->number("h", 0, 1000), 24U);
  EXPECT_EQ(resize->number("w", 0, 1000), 80U);
  EXPECT_EQ(resize->number("absent", 5, 1000), 5U);
  EXPECT_EQ(resize->number("w", 0, 79).error().code, ErrorCode::invalid);
  const auto removal = parse_request("DELETE /v1.41/containers/agentmesh-a-1 HTTP/1.1\r\n\r\n");
  ASSERT_TRUE(removal);
  EXPECT_EQ(removal->container, "agentmesh-a-1");
  EXPECT_EQ(removal->action, "");
}

TEST(HolderRequestTest, RefusesEverythingElse) {
  for (const char* head : {"", "GET", "GET / HTTP/1.1\r\n", "GET /containers HTTP/1.1\r\n",
                           "GET /containers/ HTTP/1.1\r\n", "GET /containers//json HTTP/1.1\r\n",
                           "GET /images/x/json HTTP/1.1\r\n", "GET /containers/a/b/c HTTP/1.1\r\n",
                           "GET containers/a/json HTTP/1.1\r\n", "GET /containers/a/json SPDY/1\r\n"}) {
    EXPECT_EQ(parse_request(head).error().code, ErrorCode::invalid) << head;
  }
  for (const char* text : {"x", "-1", "1x", "", "99999999999"}) {
    const auto request = parse_request(std::string("GET /containers/a/logs?tail=") + text + " HTTP/1.1\r\n");
    ASSERT_TRUE(request) << text;
    EXPECT_FALSE(request->number("tail", 1, 1000)) << text;
  }
}

TEST(HolderLaunchTest, SurvivesItsWay) {
  const HolderLaunch launch{.argv = {"/bin/sh", "-c", "echo 'ü'"},
                            .env = {{"A", "1"}},
                            .workdir = "/w",
                            .open_files = 1024,
                            .http_port = 4096,
                            .http_password = Secret("hush")};
  const auto read = launch_from(to_text(launch));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->argv, launch.argv);
  EXPECT_EQ(read->env, launch.env);
  EXPECT_EQ(read->workdir, "/w");
  EXPECT_EQ(read->open_files, 1024U);
  EXPECT_EQ(read->http_port, 4096);
  EXPECT_TRUE(read->http_password.equals("hush"));
}

TEST(HolderLaunchTest, AnythingElseIsAnError) {
  for (const char* text : {"", "{}", "[]",
                           "{\"argv\":[],\"env\":{},\"workdir\":\"\",\"open_files\":1,"
                           "\"http_port\":0,\"http_password\":\"\"}"}) {
    EXPECT_EQ(launch_from(text).error().code, ErrorCode::invalid) << text;
  }
  EXPECT_EQ(launch_from(std::string(kMaxLaunchBytes + 1, ' ')).error().code, ErrorCode::exhausted);
}

TEST(OutputTailTest, GivesTheLastLines) {
  OutputTail tail;
  EXPECT_EQ(tail.last(5), "");
  tail.add("one\r\ntwo\r\nthr");
  tail.add("ee\r\n");
  EXPECT_EQ(tail.last(1), "three\r\n");
  EXPECT_EQ(tail.last(2), "two\r\nthree\r\n");
  EXPECT_EQ(tail.last(9), "one\r\ntwo\r\nthree\r\n");
  tail.add("prompt> ");
  EXPECT_EQ(tail.last(1), "prompt> ");
  EXPECT_EQ(tail.last(0), "");
}

TEST(OutputTailTest, IsBoundedAndKeepsTheNewest) {
  OutputTail tail;
  tail.add(std::string(3 * kKeptOutput, 'a'));
  for (int i = 0; i < 100; ++i) tail.add(std::string(10'000, static_cast<char>('b' + i % 5)));
  tail.add("end");
  const std::string kept = tail.last(1);
  EXPECT_TRUE(kept.ends_with("end"));
  EXPECT_GE(kept.size(), kKeptOutput);
  EXPECT_LE(kept.size(), 2 * kKeptOutput);
}

}  // namespace
}  // namespace agentmesh::host
