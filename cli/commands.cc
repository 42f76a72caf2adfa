#include <array>

#include "cli/command.h"

namespace agentmesh::cli {
namespace {

constexpr OptionSpec kJson{"--json", "", "print JSON", "", false};
const PositionalSpec kName{"NAME", "the agent", true, false};
const PositionalSpec kOptionalName{"NAME", "the agent", false, false};

const std::vector<OptionSpec> kStartOptions{
    {"--name", "NAME", "the agent, instead of the first argument", "", false},
    {"--sandbox", "", "run in a container (always so in this version)", "", false},
    {"--no-sandbox", "", "run on the host (not in this version)", "", false},
    {"--sandbox-image", "IMAGE", "image to run (agentmesh/sandbox:latest)", "AGENTMESH_SANDBOX_IMAGE", false},
    {"--sandbox-cpu", "N", "CPUs (1)", "AGENTMESH_SANDBOX_CPU", false},
    {"--sandbox-memory", "SIZE", "memory (2g; 4g for opencode)", "AGENTMESH_SANDBOX_MEMORY", false},
    {"--sandbox-pids", "N", "processes and threads (512)", "AGENTMESH_SANDBOX_PIDS", false},
    {"--network", "none|egress|bridge", "network (egress)", "AGENTMESH_NETWORK", false},
    {"--runner", "opencode|custom", "kind of agent (opencode)", "AGENTMESH_RUNNER", false},
    {"--command", "CMD", "program of the runner custom", "", false},
    {"--model", "M", "model, as the runner names it", "AGENTMESH_MODEL", false},
    {"--workdir", "DIR", "workspace, mounted at /workspace (the current folder)", "AGENTMESH_WORKDIR", false},
    {"--mount", "SRC:DST[:ro|:rw]", "one more folder or file, read-only unless :rw", "", true},
    {"--env", "KEY[=VALUE]", "variable for the agent; without a value, ours", "", true},
    {"--attach", "", "attach when it is ready", "", false},
    kJson,
};

const std::vector<CommandSpec> kCommands{
    {"init", "write config.toml with every key explained", {},
     {{"--hub", "URL", "use a shared hub", "", false},
      {"--token", "TOKEN", "the hub's API key, or - to read it from standard input", "", false},
      {"--force", "", "overwrite", "", false}},
     run_init},
    {"up", "start the daemon and the hub inside it", {}, {kJson}, run_up},
    {"down", "stop the daemon; agents go on", {}, {{"--agents", "", "stop the agents too", "", false}, kJson}, run_down},
    {"start", "start an agent", {kOptionalName}, kStartOptions, run_start},
    {"attach", "show an agent's terminal", {kName},
     {{"--read-only", "", "look, do not type", "", false}}, run_attach},
    {"nudge", "send an agent a message, and know that it arrived",
     {kName, {"MESSAGE", "text; without it, the configured one", false, false}},
     {{"--wait", "TIME", "how long a busy agent is waited for (30s)", "", false},
      {"--defer", "", "deliver it when that is possible", "", false}, kJson},
     run_nudge},
    {"approve", "allow what an agent asks permission for", {kName}, {kJson}, run_approve},
    {"deny", "refuse what an agent asks permission for", {kName},
     {{"--reason", "TEXT", "told to the agent", "", false}, kJson}, run_deny},
    {"stop", "stop agents; they stay stopped", {{"NAME", "the agents", false, true}},
     {{"--all", "", "every agent", "", false},
      {"--force", "", "kill at once", "", false},
      {"--timeout", "TIME", "between TERM and KILL (10s)", "", false}, kJson},
     run_stop},
    {"restart", "end an agent's run and resume its conversation in a new one", {kName}, {kJson}, run_restart},
    {"list", "agents and their states", {}, {{"--all", "", "stopped ones too", "", false}, kJson}, run_list},
    {"status", "the daemon and what it stands on, or one agent", {kOptionalName}, {kJson}, run_status},
    {"explain", "which signal decided an agent's state", {kName}, {kJson}, run_explain},
    {"logs", "an agent's terminal as text", {kName},
     {{"--tail", "N", "last lines (200)", "", false}, {"-f", "", "follow", "", false}, kJson}, run_logs},
    {"crashes", "crash reports", {kOptionalName}, {{"--last", "", "the newest alone", "", false}, kJson}, run_crashes},
    {"events", "what happened", {},
     {{"-f", "", "follow", "", false}, {"--since", "TIME", "from this RFC 3339 time on", "", false}, kJson}, run_events},
    {"send", "assign work to an agent through the hub", {{"NAME", "the agent, or any", true, false}},
     {{"--title", "TEXT", "one line", "", false},
      {"--body", "TEXT", "details; - reads standard input", "", false},
      {"--priority", "low|normal|high|urgent", "(normal)", "", false},
      {"--ttl", "TIME", "given up after this (30m)", "", false}, kJson},
     run_send},
    {"inbox", "assignments", {kOptionalName}, {{"--all", "", "finished ones too", "", false}, kJson}, run_inbox},
    {"inbox done", "an assignment is done", {{"ID", "the assignment", true, false}}, {kJson}, run_inbox_done},
    {"inbox fail", "an assignment has failed", {{"ID", "the assignment", true, false}}, {kJson}, run_inbox_fail},
    {"inbox retry", "assign it again", {{"ID", "the assignment", true, false}}, {kJson}, run_inbox_retry},
    {"image build", "build the sandbox image", {},
     {{"--tag", "NAME", "(agentmesh/sandbox:latest)", "", false},
      {"--agents", "PACKAGES", "npm packages (opencode-ai)", "", false},
      {"--context", "DIR", "folder of Dockerfile.sandbox", "", false}, kJson},
     run_image_build},
    {"image pull", "pull an image from its registry", {{"IMAGE", "name:tag", true, false}}, {kJson}, run_image_pull},
    {"image list", "images of this engine", {}, {kJson}, run_image_list},
    {"doctor", "check engine, tmux, disk and permissions", {}, {kJson}, run_doctor},
    {"daemon", "run the daemon in the foreground", {}, {}, run_daemon_command},
    {"hub", "run a shared hub in the foreground", {},
     {{"--listen", "ADDRESS:PORT", "(127.0.0.1:8440)", "AGENTMESH_HUB_LISTEN", false},
      {"--data", "DIR", "its database and key ($AGENTMESH_HOME)", "", false}},
     run_hub},
    {"version", "print the version", {}, {kJson}, run_version},
    {"completion", "print a completion script", {{"SHELL", "bash, zsh or fish", true, false}}, {}, run_completion},
    {"pane", "relay between a tmux pane and a container", {{"CONTAINER", "name or id", true, false}},
     {{"--engine", "SOCKET", "the engine's socket", "", false}, {"--state", "DIR", "kept terminal modes", "", false}},
     run_pane_command, true},
};

}  // namespace

std::span<const CommandSpec> commands() { return kCommands; }

}  // namespace agentmesh::cli
