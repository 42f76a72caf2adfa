#include "host/holder_request.h"

#include "base/text.h"

#include <fmt/format.h>

namespace agentmesh::host {
namespace {

std::unexpected<Error> malformed() { return fail(ErrorCode::invalid, "host", "not a request to a holder"); }

}  // namespace

Result<std::uint32_t> HolderRequest::number(const std::string& key, std::uint32_t fallback,
                                            std::uint32_t most) const {
  const auto found = query.find(key);
  if (found == query.end()) return fallback;
  if (const auto value = whole_number<std::uint32_t>(found->second, 0, most)) return *value;
  return fail(ErrorCode::invalid, "host", fmt::format("'{}' must be a number up to {}", key, most));
}

Result<HolderRequest> parse_request(std::string_view head) {
  const auto words = split(head.substr(0, head.find("\r\n")), ' ');
  if (words.size() != 3 || !words[2].starts_with("HTTP/1.")) return malformed();
  HolderRequest request{.method = std::string(words[0])};
  const std::size_t question = words[1].find('?');
  const auto path = split(words[1].substr(0, question), '/');
  // "", perhaps the version, "containers", the id, perhaps an action
  const std::size_t at = path.size() > 1 && path[1].starts_with("v1.") ? 2 : 1;
  if (path.size() < at + 2 || path.size() > at + 3 || !path[0].empty() || path[at] != "containers") {
    return malformed();
  }
  request.container = std::string(path[at + 1]);
  if (path.size() == at + 3) request.action = std::string(path[at + 2]);
  if (request.container.empty()) return malformed();
  if (question == std::string_view::npos) return request;
  for (const std::string_view pair : split(words[1].substr(question + 1), '&')) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) continue;
    request.query[std::string(pair.substr(0, equals))] = std::string(pair.substr(equals + 1));
  }
  return request;
}

}  // namespace agentmesh::host
