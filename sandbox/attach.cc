#include "sandbox/attach.h"

#include "base/text.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

namespace agentmesh::sandbox {
namespace {

// Bytes that occur in no UTF-8 text, as the engine wants them: separated by commas.
constexpr std::string_view kDetachKeys = "%FF,%FE,%FF,%FE";

std::string versioned(const AttachTarget& target, std::string_view path) {
  const std::string prefix = target.api_version.empty() ? "" : "/v" + target.api_version;
  return fmt::format("{}/containers/{}{}", prefix, target.container, path);
}

std::unexpected<Error> not_http() { return fail(ErrorCode::invalid, "engine", "its answer is not HTTP"); }

}  // namespace

bool is_container_reference(std::string_view text) {
  const auto plain = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  const auto allowed = [&](char c) { return plain(c) || c == '_' || c == '.' || c == '-'; };
  return !text.empty() && text.size() <= 128 && plain(text.front()) && std::ranges::all_of(text, allowed);
}

std::string attach_request(const AttachTarget& target) {
  return fmt::format(
      "POST {}?stream=1&stdin=1&stdout=1&stderr=1&detachKeys={} HTTP/1.1\r\nHost: engine\r\n"
      "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n",
      versioned(target, "/attach"), kDetachKeys);
}

std::string plain_request(const AttachTarget& target, std::string_view method, std::string_view path) {
  return fmt::format("{} {} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                     method, versioned(target, path));
}

Result<bool> ResponseHead::feed(std::string_view bytes) {
  if (status_ != 0) {
    rest_ += bytes;
    return true;
  }
  const std::size_t seen = text_.size() < 3 ? 0 : text_.size() - 3;
  text_ += bytes;
  const std::size_t end = text_.find("\r\n\r\n", seen);
  if (end != std::string::npos && end <= kMaxResponseHead) return parse(end);
  if (text_.size() > kMaxResponseHead) {
    return fail(ErrorCode::exhausted, "engine", "the head of its answer is over 16 KiB");
  }
  const std::string_view start = "HTTP/1.";
  const std::size_t known = std::min(start.size(), text_.size());
  if (text_.compare(0, known, start.substr(0, known)) != 0) return not_http();
  return false;
}

// "HTTP/1.1 101 UPGRADED", then "Name: value" lines.
Result<bool> ResponseHead::parse(std::size_t end) {
  rest_ = text_.substr(end + 4);
  text_.resize(end);
  const auto lines = split(text_, '\n');
  const std::string_view first = lines.front();
  if (!first.starts_with("HTTP/1.") || first.size() < 12 || first[8] != ' ') return not_http();
  const auto status = whole_number<int>(first.substr(9, 3), 100);
  if (!status) return not_http();
  status_ = *status;
  for (const std::string_view line : lines) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || lower_case(line.substr(0, colon)) != "transfer-encoding") continue;
    chunked_ = lower_case(trim(line.substr(colon + 1))) == "chunked";
  }
  return true;
}

}  // namespace agentmesh::sandbox
