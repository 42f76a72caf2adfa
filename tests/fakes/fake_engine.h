#pragma once
// An engine without containers: inspect() is answered from what the test has put, one turn of the loop later;
// everything else is `unavailable`. It keeps what was inspected.

#include "sandbox/engine.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace agentmesh::test {

class FakeEngine : public sandbox::Engine {
 public:
  // By id or name; what is not there is not_found.
  std::map<std::string, sandbox::ContainerDetails> containers;
  std::vector<std::string> inspected;

  Task<sandbox::ContainerDetails> inspect(std::string id) override {
    inspected.push_back(id);
    co_await boost::asio::post(co_await boost::asio::this_coro::executor, boost::asio::use_awaitable);
    const auto found = containers.find(id);
    if (found == containers.end()) co_return fail(ErrorCode::not_found, "engine", "no such container: " + id);
    co_return found->second;
  }

  Task<> ping() override { co_return away(); }
  Task<sandbox::EngineVersion> version() override { co_return away(); }
  Task<sandbox::EngineInfo> info() override { co_return away(); }
  Task<std::string> create(std::string, sandbox::RunSpec) override { co_return away(); }
  Task<> start(std::string) override { co_return away(); }
  Task<> stop(std::string, Millis) override { co_return away(); }
  Task<> kill(std::string, int) override { co_return away(); }
  Task<> lift_cpu_limit(std::string) override { co_return away(); }
  Task<> remove(std::string) override { co_return away(); }
  Task<std::vector<sandbox::ContainerSummary>> list(sandbox::Labels) override { co_return away(); }
  Task<int> wait(std::string) override { co_return away(); }
  Task<std::string> logs(std::string, sandbox::LogsRequest) override { co_return away(); }
  Task<> resize(std::string, sandbox::TerminalSize) override { co_return away(); }
  Task<sandbox::ExecResult> exec(std::string, sandbox::ExecRequest) override { co_return away(); }
  Task<sandbox::ImageDetails> inspect_image(std::string) override { co_return away(); }
  Task<std::vector<sandbox::ImageDetails>> list_images(sandbox::Labels) override { co_return away(); }
  Task<std::string> pull_image(std::string, sandbox::ProgressHandler) override { co_return away(); }
  Task<std::string> build_image(sandbox::BuildRequest, sandbox::ProgressHandler) override {
    co_return away();
  }
  Task<std::string> import_image(sandbox::ImportRequest, sandbox::ProgressHandler) override {
    co_return away();
  }
  Task<> remove_image(std::string) override { co_return away(); }
  Task<std::vector<sandbox::NetworkDetails>> list_networks(sandbox::Labels) override { co_return away(); }
  Task<std::string> create_network(sandbox::NetworkRequest) override { co_return away(); }
  Task<> remove_network(std::string) override { co_return away(); }
  Task<sandbox::NetworkDetails> inspect_network(std::string) override { co_return away(); }

 private:
  static std::unexpected<Error> away() {
    return fail(ErrorCode::unavailable, "engine", "a test's engine does not do this");
  }
};

}  // namespace agentmesh::test
