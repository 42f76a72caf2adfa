#include "base/clock.h"
#include "base/ids.h"
#include "base/json.h"
#include "base/result.h"
#include "base/secret.h"
#include "base/socket_address.h"
#include "base/text.h"
#include "base/unique_fd.h"

#include <cstdint>
#include <unistd.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh {
namespace {

TEST(ResultTest, DescribesStageWhatAndHint) {
  EXPECT_EQ(describe(Error{ErrorCode::denied, "mount", "refused", "name a folder"}),
            "mount: refused (name a folder)");
  EXPECT_EQ(describe(Error{ErrorCode::denied, "mount", "refused", ""}), "mount: refused");
}

TEST(ResultTest, EveryCodeHasItsExitAndItsName) {
  EXPECT_EQ(exit_code_of(ErrorCode::invalid), 2);
  EXPECT_EQ(exit_code_of(ErrorCode::not_found), 3);
  EXPECT_EQ(exit_code_of(ErrorCode::conflict), 4);
  EXPECT_EQ(exit_code_of(ErrorCode::unavailable), 5);
  EXPECT_EQ(exit_code_of(ErrorCode::denied), 7);
  EXPECT_EQ(exit_code_of(ErrorCode::timeout), 124);
  EXPECT_EQ(exit_code_of(ErrorCode::internal), 1);
  EXPECT_EQ(error_code_from(to_string(ErrorCode::exhausted)), ErrorCode::exhausted);
  EXPECT_EQ(error_code_from("no such word"), ErrorCode::internal);
}

TEST(ClockTest, WritesAndReadsRfc3339) {
  const WallTime time = from_millis(1'700'000'000'123);
  EXPECT_EQ(to_rfc3339(time), "2023-11-14T22:13:20.123Z");
  EXPECT_EQ(from_rfc3339("2023-11-14T22:13:20.123Z"), time);
  EXPECT_EQ(from_rfc3339("2023-11-15T00:13:20.123+02:00"), time);
  EXPECT_EQ(from_rfc3339("2023-11-14T22:13:20.123456789Z"), time);
  for (const char* bad : {"", "2023", "2023-13-01T00:00:00Z", "2023-02-30T00:00:00Z", "2023-11-14T22:13:20",
                          "2023-11-14T25:00:00Z", "2023-11-14T22:13:20Zx"}) {
    EXPECT_FALSE(from_rfc3339(bad)) << bad;
  }
}

TEST(IdsTest, NamesFollowTheRule) {
  for (const char* good : {"a", "0", "demo", "a-b_c", "0a"}) EXPECT_TRUE(AgentName::parse(good)) << good;
  for (const char* bad : {"", "-a", "_a", "A", "a b", "a/b", "../x", "ä", "a\n"})
    EXPECT_FALSE(AgentName::parse(bad)) << bad;
  EXPECT_TRUE(AgentName::parse(std::string(63, 'a')));
  EXPECT_FALSE(AgentName::parse(std::string(64, 'a')));
  EXPECT_EQ(container_name(*AgentName::parse("demo"), RunId{3}), "agentmesh-demo-3");
}

TEST(IdsTest, ASessionTellsItsAgent) {
  EXPECT_EQ(session_name(*AgentName::parse("demo")), "agentmesh-demo");
  EXPECT_EQ(agent_of_session("agentmesh-demo"), "demo");
  for (const char* none : {"", "agentmesh-", "agentmesh", "_agentmesh", "demo", "my-agentmesh-demo"})
    EXPECT_EQ(agent_of_session(none), "") << none;
}

TEST(IdsTest, IdsDiffer) { EXPECT_NE(new_id("itm"), new_id("itm")); }

TEST(JsonTest, RefusesWhatIsTooDeepTooLargeOrNotJson) {
  EXPECT_TRUE(parse_json(R"({"a":[1,2]})", "test"));
  EXPECT_EQ(parse_json(std::string(200'000, '['), "test").error().code, ErrorCode::exhausted);
  EXPECT_TRUE(parse_json(std::string(64, '[') + std::string(64, ']'), "test"));
  EXPECT_EQ(parse_json(std::string(65, '[') + std::string(65, ']'), "test").error().code,
            ErrorCode::exhausted);
  EXPECT_EQ(parse_json(std::string(2 * 1024 * 1024, ' '), "test").error().code, ErrorCode::exhausted);
  const JsonLimits four{.values = 4};
  EXPECT_TRUE(parse_json(R"({"a":[1]})", "test", four)) << "two containers, a name, a number";
  EXPECT_EQ(parse_json(R"({"a":[1,2]})", "test", four).error().code, ErrorCode::exhausted);
  EXPECT_EQ(parse_json("[[],[],[],{}]", "test", four).error().code, ErrorCode::exhausted);
  for (const char* bad : {"", "{", "{\"a\":}", "[1,]", "\"\xff\"", "nul"}) {
    EXPECT_EQ(parse_json(bad, "test").error().code, ErrorCode::invalid) << bad;
  }
}

TEST(JsonTest, MembersHaveTypes) {
  const auto object = *parse_json(R"({"s":"x","n":7,"b":true,"z":null,"f":1.5})", "test");
  EXPECT_EQ(json_string(object, "s", ""), "x");
  EXPECT_EQ(json_string(object, "z", "d"), "d");
  EXPECT_EQ(json_string(object, "none", "d"), "d");
  EXPECT_EQ(json_int(object, "n", 0), 7);
  EXPECT_FALSE(json_int(object, "f", 0));
  EXPECT_FALSE(json_string(object, "n", ""));
  EXPECT_FALSE(json_bool(object, "s", false));
}

TEST(SocketAddressTest, APathFitsOrIsNone) {
  const std::string longest = "/" + std::string(kMaxSocketPath - 1, 'x');
  const auto address = SocketAddress::of(longest);
  ASSERT_TRUE(address);
  EXPECT_EQ(address->size(), sizeof(sockaddr_un));
  EXPECT_EQ(address->get()->sa_family, AF_UNIX);
  EXPECT_EQ(reinterpret_cast<const sockaddr_un*>(address->get())->sun_path, longest);
  EXPECT_FALSE(SocketAddress::of(longest + "x"));
  EXPECT_FALSE(SocketAddress::of(""));
}

TEST(SocketAddressTest, ThePeerIsKnown) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd one(ends[0]);
  const UniqueFd other(ends[1]);
  const auto peer = peer_of(one.get());
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->uid, ::geteuid());
  EXPECT_EQ(peer->pid, ::getpid());
  EXPECT_FALSE(peer_of(-1));
}

TEST(TextTest, AWholeNumberIsTheWholeText) {
  EXPECT_EQ(whole_number<int>("0"), 0);
  EXPECT_EQ(whole_number<int>("007"), 7);
  EXPECT_EQ(whole_number<int>("-12"), -12);
  for (const char* bad :
       {"", "-", "+1", "- 1", " 1", "1 ", "\t1", "1\n", "1x", "x", "1.0", "1e3", "0x10", "--1"})
    EXPECT_EQ(whole_number<int>(bad), std::nullopt) << bad;
  EXPECT_EQ(whole_number<int>({"1\0", 2}), std::nullopt);
  EXPECT_EQ(whole_number<int>({}), std::nullopt);
  EXPECT_EQ((whole_number<unsigned, 16>("fF")), 255U);
  EXPECT_EQ((whole_number<unsigned, 16>("0xff")), std::nullopt);
}

TEST(TextTest, AWholeNumberIsWithinItsTypeAndItsLimits) {
  EXPECT_EQ(whole_number<std::uint16_t>("65535"), 65'535);
  EXPECT_EQ(whole_number<std::uint16_t>("65536"), std::nullopt);
  EXPECT_EQ(whole_number<std::uint16_t>("-1"), std::nullopt);
  EXPECT_EQ(whole_number<std::int64_t>("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(whole_number<std::int64_t>("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(whole_number<std::int64_t>("9223372036854775808"), std::nullopt);
  EXPECT_EQ(whole_number<int>(std::string(100, '9')), std::nullopt);
  for (const char* good : {"1", "12", "20"}) EXPECT_TRUE(whole_number<int>(good, 1, 20)) << good;
  for (const char* bad : {"0", "-1", "21", "99999999999"}) EXPECT_FALSE(whole_number<int>(bad, 1, 20)) << bad;
}

TEST(TextTest, Sizes) {
  EXPECT_EQ(parse_size("2g"), 2ULL << 30);
  EXPECT_EQ(parse_size("512m"), 512ULL << 20);
  EXPECT_EQ(parse_size("1.5g"), 3ULL << 29);
  EXPECT_EQ(parse_size("1024"), 1024U);
  for (const char* bad : {"", "2gg", "g", "-1", "0", "0m", "0.5", "nan", "inf", "1e9g", "2 g g", "0x10"}) {
    EXPECT_FALSE(parse_size(bad)) << bad;
  }
}

TEST(TextTest, Durations) {
  EXPECT_EQ(parse_duration("250ms"), Millis{250});
  EXPECT_EQ(parse_duration("5m"), Millis{300'000});
  for (const char* none : {"0", "0s", "0ms", "0m", "0h", "0.0s"})
    EXPECT_EQ(parse_duration(none), Millis{0}) << none;
  for (const char* bad : {"", "5", "-1s", "-0s", "-0.5ms", "00", "0x", "nan", "5x", "99999999d"})
    EXPECT_FALSE(parse_duration(bad)) << bad;
  EXPECT_EQ(format_duration(Millis{3 * 3600'000 + 12 * 60'000}), "3h12m");
}

TEST(TextTest, Utf8AndTerminalText) {
  EXPECT_TRUE(is_utf8("gr\xC3\xBC\xC3\x9F dich \xF0\x9F\x8C\x8D"));
  for (const char* bad : {"\xff", "\xC0\x80", "\xED\xA0\x80", "\xE2\x82", "\xF5\x80\x80\x80"}) {
    EXPECT_FALSE(is_utf8(bad));
  }
  EXPECT_EQ(plain_text("\x1b[31mred\x1b[0m\r\n\x1b]0;title\x07text\x1bPq\x1b\\end\x07"), "red\ntextend");
  EXPECT_EQ(plain_text("half \x1b[3"), "half ");
  EXPECT_EQ(plain_text("a\xC2\x9B"
                       "2Jb\xC2\x9D"
                       "52;c\u202E\u2066c\u00FC\u2192"),
            "a2Jb52;cc\u00FC\u2192");
  EXPECT_EQ(plain_text("\xC2\x1b[0m\x9B"
                       "2J"),
            "\uFFFD\uFFFD2J")
      << "the halves of a CSI do not meet";
}

TEST(TextTest, WhatHidesOrTurnsATextIsTakenOutAndAnEmojiStaysWhole) {
  EXPECT_EQ(plain_text("a\u061Cb\u200Ec\u200Fd\u200Be\u2060f\uFEFFg\u00ADh\U000E0041i"), "abcdefghi");
  EXPECT_EQ(plain_text("pass\u200Dword \u200Cx"), "password x");
  const std::string family = "\U0001F468\u200D\U0001F469\u200D\U0001F467 \u2764\uFE0F";
  EXPECT_EQ(plain_text(family), family);
}

TEST(TextTest, AVisibleLineLeavesNothingOutUntold) {
  EXPECT_EQ(visible_line("ls -la", 100), "ls -la");
  EXPECT_EQ(visible_line("a\nb\tc\x1b[31m\x7f", 100), "a⏎b␉c␛[31m␡");
  EXPECT_EQ(visible_line("\u202egnp.exe\u200b\u0085\U000E0041", 100), "\\u202egnp.exe\\u200b\\u0085\\ue0041");
  EXPECT_EQ(visible_line("naïve 日本 \xff", 100), "naïve 日本 \uFFFD");
  EXPECT_FALSE(is_cut(visible_line(std::string(100, 'x'), 100)));
}

TEST(TextTest, ACutOfAVisibleLineTellsHowMuchIsMissing) {
  EXPECT_EQ(visible_line(std::string(101, 'x'), 100), std::string(64, 'x') + "… (+37 bytes)");
  EXPECT_EQ(visible_line(std::string(101, 'x') + "… (+1000 bytes)", 100),
            std::string(64, 'x') + "… (+1037 bytes)");
  EXPECT_EQ(visible_line("short… (+7 bytes)", 100), "short… (+7 bytes)");
  EXPECT_EQ(visible_line(std::string(90, 'x') + "… (+7 bytes)", 100), std::string(64, 'x') + "… (+33 bytes)");
  const std::string many = visible_line(std::string(1'000'000, '\n'), 100);
  EXPECT_LE(many.size(), 100U);
  EXPECT_TRUE(is_cut(many));
  EXPECT_EQ(visible_line("a… (+99999999999999999999 bytes)", 100), "a… (+99999999999999999999 bytes)");
}

TEST(TextTest, OneLineIsOneLine) {
  EXPECT_EQ(one_line("a\nb\tc\x1b[31md\u202Ee\xC2\x9B"
                     "f\xff"),
            "a?b?cdef\uFFFD");
  EXPECT_EQ(one_line(std::string(200, 'x')).size(), 80U);
}

TEST(TextTest, ACutIsBetweenCharacters) {
  EXPECT_EQ(cut_utf8("gr\xC3\xBC\xC3\x9F", 3), "gr");
  EXPECT_EQ(cut_utf8("gr\xC3\xBC\xC3\x9F", 4), "gr\xC3\xBC");
  EXPECT_EQ(cut_utf8("abc", 3), "abc");
  EXPECT_EQ(cut_utf8("\xF0\x9F\x8C\x8D", 3), "");
}

TEST(TextTest, LowerCaseIsOfAsciiLettersAlone) {
  EXPECT_EQ(lower_case("Content-TYPE @[`{ 1"), "content-type @[`{ 1");
  EXPECT_EQ(lower_case("\u00C4"), "\u00C4");
}

TEST(TextTest, NearestFindsTheWordThatWasMeant) {
  const std::vector<std::string> keys{"memory", "cpus", "network"};
  EXPECT_EQ(nearest("memroy", keys), "memory");
  EXPECT_EQ(nearest("netwrk", keys), "network");
  EXPECT_EQ(nearest("completely_else", keys), std::nullopt);
}

TEST(TextTest, Digests) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(base64("any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw==");
}

TEST(SecretTest, RedactsWhatLooksLikeASecret) {
  EXPECT_EQ(redact("key=sk-abcdefghijklmnop rest"), "key=[redacted] rest");
  EXPECT_EQ(redact("Authorization: Bearer abcdefghijklmnop"), "Authorization: Bearer [redacted]");
  EXPECT_EQ(redact("amk_0123456789abcdef"), "[redacted]");
  const std::string wide(40, 'x');  // columns, so the line may have been wrapped
  EXPECT_EQ(redact(wide + " sk-abc\n  " + wide + "\ndefghi rest"), wide + " [redacted] rest");
  EXPECT_EQ(redact(wide + " Bearer abcdef\nghijklmnop rest"), wide + " Bearer [redacted] rest");
  EXPECT_EQ(redact(wide + " sk-abcdefghijklmnop\n$ ls"), wide + " [redacted]\n$ ls");
  EXPECT_EQ(redact("key=sk-abcdefghijklmnop\nlast"), "key=[redacted]\nlast")
      << "a short line was not wrapped";
  EXPECT_EQ(redact("import sk-learn; task-force-of-twelve-people"),
            "import sk-learn; task-force-of-twelve-people");
}

// RFC 4231, test case 2, and a key longer than a block (case 6).
TEST(SecretTest, SignsAsTheStandardSays) {
  EXPECT_EQ(hmac_sha256_hex(Secret("Jefe"), "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hmac_sha256_hex(Secret(std::string(131, '\xaa')),
                            "Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(SecretTest, IsNamedNeverWritten) {
  EXPECT_EQ(resolve_secret("hunter2").error().code, ErrorCode::invalid);
  EXPECT_EQ(resolve_secret("env:AGENTMESH_TEST_NOT_SET").error().code, ErrorCode::not_found);
  EXPECT_TRUE(Secret("abc").equals("abc"));
  EXPECT_FALSE(Secret("abc").equals("abd"));
}

}  // namespace
}  // namespace agentmesh
