#pragma once
// The commands as data: one table drives parsing, help, completion and what runs.

#include "base/result.h"

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh::cli {

struct OptionSpec {
  std::string_view name;   // "--sandbox-cpu"
  std::string_view value;  // "N" for the help; empty: a flag
  std::string_view help;
  std::string_view env;  // variable that stands in for it; empty: none
  bool repeat = false;
};

struct PositionalSpec {
  std::string_view name;  // "NAME"
  std::string_view help;
  bool required = false;
  bool repeat = false;
};

// What was given: option and positional values by name.
class Arguments {
 public:
  void set(const std::string& name, std::vector<std::string> values) { values_[name] = std::move(values); }
  bool has(const std::string& name) const { return values_.contains(name); }
  std::string text(const std::string& name) const;
  std::vector<std::string> list(const std::string& name) const;
  bool json() const { return has("--json"); }

 private:
  std::map<std::string, std::vector<std::string>> values_;
};

struct CommandSpec {
  std::string_view name;  // "start", "inbox done"
  std::string_view summary;
  std::vector<PositionalSpec> positionals;
  std::vector<OptionSpec> options;
  // Success is the exit code.
  Result<int> (*run)(const Arguments&);
  bool hidden = false;
};

// In the order of the help.
std::span<const CommandSpec> commands();

// Finds the command of argv, parses, runs, and prints the error if there is one. Returns the exit code.
int run_command_line(std::vector<std::string> arguments);

// One function per command, in the file named after its group.
Result<int> run_start(const Arguments& arguments);
Result<int> run_attach(const Arguments& arguments);
Result<int> run_nudge(const Arguments& arguments);
Result<int> run_approve(const Arguments& arguments);
Result<int> run_deny(const Arguments& arguments);
Result<int> run_stop(const Arguments& arguments);
Result<int> run_restart(const Arguments& arguments);
Result<int> run_list(const Arguments& arguments);
Result<int> run_status(const Arguments& arguments);
Result<int> run_explain(const Arguments& arguments);
Result<int> run_logs(const Arguments& arguments);
Result<int> run_crashes(const Arguments& arguments);
Result<int> run_events(const Arguments& arguments);
Result<int> run_send(const Arguments& arguments);
Result<int> run_inbox(const Arguments& arguments);
Result<int> run_inbox_done(const Arguments& arguments);
Result<int> run_inbox_fail(const Arguments& arguments);
Result<int> run_inbox_retry(const Arguments& arguments);
Result<int> run_image_build(const Arguments& arguments);
Result<int> run_image_pull(const Arguments& arguments);
Result<int> run_image_list(const Arguments& arguments);
Result<int> run_init(const Arguments& arguments);
Result<int> run_up(const Arguments& arguments);
Result<int> run_down(const Arguments& arguments);
Result<int> run_doctor(const Arguments& arguments);
Result<int> run_daemon_command(const Arguments& arguments);
Result<int> run_hub(const Arguments& arguments);
Result<int> run_version(const Arguments& arguments);
Result<int> run_completion(const Arguments& arguments);
Result<int> run_pane_command(const Arguments& arguments);
Result<int> run_hook_command(const Arguments& arguments);
Result<int> run_hold_command(const Arguments& arguments);

}  // namespace agentmesh::cli
