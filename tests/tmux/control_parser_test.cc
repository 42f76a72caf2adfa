#include "tmux/control_parser.h"

#include <random>

#include <gtest/gtest.h>

namespace agentmesh::tmux {
namespace {

const Reply* reply_at(const std::vector<Message>& messages, std::size_t i) {
  return i < messages.size() ? std::get_if<Reply>(&messages[i]) : nullptr;
}
const Notice* notice_at(const std::vector<Message>& messages, std::size_t i) {
  return i < messages.size() ? std::get_if<Notice>(&messages[i]) : nullptr;
}

TEST(ControlParser, AReplyIsTheLinesBetweenBeginAndEnd) {
  ControlParser parser;
  parser.expect_reply();
  const auto out = parser.feed("%begin 17 5 1\none\ntwo\n%end 17 5 1\n");
  ASSERT_EQ(out.size(), 1U);
  EXPECT_TRUE(reply_at(out, 0)->ok);
  EXPECT_EQ(reply_at(out, 0)->text, "one\ntwo");
}

TEST(ControlParser, AnErrorIsAReplyThatIsNotOk) {
  ControlParser parser;
  parser.expect_reply();
  const auto out = parser.feed("%begin 17 5 1\ncan't find pane: %9\n%error 17 5 1\n");
  ASSERT_NE(reply_at(out, 0), nullptr);
  EXPECT_FALSE(reply_at(out, 0)->ok);
  EXPECT_EQ(reply_at(out, 0)->text, "can't find pane: %9");
}

TEST(ControlParser, ABlockOfACommandThatIsNotOursIsDropped) {
  ControlParser parser;
  parser.expect_reply();
  const auto out = parser.feed("%begin 17 4 0\nx\n%end 17 4 0\n%begin 17 5 1\nours\n%end 17 5 1\n");
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(reply_at(out, 0)->text, "ours");
}

TEST(ControlParser, AReplyNobodyAskedForIsDropped) {
  ControlParser parser;
  EXPECT_TRUE(parser.feed("%begin 17 5 1\nx\n%end 17 5 1\n").empty());
}

TEST(ControlParser, OneByteAtATimeIsTheSame) {
  ControlParser parser;
  parser.expect_reply();
  std::vector<Message> all;
  for (const char c : std::string("%begin 1 5 1\nhello\n%end 1 5 1\n%sessions-changed\n")) {
    for (Message& message : parser.feed({&c, 1})) all.push_back(std::move(message));
  }
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(reply_at(all, 0)->text, "hello");
  EXPECT_EQ(notice_at(all, 1)->name, "sessions-changed");
}

TEST(ControlParser, NotificationsHaveANameAndARest) {
  ControlParser parser;
  const auto out = parser.feed("%subscription-changed am $0 - - - : a : b\n%exit\n%exit server exited\n");
  ASSERT_EQ(out.size(), 3U);
  EXPECT_EQ(notice_at(out, 0)->rest, "am $0 - - - : a : b");
  EXPECT_EQ(notice_at(out, 1)->name, "exit");
  EXPECT_EQ(notice_at(out, 1)->rest, "");
  EXPECT_EQ(notice_at(out, 2)->rest, "server exited");
}

TEST(ControlParser, ComplaintsOnStandardErrorHaveNoName) {
  ControlParser parser;
  const auto out = parser.feed("error connecting to /tmp/x (No such file or directory)\n\n");
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(notice_at(out, 0)->name, "");
}

TEST(ControlParser, ForgedBeginIsANotification) {
  ControlParser parser;
  parser.expect_reply();
  const auto out = parser.feed("%begin\n%begin x y z\n%begin 1 2\n%begin 1 2 3 4\n");
  EXPECT_EQ(out.size(), 4U);
}

TEST(ControlParser, APaintedEndDoesNotEndAGuardedReply) {
  ControlParser parser;
  parser.expect_guarded_reply("secret");
  parser.expect_reply();
  const auto out = parser.feed(
      "%begin 17 5 1\npainted\n%end 17 5 1\n%begin 17 6 1\nguess\n%end 17 6 1\n%sessions-changed\nlast\n"
      "%end 17 5 1\n%session-changed $1 real\n%begin 17 6 1\nsecret\n%end 17 6 1\n"
      "%begin 17 7 1\nnext\n%end 17 7 1\n");
  ASSERT_EQ(out.size(), 3U);
  EXPECT_EQ(reply_at(out, 0)->text,
            "painted\n%end 17 5 1\n%begin 17 6 1\nguess\n%end 17 6 1\n%sessions-changed\nlast");
  EXPECT_EQ(notice_at(out, 1)->rest, "$1 real");
  EXPECT_EQ(reply_at(out, 2)->text, "next");
}

TEST(ControlParser, AGuardedErrorIsAnError) {
  ControlParser parser;
  parser.expect_guarded_reply("secret");
  const auto out =
      parser.feed("%begin 17 5 1\ncan't find pane: %9\n%error 17 5 1\n%begin 17 6 1\nsecret\n%end 17 6 1\n");
  ASSERT_EQ(out.size(), 1U);
  EXPECT_FALSE(reply_at(out, 0)->ok);
  EXPECT_EQ(reply_at(out, 0)->text, "can't find pane: %9");
}

TEST(ControlParser, AnEmptyGuardedReply) {
  ControlParser parser;
  parser.expect_guarded_reply("secret");
  const auto out = parser.feed("%begin 17 5 1\n%end 17 5 1\n%begin 17 6 1\nsecret\n%end 17 6 1\n");
  ASSERT_EQ(out.size(), 1U);
  EXPECT_TRUE(reply_at(out, 0)->ok);
  EXPECT_EQ(reply_at(out, 0)->text, "");
}

TEST(ControlParser, ALineOverTheLimitBreaksTheStreamOnce) {
  ControlParser parser;
  const std::string much(1024 * 1024, 'x');
  std::size_t broken = 0;
  for (int i = 0; i < 8; ++i) {
    for (const Message& message : parser.feed(much))
      broken += std::holds_alternative<Broken>(message) ? 1 : 0;
  }
  EXPECT_EQ(broken, 1U);
}

// What an agent paints must not end the connection that all agents share.
TEST(ControlParser, AReplyOverTheLimitIsDroppedAndTheNextOneCounts) {
  for (const bool guarded : {false, true}) {
    ControlParser parser;
    guarded ? parser.expect_guarded_reply("secret") : parser.expect_reply();
    parser.expect_reply();
    std::vector<Message> out = parser.feed("%begin 17 5 1\n");
    const std::string lines =
        std::string(1024 * 1024, 'x') + "\n" + (guarded ? "%end 17 5 1\n" : "%end 17 5 0\n");
    for (int i = 0; i < 40; ++i) {
      EXPECT_TRUE(parser.feed(lines).empty());
    }
    out = parser.feed(guarded ? "%end 17 5 1\n%begin 17 6 1\nsecret\n%end 17 6 1\n" : "%end 17 5 1\n");
    ASSERT_EQ(out.size(), 1U);
    EXPECT_TRUE(reply_at(out, 0)->too_long);
    EXPECT_FALSE(reply_at(out, 0)->ok);
    out = parser.feed("%begin 17 7 1\nnext\n%end 17 7 1\n");
    ASSERT_EQ(out.size(), 1U);
    EXPECT_EQ(reply_at(out, 0)->text, "next");
  }
}

TEST(ControlParser, GarbageNeverCrashes) {
  std::mt19937 random(20240601);
  const std::string words[] = {"%begin ", "%end ", "%error ", "1 2 1", "\n",       "%",
                               "%exit",   "guard", " : ",     "\x1f",  "\xff\x80", "%subscription-changed"};
  for (int round = 0; round < 3000; ++round) {
    ControlParser parser;
    for (int i = 0; i < 40; ++i) {
      if (random() % 4 == 0) parser.expect_reply();
      if (random() % 4 == 0) parser.expect_guarded_reply("guard");
      parser.feed(words[random() % std::size(words)]);
      if (random() % 8 == 0) parser.feed(std::string(1, static_cast<char>(random())));
    }
  }
}

}  // namespace
}  // namespace agentmesh::tmux
