#pragma once
// The newest bytes that a terminal printed, for whoever comes late. Bounded; keeps no line structure.

#include <string>
#include <string_view>

namespace agentmesh::host {

constexpr std::size_t kKeptOutput = 256 * 1024;  // bytes: 2,000 lines of 128

class OutputTail {
 public:
  void add(std::string_view bytes);
  // The last `lines`, from the beginning of a line as far as that is kept.
  std::string last(std::size_t lines) const;

 private:
  std::string kept_;
};

}  // namespace agentmesh::host
