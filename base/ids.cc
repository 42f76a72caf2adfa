#include "base/ids.h"

#include "base/text.h"

#include <chrono>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>
#include <openssl/rand.h>

namespace agentmesh {
namespace {

bool is_name_char(char c, bool first) {
  const bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  return alnum || (!first && (c == '_' || c == '-'));
}

std::vector<unsigned char> random_bytes(std::size_t count) {
  std::vector<unsigned char> bytes(count);
  if (RAND_bytes(bytes.data(), static_cast<int>(count)) != 1) {
    throw std::runtime_error("the system's random source failed");
  }
  return bytes;
}

constexpr std::string_view kBase32 = "0123456789abcdefghjkmnpqrstvwxyz";

}  // namespace

Result<AgentName> AgentName::parse(std::string_view text) {
  bool ok = !text.empty() && text.size() <= kMaxNameLength;
  for (std::size_t i = 0; ok && i < text.size(); ++i) ok = is_name_char(text[i], i == 0);
  if (ok) return AgentName(std::string(text));
  return fail(ErrorCode::invalid, "name", fmt::format("'{}' is not a name", one_line(text)),
              "1 to 63 of a-z, 0-9, _ and -, the first a letter or digit");
}

std::string new_id(std::string_view prefix) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                      std::chrono::system_clock::now().time_since_epoch())
                      .count();
  std::string id(prefix);
  id += '_';
  for (int shift = 45; shift >= 0; shift -= 5) id += kBase32[static_cast<std::size_t>(ms >> shift) & 31];
  for (unsigned char byte : random_bytes(16)) id += kBase32[byte & 31];
  return id;
}

std::string random_hex(std::size_t bytes) {
  std::string text;
  for (unsigned char byte : random_bytes(bytes)) text += fmt::format("{:02x}", byte);
  return text;
}

std::string container_name(const AgentName& agent, RunId run) {
  return fmt::format("agentmesh-{}-{}", agent.str(), run.value);
}

std::string session_name(const AgentName& agent) { return std::string(kSessionPrefix) + agent.str(); }

std::string_view agent_of_session(std::string_view session) {
  return session.starts_with(kSessionPrefix) ? session.substr(kSessionPrefix.size()) : std::string_view();
}

}  // namespace agentmesh
