// image build, pull and list: straight to the engine, without the daemon.
#include "base/text.h"
#include "cli/command.h"
#include "cli/daemon_client.h"
#include "cli/output.h"
#include "config/load.h"
#include "sandbox/docker_engine.h"
#include "sandbox/engine_socket.h"
#include "sandbox/image.h"

#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::cli {
namespace {

using nlohmann::json;

constexpr std::string_view kDockerfile = "Dockerfile.sandbox";

// Runs one conversation with the engine to its end.
template <class T>
Result<T> with_engine(const std::function<Task<T>(sandbox::Engine&)>& conversation) {
  const auto where = home();
  if (!where) return pass(where.error());
  const auto config = config::load(where->config(), config::system_environment());
  if (!config) return pass(config.error());
  const auto socket = config->engine.socket.empty() ? sandbox::find_engine_socket(sandbox::this_host())
                                                    : Result<std::string>(config->engine.socket);
  if (!socket) return pass(socket.error());
  boost::asio::io_context io(1);
  net::HttpClient http(io.get_executor());
  sandbox::DockerEngine engine(http, {.socket = *socket, .deadline = config->engine.deadline});
  Result<T> answer = fail(ErrorCode::internal, "engine", "no answer");
  boost::asio::co_spawn(io, conversation(engine), [&](std::exception_ptr problem, Result<T> got) {
    if (!problem) answer = std::move(got);
    io.stop();
  });
  io.run();
  return answer;
}

// The engine's progress on standard error, when that is a terminal; build output always, because it tells
// why.
sandbox::ProgressHandler progress() {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  return [terminal](const sandbox::ImageProgress& step) {
    const std::string line(trim(plain_text(step.status)));
    if (line.empty() || (!terminal && step.total_bytes != 0)) return;
    if (step.total_bytes == 0) {
      fmt::print(stderr, "{}{}\n", step.id.empty() ? "" : step.id + ": ", line);
    } else {
      fmt::print(stderr, "\r{}: {} {}/{}   ", step.id, line, format_size(step.current_bytes),
                 format_size(step.total_bytes));
    }
  };
}

// images/ beside the sources, or where an installation puts it.
Result<std::string> context_folder(const std::string& given) {
  namespace fs = std::filesystem;
  std::error_code ec;
  const fs::path self = fs::read_symlink("/proc/self/exe", ec).parent_path();
  std::vector<fs::path> places{self / "../../images", self / "../share/agentmesh/images", fs::path("images")};
  if (!given.empty()) places = {given};
  for (const fs::path& place : places) {
    if (fs::exists(place / kDockerfile, ec)) return fs::canonical(place, ec).string();
  }
  return fail(ErrorCode::not_found, "image",
              fmt::format("no {} in {}", kDockerfile, places.front().lexically_normal().string()),
              "name its folder with --context");
}

}  // namespace

Result<int> run_image_build(const Arguments& arguments) {
  const auto context = context_folder(arguments.text("--context"));
  if (!context) return pass(context.error());
  const std::string tag =
      arguments.has("--tag") ? arguments.text("--tag") : std::string(sandbox::kDefaultImage);
  const auto built = with_engine<std::string>([&](sandbox::Engine& engine) -> Task<std::string> {
    if (auto base = co_await sandbox::resolve_image(engine, std::string(sandbox::kBaseImage)); !base) {
      if (base.error().code != ErrorCode::not_found) co_return pass(base.error());
      auto pulled = co_await engine.pull_image(std::string(sandbox::kBaseImage), progress());
      if (!pulled) {
        co_return fail(
            ErrorCode::not_found, "image",
            fmt::format("the base image {} is not here, and no registry can be reached", sandbox::kBaseImage),
            "scripts/base-image makes it without a registry");
      }
    }
    sandbox::BuildRequest request{
        .context_folder = *context, .dockerfile = std::string(kDockerfile), .tag = tag};
    if (arguments.has("--agents")) request.arguments["AGENTS"] = arguments.text("--agents");
    co_return co_await engine.build_image(std::move(request), progress());
  });
  if (!built) return pass(built.error());
  print(arguments.json() ? json{{"image", tag}, {"id", *built}}.dump() + "\n"
                         : fmt::format("{} is {}\n", tag, *built));
  return 0;
}

Result<int> run_image_pull(const Arguments& arguments) {
  const std::string name = arguments.text("IMAGE");
  const auto pulled =
      with_engine<std::string>([&](sandbox::Engine& engine) { return engine.pull_image(name, progress()); });
  if (!pulled) return pass(pulled.error());
  print(arguments.json() ? json{{"image", name}, {"id", *pulled}}.dump() + "\n"
                         : fmt::format("{} is {}\n", name, *pulled));
  return 0;
}

Result<int> run_image_list(const Arguments& arguments) {
  const auto images = with_engine<std::vector<sandbox::ImageDetails>>(
      [](sandbox::Engine& engine) { return engine.list_images({}); });
  if (!images) return pass(images.error());
  json list = json::array();
  std::vector<Row> rows{{"IMAGE", "ID", "SIZE", "MADE"}};
  for (const auto& image : *images) {
    list.push_back({{"id", image.id},
                    {"tags", image.tags},
                    {"size_bytes", image.size_bytes},
                    {"created_at", to_rfc3339(image.created_at)}});
    for (const std::string& tag : image.tags) {
      rows.push_back(
          {tag, image.id.substr(0, 19), format_size(image.size_bytes), to_rfc3339(image.created_at)});
    }
  }
  print(arguments.json() ? list.dump() + "\n" : table(rows));
  return 0;
}

}  // namespace agentmesh::cli
