#pragma once
// `agentmesh pane NAME`, run by tmux: the relay between a pane and the terminal of an agent's container.
// It depends on the engine alone: the daemon may restart unseen, and when the engine restarts (live-restore)
// the relay attaches again by itself. It never starts or ends the container. It makes no use of the loop or
// of libcurl.

#include <string>

namespace agentmesh::cli {

struct PaneOptions {
  std::string engine_socket;  // path
  std::string api_version;    // "1.41"
  std::string container;      // id, or the name agentmesh-NAME-RUN
  // A folder of the daemon's (0700) where the terminal's modes (title, bracketed paste, mouse, ...) are kept,
  // so that a new pane for the same container gets them again. Empty: they are not kept.
  std::string state_dir;
};

// Runs until the container ends and returns its exit code (128 + N for a signal, as the engine reports it);
// 5 when the engine cannot be reached at the start; 3 when there is no such container; 128 + N when ended by
// signal N itself. Standard input must be a terminal: else 2.
int run_pane(const PaneOptions& options);

}  // namespace agentmesh::cli
