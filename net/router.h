#pragma once
// Finds the route of a request. Pure: targets are decoded and checked here, nothing is read or sent.

#include "base/result.h"
#include "net/server.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::net {

struct Target {
  std::vector<std::string> segments;  // of the path, decoded
  std::string path;
  std::map<std::string, std::string> query;
};

// "/v1/inbox?agent=a%20b". Errors: invalid (not a path, a broken escape, control characters, not UTF-8).
Result<Target> parse_target(std::string_view text);

class Router {
 public:
  using Entry = Routes::Entry;
  struct Match {
    const Entry* entry = nullptr;  // null: no route
    std::map<std::string, std::string> params;
    std::string allowed;  // when there is no route for this method, the methods there are: "GET, POST"
  };

  explicit Router(Routes routes) : routes_(std::move(routes)) {}
  Match find(std::string_view method, const Target& target) const;

 private:
  Routes routes_;
};

}  // namespace agentmesh::net
