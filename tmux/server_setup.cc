#include "tmux/server_setup.h"

#include "base/unique_fd.h"
#include "tmux/pane_format.h"

#include <algorithm>
#include <fcntl.h>
#include <unistd.h>

namespace agentmesh::tmux {
namespace {

constexpr std::string_view kInherited[] = {"HOME",     "USER", "LOGNAME",     "LANG",           "LC_ALL",
                                           "LC_CTYPE", "TZ",   "TMUX_TMPDIR", "XDG_RUNTIME_DIR"};

std::map<std::string, std::string> server_environment() {
  auto env = small_environment(kInherited);
  env["TERM"] = "dumb";
  env["SHELL"] = "/bin/sh";
  return env;
}

bool is_path(std::string_view socket) { return socket.find('/') != std::string_view::npos; }

bool is_socket_name(std::string_view name) {
  const auto allowed = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  };
  return !name.empty() && name.size() <= 64 && name.front() != '.' && std::ranges::all_of(name, allowed);
}

std::vector<std::string> base_argv(const TmuxOptions& options) {
  return {options.program, "-u", is_path(options.socket) ? "-S" : "-L", options.socket, "-f", options.config};
}

// What a person sees and what keeps panes in order. Scope: -s server, -g every session and window. A title is
// the agent's: "#[...]" in it would style the status line, so each "#" of it is doubled there (q/h).
constexpr std::string_view kOptions[][3] = {
    {"-s", "exit-empty", "off"},                  // the server stays without sessions
    {"-s", "escape-time", "10"},                  // ms; Escape reaches the agent at once
    {"-s", "message-limit", "0"},                 // keep no log of commands: they hold messages
    {"-s", "default-terminal", "tmux-256color"},  //
    {"-g", "default-shell", "/bin/sh"},           //
    {"-g", "update-environment", ""},             // nothing from the terminals of those who attach
    {"-g", "history-limit", "5000"},              // lines; kMaxCaptureLines
    {"-g", "remain-on-exit-format", ""},          // its text would push the last picture's first row out
    {"-g", "remain-on-exit", "on"},               // a dead pane keeps its text for the crash report
    {"-g", "window-size", "latest"},              // the size of the terminal used last
    {"-g", "allow-rename", "off"},                // an agent does not name windows
    {"-g", "automatic-rename", "off"},            // nor does the program that runs
    {"-g", "mouse", "on"},                        // the wheel scrolls; agents that use the mouse get it
    {"-g", "set-titles", "on"},                   //
    {"-g", "set-titles-string", "#{s/^agentmesh-//:session_name} | #{=80:pane_title}"},
    {"-g", "status-interval", "2"},  // seconds; for those who are attached
    {"-g", "status-style", "fg=default,bg=default,reverse"},
    {"-g", "status-left-length", "70"},
    {"-g", "status-left", " #[bold]#{s/^agentmesh-//:session_name}#[nobold]  "},
    {"-g", "status-right-length", "100"},
    {"-g", "status-right",
     "#{?pane_dead,the program ended (#{?pane_dead_signal,signal #{pane_dead_signal},status "
     "#{pane_dead_status}})  ,}"
     "#{?pane_in_mode,scrolled: q returns  ,}#{=60:#{q/h:pane_title}}  C-b d detaches "},
    {"-g", "window-status-format", ""},
    {"-g", "window-status-current-format", ""},
};

}  // namespace

Result<ClientProcess> client_process(const TmuxOptions& options) {
  if (!is_path(options.socket) && !is_socket_name(options.socket)) {
    return fail(ErrorCode::invalid, "tmux", "'" + options.socket + "' is not a name of a tmux socket",
                "use letters, digits, - and _, or a path");
  }
  if (!find_program(options.program)) {
    return fail(ErrorCode::unavailable, "tmux", "no program '" + options.program + "'",
                "install tmux 3.3 or newer (Debian: apt-get install tmux)");
  }
  std::vector<std::string> argv = base_argv(options);
  for (const std::string_view word :
       {std::string_view("-C"), std::string_view("new-session"), std::string_view("-A"),
        std::string_view("-s"), kKeeperSession, std::string_view("-x"), std::string_view("80"),
        std::string_view("-y"), std::string_view("24"), std::string_view("-c"), std::string_view("/"),
        std::string_view("exec cat")}) {
    argv.emplace_back(word);
  }
  return ClientProcess{std::move(argv), server_environment()};
}

Command kill_command(const TmuxOptions& options) {
  Command command{.argv = base_argv(options), .env = server_environment(), .deadline = options.deadline};
  for (std::string word : {std::string("if-shell"), std::string("-F"),
                           "#{==:#{@agentmesh-owner}," + options.owner + "}", std::string("kill-server")})
    command.argv.push_back(std::move(word));
  return command;
}

std::vector<std::vector<std::string>> server_setup() {
  std::vector<std::vector<std::string>> commands = {{"refresh-client", "-f", "no-output,ignore-size"}};
  for (const auto& [scope, name, value] : kOptions) {
    commands.push_back({"set-option", std::string(scope), std::string(name), std::string(value)});
  }
  commands.push_back({"refresh-client", "-B", std::string(kSubscription) + "::" + all_panes_format()});
  return commands;
}

void write_to_terminal(const std::string& terminal, std::string_view bytes) {
  const UniqueFd tty(::open(terminal.c_str(), O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  if (tty.valid()) [[maybe_unused]]
    const auto written = ::write(tty.get(), bytes.data(), bytes.size());
}

}  // namespace agentmesh::tmux
