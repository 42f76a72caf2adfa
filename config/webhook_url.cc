#include "config/webhook_url.h"

#include "base/text.h"

#include <algorithm>
#include <cctype>

namespace agentmesh::config {
namespace {

constexpr std::string_view kSecure = "https://";
constexpr std::string_view kPlain = "http://";

std::unexpected<Error> wrong(std::string what, std::string hint) {
  return fail(ErrorCode::invalid, "config", std::move(what), std::move(hint));
}

bool is_host(std::string_view host) {
  if (host.starts_with('[') && host.ends_with(']')) {
    const std::string_view inner = host.substr(1, host.size() - 2);
    return !inner.empty() && std::ranges::all_of(inner, [](unsigned char c) {
      return std::isxdigit(c) != 0 || c == ':' || c == '.';
    });
  }
  return !host.empty() && std::ranges::all_of(host, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_';
  });
}

bool is_this_host(std::string_view host) {
  return host == "127.0.0.1" || host == "localhost" || host == "[::1]";
}

}  // namespace

Result<std::string> webhook_origin(std::string_view url) {
  if (url.size() > kMaxWebhookUrl) return wrong("is too long", "at most 2048 bytes");
  const auto unfit = [](unsigned char c) { return c <= 0x20 || c >= 0x7f; };
  if (std::ranges::any_of(url, unfit))
    return wrong("has a blank or a character that is not ASCII", "write it as %20");
  const bool secure = url.starts_with(kSecure);
  if (!secure && !url.starts_with(kPlain)) return wrong("is not a web address", "https://host/path");
  const std::string_view rest = url.substr(secure ? kSecure.size() : kPlain.size());
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  if (authority.contains('@')) {
    return wrong("has a user name in it",
                 "a key belongs in [notify] secret, an address that is a secret in ${VAR}");
  }
  const std::size_t colon = authority.find(':', authority.starts_with('[') ? authority.find(']') : 0);
  const std::string_view host = authority.substr(0, colon);
  if (!is_host(host)) return wrong("has no host", "https://host/path");
  if (colon != std::string_view::npos && !whole_number<int>(authority.substr(colon + 1), 1, 65'535))
    return wrong("has no port of 1 to 65535", "https://host:port/path");
  if (!secure && !is_this_host(host))
    return wrong("is http to another host", "https://, or http:// to 127.0.0.1 alone");
  return std::string(url.substr(0, url.size() - rest.size())) + std::string(authority);
}

}  // namespace agentmesh::config
