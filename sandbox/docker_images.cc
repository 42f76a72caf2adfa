// The image half of DockerEngine.

#include "base/json.h"
#include "sandbox/docker_engine.h"
#include "sandbox/docker_wire.h"
#include "sandbox/image.h"

#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::sandbox {
namespace {

struct ImageName {
  std::string repository;
  std::string tag;  // or a digest
};

// "name[:tag]" or "name@sha256:..."; a colon of a registry's port is no tag.
ImageName split_name(const std::string& name) {
  const auto digest = name.find('@');
  if (digest != std::string::npos) return {name.substr(0, digest), name.substr(digest + 1)};
  const auto colon = name.rfind(':');
  const auto slash = name.rfind('/');
  if (colon == std::string::npos || (slash != std::string::npos && colon < slash)) return {name, "latest"};
  return {name.substr(0, colon), name.substr(colon + 1)};
}

std::string encoded_map(const std::map<std::string, std::string>& values) {
  return wire::encode(dump_json(nlohmann::json(values)));
}

bool is_registry_away(std::string_view text) {
  constexpr std::array<std::string_view, 7> kSigns{
      "dial tcp",       "no such host", "connection refused", "i/o timeout", "network is unreachable",
      "Client.Timeout", "TLS handshake"};
  return std::ranges::any_of(kSigns, [&](auto sign) { return text.find(sign) != std::string_view::npos; });
}

Error as_registry_error(Error error) {
  if (error.code == ErrorCode::internal && is_registry_away(error.what)) {
    error.code = ErrorCode::unavailable;
    error.hint = "the image's registry cannot be reached from the engine";
  }
  return error;
}

}  // namespace

Task<std::string> DockerEngine::image_stream(net::HttpRequest request, std::string path,
                                             ProgressHandler progress) {
  std::string image_id;
  std::optional<Error> error;
  wire::LineSplitter lines(wire::kMaxProgressLine, [&](std::string_view line) {
    if (error) return;
    const auto step = wire::progress_from(line);
    if (!step) {
      error = step.error();
      return;
    }
    if (!step->image_id.empty()) image_id = step->image_id;
    if (progress) progress(step->progress);
  });
  request.total_timeout = Millis{0};
  request.stall_limit = options_.stall_limit;
  request.on_data = [&](std::string_view data) {
    lines.push(data);
    return error ? net::Flow::stop : net::Flow::more;
  };
  const auto response = co_await exchange(std::move(request), std::move(path));
  if (!response) co_return pass(as_registry_error(response.error()));
  lines.finish();
  if (error) co_return pass(as_registry_error(std::move(*error)));
  co_return image_id;
}

Task<ImageDetails> DockerEngine::inspect_image(std::string name) {
  const auto response = co_await call("GET", "/images/" + wire::encode_path(name) + "/json", "");
  if (!response) co_return pass(response.error());
  co_return wire::image_from(response->body);
}

Task<std::vector<ImageDetails>> DockerEngine::list_images(Labels labels) {
  const auto response = co_await call("GET", "/images/json?filters=" + wire::label_filter(labels), "");
  if (!response) co_return pass(response.error());
  co_return wire::images_from(response->body);
}

Task<std::string> DockerEngine::pull_image(std::string name, ProgressHandler progress) {
  const auto [repository, tag] = split_name(name);
  const auto path =
      fmt::format("/images/create?fromImage={}&tag={}", wire::encode(repository), wire::encode(tag));
  const auto pulled = co_await image_stream(request("POST"), path, std::move(progress));
  if (!pulled) co_return pass(pulled.error());
  const auto image = co_await inspect_image(name);
  if (!image) co_return pass(image.error());
  co_return image->id;
}

Task<std::string> DockerEngine::build_image(BuildRequest wanted, ProgressHandler progress) {
  auto context = tar_upload(wanted.context_folder);
  if (!context) co_return pass(context.error());
  auto post = request("POST");
  post.headers.push_back({"Content-Type", "application/x-tar"});
  post.upload = std::move(*context);
  auto path =
      fmt::format("/build?t={}&dockerfile={}&buildargs={}&labels={}&rm=1&forcerm=1", wire::encode(wanted.tag),
                  wire::encode(wanted.dockerfile), encoded_map(wanted.arguments), encoded_map(wanted.labels));
  if (!wanted.network_mode.empty()) path += "&networkmode=" + wire::encode(wanted.network_mode);
  const auto built = co_await image_stream(std::move(post), path, std::move(progress));
  if (!built) co_return pass(built.error());
  if (!built->empty()) co_return *built;
  const auto image = co_await inspect_image(wanted.tag);
  if (!image) co_return pass(image.error());
  co_return image->id;
}

Task<std::string> DockerEngine::import_image(ImportRequest wanted, ProgressHandler progress) {
  auto file = net::upload_file(wanted.tar_file);
  if (!file) co_return pass(file.error());
  auto post = request("POST");
  post.headers.push_back({"Content-Type", "application/x-tar"});
  post.upload = std::move(*file);
  const auto [repository, tag] = split_name(wanted.tag);
  auto path =
      fmt::format("/images/create?fromSrc=-&repo={}&tag={}", wire::encode(repository), wire::encode(tag));
  for (const auto& change : wanted.changes) path += "&changes=" + wire::encode(change);
  const auto imported = co_await image_stream(std::move(post), path, std::move(progress));
  if (!imported) co_return pass(imported.error());
  const auto image = co_await inspect_image(wanted.tag);
  if (!image) co_return pass(image.error());
  co_return image->id;
}

Task<> DockerEngine::remove_image(std::string name) {
  const auto response = co_await call("DELETE", "/images/" + wire::encode_path(name), "");
  if (response || response.error().code == ErrorCode::not_found) co_return Result<>{};
  co_return pass(response.error());
}

}  // namespace agentmesh::sandbox
