#pragma once
// FNV-1a, 64 bit: for telling texts apart within one process and for spreading agents, never for security.

#include <cstdint>
#include <string_view>

namespace agentmesh::watchdog {

constexpr std::uint64_t kHashStart = 0xcbf29ce484222325U;

constexpr std::uint64_t hashed(std::uint64_t hash, std::uint64_t value) {
  return (hash ^ value) * 0x100000001b3U;
}

constexpr std::uint64_t hashed(std::uint64_t hash, std::string_view text) {
  for (const char c : text) hash = hashed(hash, static_cast<unsigned char>(c));
  return hash;
}

}  // namespace agentmesh::watchdog
