#include "net/wire.h"

#include <algorithm>

#include <boost/beast/http/status.hpp>
#include <fmt/format.h>

namespace agentmesh::net {
namespace {

bool is_clean(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

}  // namespace

std::string reply_head(const Reply& reply, std::optional<std::size_t> length, AfterReply after) {
  namespace http = boost::beast::http;
  const auto reason = http::obsolete_reason(http::int_to_status(static_cast<unsigned>(reply.status)));
  std::string head =
      fmt::format("HTTP/1.1 {} {}\r\n", reply.status, std::string_view(reason.data(), reason.size()));
  const auto add = [&](std::string_view name, std::string_view value) {
    if (!name.empty() && is_clean(name) && is_clean(value)) head += fmt::format("{}: {}\r\n", name, value);
  };
  add("Content-Type", reply.content_type);
  if (length) add("Content-Length", std::to_string(*length));
  for (const auto& header : reply.headers) add(header.name, header.value);
  if (after == AfterReply::close) add("Connection", "close");
  head += "\r\n";
  return head;
}

std::string chunk(std::string_view data) { return fmt::format("{:x}\r\n{}\r\n", data.size(), data); }

}  // namespace agentmesh::net
