#include "sandbox/docker_wire.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::sandbox::wire {
namespace {

std::string deep(int depth) { return std::string(static_cast<std::size_t>(depth), '['); }

TEST(Version, NegotiatesTheNewestBothKnow) {
  const auto api = [](std::string_view newest, std::string_view oldest) -> std::string {
    const auto version = version_from(R"({"Version":"v","ApiVersion":")" + std::string(newest) +
                                      R"(","MinAPIVersion":")" + std::string(oldest) + "\"}");
    return version ? version->api : std::string(to_string(version.error().code));
  };
  EXPECT_EQ(api("1.41", "1.12"), "1.41");
  EXPECT_EQ(api("1.43", "1.24"), "1.43");
  EXPECT_EQ(api("1.52", "1.44"), "1.44");
  EXPECT_EQ(api("1.40", "1.12"), "invalid");
  EXPECT_EQ(api("1.60", "1.45"), "invalid");
  EXPECT_EQ(api("", "1.12"), "internal");
  EXPECT_EQ(api("2.0", "1.12"), "internal");
  EXPECT_EQ(api("1.x", "1.12"), "internal");
  EXPECT_EQ(api("1.99999999999999", "1.12"), "internal");
}

TEST(Answers, ThatAreNotTheApiAreErrorsNotCrashes) {
  const std::vector<std::string> bad{
      "",
      "{",
      "}",
      "nul",
      "7",
      "\"x\"",
      "[7]",
      "[[]]",
      "{\"Id\":7}",
      "[{\"Id\":[]}]",
      "{\"State\":7,\"Config\":[]}",
      "\xff\xff",
      deep(100'000),
      R"({"Id":"a","Names":"x","Labels":[1],"Config":{"Labels":7,"Tty":"yes"},"State":{"Pid":"x"}})"};
  for (const auto& body : bad) {
    EXPECT_FALSE(version_from(body)) << body.substr(0, 60);
    EXPECT_FALSE(summaries_from(body)) << body.substr(0, 60);
    EXPECT_FALSE(details_from(body)) << body.substr(0, 60);
    EXPECT_FALSE(images_from(body)) << body.substr(0, 60);
    EXPECT_FALSE(networks_from(body)) << body.substr(0, 60);
    EXPECT_FALSE(wait_code_from(body)) << body.substr(0, 60);
  }
  EXPECT_FALSE(info_from("[]"));
  EXPECT_FALSE(info_from(R"({"NCPU":"2"})"));
  EXPECT_FALSE(id_from("{}"));
  EXPECT_FALSE(exec_state_from(R"({"Running":"no","ExitCode":0})"));
  EXPECT_FALSE(wait_code_from(R"({"StatusCode":"0"})"));
  EXPECT_FALSE(image_from("null"));
  EXPECT_FALSE(network_from("7"));
  EXPECT_EQ(summaries_from(deep(100'000)).error().code, ErrorCode::exhausted);
  EXPECT_EQ(summaries_from(std::string(kMaxAnswerBytes + 1, ' ')).error().code, ErrorCode::exhausted);
}

TEST(Answers, NullsAreAbsent) {
  EXPECT_TRUE(summaries_from("null")->empty());
  const auto list = summaries_from(
      R"([{"Id":"a","Names":null,"Labels":null,"State":"running"},{"Id":"b","Names":["/x"],"State":"odd","Created":-7}])");
  ASSERT_TRUE(list);
  EXPECT_EQ(list->at(0).state, ContainerState::running);
  EXPECT_EQ(list->at(1).name, "x");
  EXPECT_EQ(list->at(1).state, ContainerState::unknown);
}

TEST(Answers, DetailsAreRead) {
  const auto details =
      details_from(R"({"Id":"abc","Name":"/n","Image":"sha256:1","Created":"2026-01-02T03:04:05.678901234Z",
    "State":{"Status":"exited","Pid":0,"ExitCode":137,"OOMKilled":true,"Error":"e","StartedAt":"2026-01-02T03:04:06Z","FinishedAt":"0001-01-01T00:00:00Z"},
    "Config":{"Tty":true,"Labels":{"a":"b"}},"NetworkSettings":{"Networks":{"net":{"IPAddress":"10.0.0.2"},"gone":null}}})");
  ASSERT_TRUE(details) << describe(details.error());
  EXPECT_EQ(details->name, "n");
  EXPECT_EQ(details->state, ContainerState::exited);
  EXPECT_EQ(details->exit_code, 137);
  EXPECT_TRUE(details->oom_killed);
  EXPECT_EQ(to_rfc3339(details->created_at), "2026-01-02T03:04:05.678Z");
  EXPECT_TRUE(details->started_at);
  EXPECT_FALSE(details->finished_at);
  EXPECT_EQ(details->addresses.at("net"), "10.0.0.2");
  EXPECT_EQ(details->labels.at("a"), "b");
}

TEST(Errors, CarryTheEnginesTextAndACure) {
  EXPECT_EQ(error_from(409, R"({"message":"taken"})").code, ErrorCode::conflict);
  EXPECT_EQ(error_from(409, R"({"message":"taken"})").what, "taken");
  EXPECT_EQ(error_from(500, "plain\ntext \x1b[31mred\n").what, "plain text red");
  EXPECT_EQ(error_from(500, "").what, "the engine answered 500");
  EXPECT_EQ(error_from(500, R"({"message":7})").what, "the engine answered 500");
  EXPECT_EQ(error_from(301, "").code, ErrorCode::internal);
  EXPECT_EQ(error_from(503, "x").code, ErrorCode::internal);
  EXPECT_EQ(error_from(400, "x").code, ErrorCode::invalid);
  EXPECT_TRUE(error_from(404, R"({"message":"No such container: x"})").hint.empty());
  EXPECT_FALSE(error_from(404, R"({"message":"No such image: x"})").hint.empty());
  EXPECT_LE(error_from(500, std::string(1'000'000, 'x')).what.size(), 3000U);
}

TEST(Requests, AreEncoded) {
  EXPECT_EQ(encode("a/b c&d=\xff"), "a%2Fb%20c%26d%3D%FF");
  EXPECT_EQ(encode_path("host:5000/a/b:c@sha256:d?x"), "host:5000/a/b:c@sha256:d%3Fx");
  EXPECT_EQ(label_filter({{"a", "b"}, {"c", ""}}), encode(R"({"label":["a=b","c"]})"));
  const auto network =
      nlohmann::json::parse(network_json({"n", Reach::internal, "10.0.0.0/24", "10.0.0.1", {{"l", "v"}}}));
  EXPECT_EQ(network["Internal"], true);
  EXPECT_EQ(network["Options"]["com.docker.network.bridge.enable_icc"], "false");
  EXPECT_EQ(network["IPAM"]["Config"][0]["Subnet"], "10.0.0.0/24");
  EXPECT_FALSE(nlohmann::json::parse(network_json({"n", Reach::external, "", "", {}})).contains("IPAM"));
}

TEST(Lines, ComeWholeWhateverThePieces) {
  const std::string text = "one\ntwo\n\n  \nthree";
  for (std::size_t step = 1; step <= text.size(); ++step) {
    std::vector<std::string> lines;
    LineSplitter splitter(100, [&](std::string_view line) { lines.emplace_back(line); });
    for (std::size_t at = 0; at < text.size(); at += step)
      splitter.push(std::string_view(text).substr(at, step));
    splitter.finish();
    EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", "three"})) << step;
  }
}

TEST(Lines, TooLongOnesAreDroppedAlone) {
  std::vector<std::string> lines;
  LineSplitter splitter(5, [&](std::string_view line) { lines.emplace_back(line); });
  for (const char c : std::string("12345\n123456\nok\n" + std::string(100'000, 'x')))
    splitter.push(std::string_view(&c, 1));
  splitter.push("\nend\n");
  splitter.finish();
  EXPECT_EQ(lines, (std::vector<std::string>{"12345", "ok", "end"}));
  EXPECT_EQ(splitter.dropped(), 2U);
}

std::string frame(int stream, std::string_view text) {
  std::string out{static_cast<char>(stream),           0, 0, 0, 0, 0, static_cast<char>(text.size() >> 8),
                  static_cast<char>(text.size() & 255)};
  return out.append(text);
}

TEST(Frames, AreTakenApartWhateverThePieces) {
  const auto bytes = frame(1, "hello") + frame(2, "bad") + frame(1, "") + frame(1, std::string(300, 'z'));
  for (const std::size_t step : {1U, 2U, 3U, 7U, 8U, 9U, 100U, 1000U}) {
    std::string out, err;
    Demultiplexer frames(
        [&](Stream stream, std::string_view text) { (stream == Stream::out ? out : err) += text; });
    for (std::size_t at = 0; at < bytes.size(); at += step)
      ASSERT_TRUE(frames.push(std::string_view(bytes).substr(at, step)));
    EXPECT_EQ(out, "hello" + std::string(300, 'z')) << step;
    EXPECT_EQ(err, "bad") << step;
  }
}

TEST(Frames, OtherBytesAreAnError) {
  Demultiplexer frames([](Stream, std::string_view) {});
  EXPECT_EQ(frames.push("plain text of a terminal").error().code, ErrorCode::internal);
}

TEST(Tails, KeepTheNewestBytes) {
  Tail tail(10);
  for (int i = 0; i < 1000; ++i) tail.push(std::to_string(i) + ",");
  EXPECT_EQ(tail.take(), "7,998,999,");
  Tail one(4);
  one.push("123456789");
  EXPECT_EQ(one.take(), "6789");
}

TEST(Progress, ReadsStepsIdsAndErrors) {
  const auto pull =
      progress_from(R"({"status":"Downloading","progressDetail":{"current":5,"total":10},"id":"abc"})");
  ASSERT_TRUE(pull);
  EXPECT_EQ(pull->progress.current_bytes, 5U);
  EXPECT_EQ(pull->progress.id, "abc");
  EXPECT_EQ(progress_from(R"({"stream":"Step 1/2 : FROM x\n"})")->progress.status, "Step 1/2 : FROM x");
  EXPECT_EQ(progress_from(R"({"aux":{"ID":"sha256:1"}})")->image_id, "sha256:1");
  const auto failed = progress_from(R"({"errorDetail":{"message":"m"},"error":"it broke\n"})");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().what, "it broke");
  for (const auto* bad :
       {"", "x", "[1]", R"({"status":7})", R"({"error":7})", R"({"progressDetail":{"current":"x"}})"}) {
    EXPECT_FALSE(progress_from(bad)) << bad;
  }
}

}  // namespace
}  // namespace agentmesh::sandbox::wire
