#pragma once
// Engine over the Docker Engine API on a Unix socket (Docker 20.10 and newer, Podman's compatible API).
// Owned by the daemon; must outlive its calls. Holds the negotiated API version and nothing else.

#include "net/http_client.h"
#include "sandbox/engine.h"

#include <string>

namespace agentmesh::sandbox {

constexpr int kOldestApiMinor = 41;  // 1.41: Docker 20.10
constexpr int kNewestApiMinor = 44;  // 1.44: the oldest that Docker 29 still serves

struct EngineOptions {
  std::string socket;
  Millis deadline{30'000};      // of a call
  Millis stall_limit{120'000};  // of a pull, build or import: nothing said for so long
};

class DockerEngine final : public Engine {
 public:
  DockerEngine(net::HttpClient& http, EngineOptions options);

  Task<> ping() override;
  Task<EngineVersion> version() override;
  Task<EngineInfo> info() override;

  Task<std::string> create(std::string name, RunSpec spec) override;
  Task<> start(std::string id) override;
  Task<> stop(std::string id, Millis grace) override;
  Task<> kill(std::string id, int signal) override;
  Task<> lift_cpu_limit(std::string id) override;
  Task<> remove(std::string id) override;
  Task<std::vector<ContainerSummary>> list(Labels labels) override;
  Task<ContainerDetails> inspect(std::string id) override;
  Task<int> wait(std::string id) override;
  Task<std::string> logs(std::string id, LogsRequest request) override;
  Task<> resize(std::string id, TerminalSize size) override;
  Task<ExecResult> exec(std::string id, ExecRequest request) override;

  Task<ImageDetails> inspect_image(std::string name) override;
  Task<std::vector<ImageDetails>> list_images(Labels labels) override;
  Task<std::string> pull_image(std::string name, ProgressHandler progress) override;
  Task<std::string> build_image(BuildRequest request, ProgressHandler progress) override;
  Task<std::string> import_image(ImportRequest request, ProgressHandler progress) override;
  Task<> remove_image(std::string name) override;

  Task<std::vector<NetworkDetails>> list_networks(Labels labels) override;
  Task<std::string> create_network(NetworkRequest request) override;
  Task<> remove_network(std::string name) override;
  Task<NetworkDetails> inspect_network(std::string name) override;

  const EngineOptions& options() const { return options_; }

 private:
  // One exchange on the negotiated version. `path` begins with a slash. An answer of 300 or more is an Error.
  Task<net::HttpResponse> call(std::string method, std::string path, std::string json_body);
  Task<net::HttpResponse> exchange(net::HttpRequest request, std::string path);
  Task<> negotiate();
  net::HttpRequest request(std::string method) const;
  Task<std::string> image_stream(net::HttpRequest request, std::string path, ProgressHandler progress);
  Task<std::string> exec_create(std::string id, const ExecRequest& request);

  net::HttpClient& http_;
  EngineOptions options_;
  std::string api_;  // empty: not negotiated, or the engine went away since
};

}  // namespace agentmesh::sandbox
