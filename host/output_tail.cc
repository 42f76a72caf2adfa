#include "host/output_tail.h"

namespace agentmesh::host {

// It grows to twice the limit before it is cut: a byte is moved once, not at every call.
void OutputTail::add(std::string_view bytes) {
  if (bytes.size() > kKeptOutput) bytes.remove_prefix(bytes.size() - kKeptOutput);
  kept_ += bytes;
  if (kept_.size() > 2 * kKeptOutput) kept_.erase(0, kept_.size() - kKeptOutput);
}

std::string OutputTail::last(std::size_t lines) const {
  if (lines == 0 || kept_.empty()) return "";
  // The end of the last line ends a line, it begins none.
  std::size_t at = kept_.size() - 1;
  for (; lines > 0; --lines) {
    if (at == 0) return kept_;
    at = kept_.rfind('\n', at - 1);
    if (at == std::string::npos) return kept_;
  }
  return kept_.substr(at + 1);
}

}  // namespace agentmesh::host
