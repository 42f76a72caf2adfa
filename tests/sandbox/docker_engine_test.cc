// DockerEngine against an engine that misbehaves.

#include "sandbox/docker_engine.h"

#include "sandbox/image.h"
#include "tests/net/run_task.h"
#include "tests/net/scripted_server.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace agentmesh::sandbox {
namespace {

using test::answer;
using test::hang;
using test::json;
using test::raw;
using test::Recorded;
using test::Reply;
using test::run_task;
using test::ScriptedServer;

constexpr std::string_view kVersion = R"({"Version":"20.10","ApiVersion":"1.41","MinAPIVersion":"1.12"})";

class DockerEngineTest : public ::testing::Test {
 protected:
  // Answers /version well and everything else by `reply`.
  void serve(std::function<Reply(const Recorded&)> reply) {
    server_.emplace(io_, [reply](const Recorded& request) {
      return request.line() == "GET /version HTTP/1.1" ? json(kVersion) : reply(request);
    });
    engine_.emplace(
        http_, EngineOptions{.socket = server_->path(), .deadline = Millis{200}, .stall_limit = Millis{200}});
  }
  void serve(Reply reply) {
    serve([reply](const Recorded&) { return reply; });
  }
  template <class T>
  Result<T> run(Task<T> task) {
    return run_task<T>(io_, std::move(task));
  }
  // Every method once, by its error; a method that succeeds gives nothing.
  std::vector<std::optional<Error>> every_method();

  boost::asio::io_context io_;
  net::HttpClient http_{io_.get_executor()};
  std::optional<ScriptedServer> server_;
  std::optional<DockerEngine> engine_;
};

template <class T>
std::optional<Error> error_of(Result<T> result) {
  return result ? std::nullopt : std::optional(result.error());
}

std::vector<std::optional<Error>> DockerEngineTest::every_method() {
  auto& e = *engine_;
  ExecRequest exec;
  exec.deadline = Millis{200};
  return {error_of(run(e.ping())),
          error_of(run(e.info())),
          error_of(run(e.create("n", RunSpec{}))),
          error_of(run(e.start("a"))),
          error_of(run(e.stop("a", Millis{0}))),
          error_of(run(e.kill("a", 9))),
          error_of(run(e.lift_cpu_limit("a"))),
          error_of(run(e.remove("a"))),
          error_of(run(e.list({{"a", "b"}}))),
          error_of(run(e.inspect("a"))),
          error_of(run(e.logs("a", {}))),
          error_of(run(e.resize("a", {}))),
          error_of(run(e.exec("a", exec))),
          error_of(run(e.inspect_image("i"))),
          error_of(run(e.list_images({}))),
          error_of(run(e.pull_image("i", {}))),
          error_of(run(e.remove_image("i"))),
          error_of(run(e.list_networks({}))),
          error_of(run(e.create_network({.name = "n"}))),
          error_of(run(e.remove_network("n"))),
          error_of(run(e.inspect_network("n")))};
}

TEST_F(DockerEngineTest, AHungEngineIsATimeoutOfEveryMethod) {
  serve(hang());
  const auto begin = std::chrono::steady_clock::now();
  for (const auto& error : every_method()) {
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, ErrorCode::timeout) << describe(*error);
    EXPECT_EQ(error->stage, "engine");
    EXPECT_FALSE(error->hint.empty());
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(15));
}

TEST_F(DockerEngineTest, AFailingEngineIsInternalWithItsMessage) {
  serve(answer(500, R"({"message":"the disk is on fire"})"));
  for (const auto& error : every_method()) {
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, ErrorCode::internal);
    EXPECT_EQ(error->what, "the disk is on fire");
  }
}

