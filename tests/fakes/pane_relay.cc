// The pane relay without the command line: pane_relay ENGINE_SOCKET CONTAINER [STATE_DIR].

#include "cli/pane.h"

#include <cstdio>

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: pane_relay ENGINE_SOCKET CONTAINER [STATE_DIR]\n", stderr);
    return 2;
  }
  return agentmesh::cli::run_pane({.engine_socket = argv[1],
                                   .api_version = "1.41",
                                   .container = argv[2],
                                   .state_dir = argc > 3 ? argv[3] : ""});
}
