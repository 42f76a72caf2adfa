#include "cli/command.h"

#include <signal.h>
#include <string>
#include <vector>

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  return agentmesh::cli::run_command_line(std::vector<std::string>(argv + 1, argv + argc));
}