TEST_F(DockerEngineTest, HalfAnAnswerIsUnknownOrUnavailable) {
  serve(raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"Id\":\"a"));
  for (const auto& error : every_method()) {
    ASSERT_TRUE(error);
    EXPECT_TRUE(error->code == ErrorCode::timeout || error->code == ErrorCode::unavailable)
        << describe(*error);
  }
  serve(raw("HTTP/1.1 200 OK\r\n\r\n{\"Id\":\"a"));
  EXPECT_EQ(run(engine_->create("n", {})).error().code, ErrorCode::internal) << "complete, but half JSON";
}

TEST_F(DockerEngineTest, WrongTypesAndWrongProtocolsAreInternal) {
  for (const auto& reply : {json("[]"), json("{}"), json("7"), json("[7]"), json(R"({"Id":{}})"),
                            raw("SSH-2.0\r\n\r\n"), answer(302, "", "Location: /x\r\n")}) {
    serve(reply);
    EXPECT_EQ(run(engine_->create("n", {})).error().code, ErrorCode::internal);
  }
}

TEST_F(DockerEngineTest, AHugeAnswerIsExhausted) {
  serve(json(std::string(9 * 1024 * 1024, ' ')));
  EXPECT_EQ(run(engine_->list({})).error().code, ErrorCode::exhausted);
  serve(json(std::string(100'000, '[')));
  EXPECT_EQ(run(engine_->list({})).error().code, ErrorCode::exhausted);
}

TEST_F(DockerEngineTest, AMissingSocketNamesTheCure) {
  DockerEngine engine(http_, {.socket = "/nonexistent/docker.sock"});
  const auto result = run(engine.ping());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::unavailable);
  EXPECT_NE(result.error().what.find("/nonexistent/docker.sock"), std::string::npos);
  EXPECT_NE(result.error().hint.find("DOCKER_HOST"), std::string::npos);
}

TEST_F(DockerEngineTest, ARefusingSocketIsUnavailable) {
  serve(json("{}"));
  const auto path = server_->path();
  std::filesystem::rename(path, path + ".kept");
  std::filesystem::create_symlink(path + ".kept", path);
  server_.reset();
  DockerEngine engine(http_, {.socket = path + ".kept"});
  EXPECT_EQ(run(engine.ping()).error().code, ErrorCode::unavailable);
  std::filesystem::remove(path + ".kept");
}

TEST_F(DockerEngineTest, ASocketOfOthersNamesTheCure) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  serve(json("{}"));
  ::chmod(server_->path().c_str(), 0600);
  ::setfsuid(65534);
  const auto result = run(engine_->ping());
  ::setfsuid(0);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::unavailable);
  EXPECT_NE(result.error().hint.find("usermod"), std::string::npos);
}

TEST_F(DockerEngineTest, NegotiatesOnceAndAgainAfterABreak) {
  int versions = 0;
  server_.emplace(io_, [&](const Recorded& request) {
    if (request.line() == "GET /version HTTP/1.1") return ++versions, json(kVersion);
    return request.line().find("/images/") != std::string::npos ? raw("") : json("[]");
  });
  engine_.emplace(http_, EngineOptions{.socket = server_->path()});
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(run(engine_->list({})));
  EXPECT_EQ(versions, 1);
  EXPECT_EQ(run(engine_->list_images({})).error().code, ErrorCode::unavailable);
  ASSERT_TRUE(run(engine_->list({})));
  EXPECT_EQ(versions, 2);
  EXPECT_TRUE(server_->requests().back().line().starts_with("GET /v1.41/containers/json?all=1&filters="));
}

TEST_F(DockerEngineTest, AnOldEngineIsRefusedClearly) {
  server_.emplace(io_, [](const Recorded&) {
    return json(R"({"Version":"17.03","ApiVersion":"1.26","MinAPIVersion":"1.12"})");
  });
  engine_.emplace(http_, EngineOptions{.socket = server_->path()});
  const auto result = run(engine_->list({}));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::invalid);
  EXPECT_EQ(result.error().what, "engine 17.03 is too old: its API is 1.26");
}

