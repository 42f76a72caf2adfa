#pragma once
// Where the programs of tests/fakes are: next to the test program that runs them.

#include <filesystem>
#include <string>

namespace agentmesh {

inline std::string fake_program(const std::string& name) {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "fakes" / name).string();
}

}  // namespace agentmesh
