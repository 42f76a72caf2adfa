#pragma once
// opencode's HTTP server as three verbs, the seam between the Link and the network: over http.sock (sandbox)
// or a port of the loopback with a password (host). Knows nothing of what the paths mean.

#include "agents/adapter.h"

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace agentmesh::agents {

struct ApiAnswer {
  int status = 0;
  std::string body;
};

class OpencodeApi {
 public:
  virtual ~OpencodeApi() = default;
  // Success is any complete answer. Errors: unavailable (nothing was sent, or a GET broke off), timeout (the
  // outcome is not known), exhausted (a large answer), denied (http.sock is a link, or no socket).
  virtual Task<ApiAnswer> get(std::string path, Millis limit) = 0;
  virtual Task<ApiAnswer> post(std::string path, std::string body, Millis limit) = 0;
  // The bytes of GET /event until it ends, which is always an Error: unavailable, or timeout when nothing was
  // heard for `silence`. The sink answers false to end it.
  virtual Task<> events(std::function<bool(std::string_view)> sink, Millis silence) = 0;
};

std::unique_ptr<OpencodeApi> make_opencode_api(const LinkContext& context);

}  // namespace agentmesh::agents