TEST_F(DockerEngineTest, StatusesBecomeCodes) {
  serve(answer(404, R"({"message":"No such container: a"})"));
  EXPECT_EQ(run(engine_->start("a")).error().code, ErrorCode::not_found);
  EXPECT_EQ(run(engine_->inspect("a")).error().code, ErrorCode::not_found);
  EXPECT_TRUE(run(engine_->remove("a")));
  EXPECT_TRUE(run(engine_->remove_image("a")));
  EXPECT_TRUE(run(engine_->remove_network("a")));
  serve(answer(404, R"({"message":"device not found"})"));
  EXPECT_EQ(run(engine_->start("a")).error().code, ErrorCode::invalid);
  serve(answer(304, ""));
  EXPECT_TRUE(run(engine_->start("a")));
  EXPECT_TRUE(run(engine_->stop("a", Millis{0})));
  serve(answer(403, R"({"message":"subnet overlaps"})"));
  EXPECT_EQ(run(engine_->create_network({.name = "n"})).error().code, ErrorCode::conflict);
}

TEST_F(DockerEngineTest, IdsCannotLeaveTheirPlaceInThePath) {
  serve(json("{}"));
  (void)run(engine_->kill("../images/x?force=1#", 9));
  EXPECT_EQ(server_->requests().back().line(),
            "POST /v1.41/containers/..%2Fimages%2Fx%3Fforce%3D1%23/kill?signal=9 HTTP/1.1");
  EXPECT_EQ(run(engine_->remove("")).error().code, ErrorCode::invalid);
}

TEST_F(DockerEngineTest, TheProcessorLimitIsLiftedByItsQuota) {
  serve(json(R"({"Warnings":null})"));
  ASSERT_TRUE(run(engine_->lift_cpu_limit("a")));
  EXPECT_EQ(server_->requests().back().line(), "POST /v1.41/containers/a/update HTTP/1.1");
  EXPECT_EQ(server_->requests().back().body, R"({"CpuQuota":-1})");
}

TEST_F(DockerEngineTest, StopHasItsGraceBesidesTheDeadline) {
  serve(answer(204, ""));
  ASSERT_TRUE(run(engine_->stop("a", Millis{1500})));
  EXPECT_EQ(server_->requests().back().line(), "POST /v1.41/containers/a/stop?t=2 HTTP/1.1");
}

TEST_F(DockerEngineTest, AStreamThatStallsOrLiesIsAnError) {
  serve(Reply{{"HTTP/1.1 200 OK\r\n\r\n", "{\"status\":\"Downloading\"}\n"}, false, true});
  int steps = 0;
  auto result = run(engine_->pull_image("i", [&](const ImageProgress&) { ++steps; }));
  EXPECT_EQ(result.error().code, ErrorCode::timeout);
  EXPECT_EQ(steps, 1);
  serve(raw("HTTP/1.1 200 OK\r\n\r\n{\"status\":\"a\"}\n{\"status\":"));
  EXPECT_EQ(run(engine_->pull_image("i", {})).error().code, ErrorCode::internal);
  serve(raw("HTTP/1.1 200 OK\r\n\r\n{\"error\":\"dial tcp: lookup x: no such host\"}\n"));
  EXPECT_EQ(run(engine_->pull_image("i", {})).error().code, ErrorCode::unavailable);
}

TEST_F(DockerEngineTest, PullAlwaysNamesATag) {
  serve(json("{}"));
  const auto asked = [&](const std::string& name) {
    (void)run(engine_->pull_image(name, {}));
    std::string last;
    for (const auto& request : server_->requests()) {
      const auto at = request.line().find("?fromImage=");
      if (at != std::string::npos) last = request.line().substr(at);
    }
    return last;
  };
  EXPECT_EQ(asked("a"), "?fromImage=a&tag=latest HTTP/1.1");
  EXPECT_EQ(asked("a:b"), "?fromImage=a&tag=b HTTP/1.1");
  EXPECT_EQ(asked("h:5000/a"), "?fromImage=h%3A5000%2Fa&tag=latest HTTP/1.1");
  EXPECT_EQ(asked("a@sha256:c"), "?fromImage=a&tag=sha256%3Ac HTTP/1.1");
}

