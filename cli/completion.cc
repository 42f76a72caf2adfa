#include "cli/completion.h"

#include "base/text.h"

#include <fmt/format.h>

namespace agentmesh::cli {
namespace {

// First words, and for each command its options (and second words).
std::map<std::string, std::string> words_of(std::span<const CommandSpec> commands) {
  std::map<std::string, std::string> words;
  for (const CommandSpec& command : commands) {
    if (command.hidden) continue;
    const auto parts = split(command.name, ' ');
    std::string& after = words[std::string(parts[0])];
    if (parts.size() > 1) after += fmt::format(" {}", parts[1]);
    for (const OptionSpec& option : command.options) {
      if (after.find(fmt::format(" {}", option.name)) == std::string::npos)
        after += fmt::format(" {}", option.name);
    }
  }
  return words;
}

std::string first_words(const std::map<std::string, std::string>& words) {
  std::string all;
  for (const auto& [word, unused] : words) all += (all.empty() ? "" : " ") + word;
  return all;
}

std::string bash_script(std::span<const CommandSpec> commands) {
  const auto words = words_of(commands);
  std::string cases;
  for (const auto& [word, after] : words)
    cases += fmt::format("    {}) words=\"{}\" ;;\n", word, trim(after));
  return fmt::format(
      "_agentmesh() {{\n"
      "  local current=\"${{COMP_WORDS[COMP_CWORD]}}\" words\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    COMPREPLY=($(compgen -W \"{}\" -- \"$current\"))\n"
      "    return\n"
      "  fi\n"
      "  case \"${{COMP_WORDS[1]}}\" in\n{}    *) words=\"\" ;;\n"
      "  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
      "}}\n"
      "complete -F _agentmesh agentmesh\n",
      first_words(words), cases);
}

std::string zsh_script(std::span<const CommandSpec> commands) {
  return "autoload -U +X bashcompinit && bashcompinit\n" + bash_script(commands);
}

std::string fish_script(std::span<const CommandSpec> commands) {
  std::string script = "complete -c agentmesh -f\n";
  for (const CommandSpec& command : commands) {
    if (command.hidden) continue;
    const auto parts = split(command.name, ' ');
    if (parts.size() == 1) {
      script += fmt::format("complete -c agentmesh -n __fish_use_subcommand -a {} -d '{}'\n", command.name,
                            command.summary);
    } else {
      script += fmt::format("complete -c agentmesh -n '__fish_seen_subcommand_from {}' -a {} -d '{}'\n",
                            parts[0], parts[1], command.summary);
    }
    for (const OptionSpec& option : command.options) {
      if (!option.name.starts_with("--")) continue;
      script += fmt::format("complete -c agentmesh -n '__fish_seen_subcommand_from {}' -l {} -d '{}'\n",
                            parts[0], option.name.substr(2), option.help);
    }
  }
  return script;
}

}  // namespace

Result<std::string> completion_script(std::string_view shell, std::span<const CommandSpec> commands) {
  if (shell == "bash") return bash_script(commands);
  if (shell == "zsh") return zsh_script(commands);
  if (shell == "fish") return fish_script(commands);
  return fail(ErrorCode::invalid, "completion", fmt::format("'{}' is not a known shell", shell),
              "bash, zsh or fish");
}

}  // namespace agentmesh::cli
