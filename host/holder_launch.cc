#include "host/holder_launch.h"

#include "base/json.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::host {

using nlohmann::json;

std::string to_text(const HolderLaunch& launch) {
  return dump_json({{"argv", launch.argv},
                    {"env", launch.env},
                    {"workdir", launch.workdir},
                    {"open_files", launch.open_files},
                    {"http_port", launch.http_port},
                    {"http_password", launch.http_password.reveal()}});
}

Result<HolderLaunch> launch_from(std::string_view text) {
  const auto row = parse_json(text, "host", {.bytes = kMaxLaunchBytes});
  if (!row) return pass(row.error());
  try {
    HolderLaunch launch;
    row->at("argv").get_to(launch.argv);
    row->at("env").get_to(launch.env);
    row->at("workdir").get_to(launch.workdir);
    row->at("open_files").get_to(launch.open_files);
    row->at("http_port").get_to(launch.http_port);
    launch.http_password = Secret(row->at("http_password").get<std::string>());
    if (launch.argv.empty()) return fail(ErrorCode::invalid, "host", "a launch without a program");
    return launch;
  } catch (const json::exception& problem) {
    return fail(ErrorCode::invalid, "host", fmt::format("a launch that cannot be read: {}", problem.what()));
  }
}

}  // namespace agentmesh::host