TEST_F(DockerEngineTest, ExecWaitsForItsCode) {
  int asked = 0;
  serve([&](const Recorded& request) {
    const auto line = request.line();
    if (line.find("/containers/a/exec") != std::string::npos) return answer(201, R"({"Id":"e"})");
    if (line.find("/exec/e/start") != std::string::npos)
      return raw(std::string("HTTP/1.1 200 OK\r\n\r\n\1\0\0\0\0\0\0\2hi", 29));
    return json(++asked < 3 ? R"({"Running":true,"ExitCode":null})" : R"({"Running":false,"ExitCode":4})");
  });
  ExecRequest request;
  request.command = {"x"};
  const auto result = run(engine_->exec("a", request));
  ASSERT_TRUE(result) << describe(result.error());
  EXPECT_EQ(result->out, "hi");
  EXPECT_EQ(result->exit_code, 4);
}

TEST_F(DockerEngineTest, AMissingImageNamesTheCommandThatMakesIt) {
  serve(answer(404, R"({"message":"No such image: x"})"));
  const auto own = run(resolve_image(*engine_, std::string(kDefaultImage)));
  EXPECT_EQ(own.error().code, ErrorCode::not_found);
  EXPECT_EQ(own.error().hint, "agentmesh image build");
}

TEST_F(DockerEngineTest, TheBuildContextIsSentAsATar) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("test-engine-ctx-" + std::to_string(::getpid()));
  const auto long_name = std::string(60, 'd') + "/" + std::string(90, 'f');
  std::filesystem::create_directories(folder / std::string(60, 'd'));
  std::ofstream(folder / "Dockerfile") << "FROM x\n";
  std::ofstream(folder / "empty") << "";
  std::ofstream(folder / long_name) << std::string(1000, 'z');
  std::filesystem::create_symlink("Dockerfile", folder / "link");
  serve(json(R"({"aux":{"ID":"sha256:9"}})"));
  BuildRequest request{folder.string(), "Dockerfile", "t:1", {{"A", "b"}}, {}, "host"};
  const auto id = run(engine_->build_image(request, {}));
  ASSERT_TRUE(id) << describe(id.error());
  EXPECT_EQ(*id, "sha256:9");
  const auto seen = server_->requests().back();
  EXPECT_NE(seen.line().find("buildargs=%7B%22A%22%3A%22b%22%7D"), std::string::npos) << seen.line();
  EXPECT_NE(seen.line().find("networkmode=host"), std::string::npos);
  EXPECT_EQ(seen.body.size() % 512, 0U);
  const auto tar = folder.string() + ".tar";
  std::ofstream(tar, std::ios::binary) << seen.body;
  const auto command = "tar --verbose -tf " + tar + " | tr -s ' ' | cut -d' ' -f1,3,6- > " + tar +
                       ".list && tar -xOf " + tar + " " + long_name + " | wc -c >> " + tar + ".list";
  ASSERT_EQ(std::system(command.c_str()), 0);
  std::ifstream listed(tar + ".list");
  const std::string text((std::istreambuf_iterator<char>(listed)), {});
  EXPECT_NE(text.find(" 7 Dockerfile\n"), std::string::npos) << text;
  EXPECT_NE(text.find(" 0 empty\n"), std::string::npos) << text;
  EXPECT_NE(text.find(" 0 link -> Dockerfile\n"), std::string::npos) << text;
  EXPECT_NE(text.find(" 1000 " + long_name + "\n"), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with("1000\n")) << text;
  std::filesystem::remove_all(folder);
  std::filesystem::remove(tar);
  std::filesystem::remove(tar + ".list");
  EXPECT_EQ(run(engine_->build_image({"/no/such/folder", "D", "t", {}, {}, ""}, {})).error().code,
            ErrorCode::not_found);
}

}  // namespace
}  // namespace agentmesh::sandbox
