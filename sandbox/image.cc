#include "sandbox/image.h"

namespace agentmesh::sandbox {

Task<std::string> resolve_image(Engine& engine, std::string name) {
  auto image = co_await engine.inspect_image(name);
  if (image) co_return std::move(image->id);
  auto error = std::move(image.error());
  if (error.code == ErrorCode::not_found) {
    error.stage = "image";
    error.what = "no image '" + name + "' on this host";
    error.hint = name == kDefaultImage ? "agentmesh image build" : "agentmesh image pull " + name;
  }
  co_return pass(std::move(error));
}

}  // namespace agentmesh::sandbox
