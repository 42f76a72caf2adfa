// image build, pull and list: straight to the engine, without the daemon.
#include "base/files.h"
#include "base/log.h"
#include "base/process.h"
#include "base/spawn_logged.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/daemon_client.h"
#include "cli/output.h"
#include "config/load.h"
#include "daemon/daemon.h"
#include "sandbox/docker_engine.h"
#include "sandbox/image.h"

#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::cli {
namespace {

using nlohmann::json;

constexpr Millis kBaseLimit{15 * 60'000};  // debootstrap over a slow line
constexpr std::size_t kMaxCertificateBytes = 2 * 1024 * 1024;
constexpr std::string_view kDockerfile = "Dockerfile.sandbox";

// Runs one conversation with the engine to its end.
template <class T>
Result<T> with_engine(const std::function<Task<T>(sandbox::Engine&)>& conversation) {
  const auto where = home();
  if (!where) return pass(where.error());
  const auto config = config::load(where->config(), config::system_environment());
  if (!config) return pass(config.error());
  const auto socket = daemon::engine_socket(*config);
  if (!socket) return pass(socket.error());
  boost::asio::io_context io(1);
  net::HttpClient http(io.get_executor());
  sandbox::DockerEngine engine(http, {.socket = *socket, .deadline = config->engine.deadline});
  Result<T> answer = fail(ErrorCode::internal, "engine", "no answer");
  log_to_stderr(LogLevel::warn);
  spawn_logged(io, "engine", conversation(engine), [&](Result<T> got) {
    answer = std::move(got);
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
  const fs::path self = own_program().parent_path();
  std::vector<fs::path> places{self / "../../images", self / "../share/agentmesh/images", fs::path("images")};
  if (!given.empty()) places = {given};
  for (const fs::path& place : places) {
    if (fs::exists(place / kDockerfile, ec)) return fs::canonical(place, ec).string();
  }
  return fail(ErrorCode::not_found, "image",
              fmt::format("no {} in {}", kDockerfile, places.front().lexically_normal().string()),
              "name its folder with --context");
}

// Certificates that this machine trusts beyond its distribution's (a company's proxy): the file the
// environment names, else what an administrator put in the system's folder. Empty on most machines.
std::string extra_certificates() {
  for (const char* variable : {"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"}) {
    const char* path = std::getenv(variable);
    const auto text = path == nullptr ? Result<std::string>("") : read_file(path, kMaxCertificateBytes);
    if (text && !text->empty()) return *text;
  }
  std::string all;
  std::error_code ec;
  for (const auto& file : std::filesystem::directory_iterator("/usr/local/share/ca-certificates", ec)) {
    const auto text = file.path().extension() == ".crt" ? read_file(file.path(), kMaxCertificateBytes)
                                                        : Result<std::string>("");
    if (text) all += *text;
  }
  return all;
}

// The build context: images/, and this machine's extra certificates. Removed at the end.
class Context {
 public:
  static Result<Context> make(const std::string& folder) {
    std::string name = (std::filesystem::temp_directory_path() / "agentmesh-image-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
      return pass(os_error("image", "cannot make a temporary folder", errno));
    Context context(name);
    std::error_code ec;
    std::filesystem::copy(folder, name, std::filesystem::copy_options::recursive, ec);
    if (ec) return pass(os_error("image", "cannot copy " + folder, ec.value()));
    const std::string certificates = extra_certificates();
    if (certificates.empty()) return context;
    if (auto wrote = write_file(name + "/extra-ca.crt", certificates, 0644); !wrote)
      return pass(wrote.error());
    return context;
  }
  Context(Context&& other) noexcept : folder_(std::exchange(other.folder_, "")) {}
  Context& operator=(Context&&) = delete;
  ~Context() {
    std::error_code ec;
    if (!folder_.empty()) std::filesystem::remove_all(folder_, ec);
  }
  const std::string& folder() const { return folder_; }

 private:
  explicit Context(std::string folder) : folder_(std::move(folder)) {}
  std::string folder_;
};

// How this machine reaches the registries, when it was told.
std::map<std::string, std::string> build_arguments(const Arguments& arguments) {
  std::map<std::string, std::string> given;
  for (const char* name :
       {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}) {
    if (const char* value = std::getenv(name)) given[name] = value;
  }
  for (const char* name : {"npm_config_registry", "NPM_CONFIG_REGISTRY"}) {
    if (const char* value = std::getenv(name)) given["NPM_REGISTRY"] = value;
  }
  if (arguments.has("--agents")) given["AGENTS"] = arguments.text("--agents");
  return given;
}

// The base image: here, or pulled, or made by scripts/base-image where no registry can be reached.
Task<> ensure_base(sandbox::Engine& engine, std::string images) {
  const std::string name(sandbox::kBaseImage);
  const auto here = co_await sandbox::resolve_image(engine, name);
  if (here) co_return Result<void>{};
  if (here.error().code != ErrorCode::not_found) co_return pass(here.error());
  if (co_await engine.pull_image(name, progress())) co_return Result<void>{};
  const std::string script = (std::filesystem::path(images).parent_path() / "scripts/base-image").string();
  fmt::print(stderr, "no registry can be reached: making {} with debootstrap\n", name);
  const auto made =
      co_await run(co_await boost::asio::this_coro::executor, {.argv = {script}, .deadline = kBaseLimit});
  if (made && made->exit_code == 0) co_return Result<void>{};
  co_return fail(
      ErrorCode::not_found, "image",
      fmt::format("the base image {} is not here, no registry can be reached, and it could not be made: {}",
                  name, made ? std::string(trim(made->err)) : made.error().what),
      "run scripts/base-image as root, from a checkout");
}

}  // namespace

Result<int> run_image_build(const Arguments& arguments) {
  const auto folder = context_folder(arguments.text("--context"));
  if (!folder) return pass(folder.error());
  const auto context = Context::make(*folder);
  if (!context) return pass(context.error());
  const std::string tag =
      arguments.has("--tag") ? arguments.text("--tag") : std::string(sandbox::kDefaultImage);
  const auto built = with_engine<std::string>([&](sandbox::Engine& engine) -> Task<std::string> {
    if (auto base = co_await ensure_base(engine, *folder); !base) co_return pass(base.error());
    sandbox::BuildRequest request{
        .context_folder = context->folder(), .dockerfile = std::string(kDockerfile), .tag = tag};
    request.arguments = build_arguments(arguments);
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
