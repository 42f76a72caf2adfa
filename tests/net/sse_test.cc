#include "net/sse.h"

#include <gtest/gtest.h>

namespace agentmesh::net {
namespace {

constexpr std::size_t kLimit = 64;

std::vector<std::string> data_of(std::string_view stream, std::size_t chunk) {
  SseParser parser(kLimit);
  std::vector<std::string> seen;
  for (std::size_t at = 0; at < stream.size(); at += chunk) {
    auto events = parser.feed(stream.substr(at, chunk));
    if (!events) return {"error"};
    for (auto& event : *events) seen.push_back(event.name + "|" + event.id + "|" + event.data);
  }
  return seen;
}

TEST(SseTest, AnyChunkingAndAnyLineEndGiveTheSameEvents) {
  const std::vector<std::string> expected = {"||one", "x|7|two\nlines", "|7|", "|7|tail"};
  for (const char* end : {"\n", "\r\n", "\r"}) {
    std::string stream;
    for (const char* line :
         {"data: one", "", ": a comment", "event: x", "id: 7", "data:two", "data: lines", "",
          "event: no data, no event", "", "data", "", "retry: 5", "unknown: y", "data: tail", ""})
      stream += std::string(line) + end;
    for (std::size_t chunk = 1; chunk <= stream.size(); ++chunk)
      EXPECT_EQ(data_of(stream, chunk), expected) << "chunks of " << chunk;
  }
}

TEST(SseTest, AnUnfinishedEventIsNotAnEvent) {
  EXPECT_TRUE(data_of("data: half", 3).empty());
  EXPECT_TRUE(data_of("data: half\n", 3).empty());
}

TEST(SseTest, AByteOrderMarkIsDroppedOnlyAtTheStart) {
  EXPECT_EQ(data_of("\xEF\xBB\xBF"
                    "data: a\n\n",
                    1),
            std::vector<std::string>{"||a"});
}

TEST(SseTest, ALineOrAnEventOverTheLimitIsAnError) {
  SseParser long_line(kLimit);
  const auto refused = long_line.feed("data: " + std::string(kLimit, 'x'));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::exhausted);

  SseParser many_lines(kLimit);
  std::string stream;
  for (int i = 0; i < 20; ++i) stream += "data: 12345\n";
  EXPECT_FALSE(many_lines.feed(stream));
}

TEST(SseTest, ManyEventsUnderTheLimitAreNeverAnError) {
  SseParser parser(kLimit);
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(parser.feed("data: 12345\n\n"));
}

}  // namespace
}  // namespace agentmesh::net
