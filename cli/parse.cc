// argv to Arguments, by the table. CLI11 does the parsing of one command; help and errors are ours.
#include "base/text.h"
#include "cli/command.h"
#include "cli/output.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace agentmesh::cli {
namespace {

std::string usage_of(const CommandSpec& command) {
  std::string text = fmt::format("usage: agentmesh {}", command.name);
  for (const PositionalSpec& positional : command.positionals) {
    const std::string name = fmt::format("{}{}", positional.name, positional.repeat ? "..." : "");
    text += positional.required ? " " + name : " [" + name + "]";
  }
  if (!command.options.empty()) text += " [options]";
  return text;
}

std::string help_of(const CommandSpec& command) {
  std::string text = fmt::format("{}\n\n{}\n", usage_of(command), command.summary);
  std::vector<Row> rows;
  for (const PositionalSpec& positional : command.positionals) {
    rows.push_back({"  " + std::string(positional.name), std::string(positional.help)});
  }
  for (const OptionSpec& option : command.options) {
    std::string name = "  " + std::string(option.name);
    if (!option.value.empty()) name += " " + std::string(option.value);
    std::string help(option.help);
    if (!option.env.empty()) help += fmt::format(" [{}]", option.env);
    rows.push_back({std::move(name), std::move(help)});
  }
  return rows.empty() ? text : text + "\n" + table(rows);
}

std::string help_of_all() {
  std::string text =
      "agentmesh runs AI coding agents unattended and safely.\n\nusage: agentmesh COMMAND [options]\n\n";
  std::vector<Row> rows;
  for (const CommandSpec& command : commands()) {
    if (!command.hidden) rows.push_back({"  " + std::string(command.name), std::string(command.summary)});
  }
  return text + table(rows) +
         "\nagentmesh COMMAND --help tells more. State is kept in $AGENTMESH_HOME (~/.agentmesh).\n";
}

// The command with the most words that argv begins with.
const CommandSpec* find_command(const std::vector<std::string>& arguments) {
  const CommandSpec* best = nullptr;
  for (const CommandSpec& command : commands()) {
    const auto words = split(command.name, ' ');
    bool matches = words.size() <= arguments.size();
    for (std::size_t i = 0; matches && i < words.size(); ++i) matches = words[i] == arguments[i];
    if (matches && (best == nullptr || command.name.size() > best->name.size())) best = &command;
  }
  return best;
}

Error unknown(const std::string& word) {
  std::vector<std::string> names;
  for (const CommandSpec& command : commands()) names.emplace_back(command.name);
  const auto close = nearest(word, names);
  return Error{ErrorCode::invalid, "usage", fmt::format("no command '{}'", word.substr(0, 80)),
               close ? fmt::format("did you mean '{}'?", *close) : "agentmesh --help"};
}

Result<Arguments> parse(const CommandSpec& command, std::vector<std::string> words) {
  CLI::App app;
  app.set_help_flag();
  std::map<std::string, std::vector<std::string>> values;
  std::map<std::string, bool> flags;
  for (const OptionSpec& option : command.options) {
    const std::string name(option.name);
    CLI::Option* made =
        option.value.empty() ? app.add_flag(name, flags[name]) : app.add_option(name, values[name]);
    if (!option.value.empty()) made->expected(1)->allow_extra_args(false);
    if (!option.value.empty())
      made->multi_option_policy(option.repeat ? CLI::MultiOptionPolicy::TakeAll
                                              : CLI::MultiOptionPolicy::Throw);
    if (!option.env.empty()) made->envname(std::string(option.env));
  }
  for (const PositionalSpec& positional : command.positionals) {
    const std::string name(positional.name);
    CLI::Option* made = app.add_option(name, values[name]);
    if (!positional.repeat) made->expected(1)->allow_extra_args(false);
    made->required(positional.required);
  }
  try {
    std::reverse(words.begin(), words.end());
    app.parse(std::move(words));
  } catch (const CLI::ParseError& problem) {
    return fail(ErrorCode::invalid, "usage", problem.what(),
                fmt::format("agentmesh {} --help", command.name));
  }
  Arguments arguments;
  for (auto& [name, given] : values) {
    CLI::Option* option = app.get_option_no_throw(name);
    if (option != nullptr && option->count() > 0) arguments.set(name, std::move(given));
  }
  for (const auto& [name, on] : flags) {
    if (on) arguments.set(name, {});
  }
  return arguments;
}

int finish(Result<int> done, ErrorForm form) {
  if (auto flushed = flush_output(); done && !flushed) done = pass(flushed.error());
  if (done) return *done;
  print_error(done.error(), form);
  return exit_code_of(done.error().code);
}

}  // namespace

std::string Arguments::text(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() || found->second.empty() ? "" : found->second.front();
}

std::vector<std::string> Arguments::list(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>{} : found->second;
}

int run_command_line(std::vector<std::string> words) {
  const auto options_end = std::find(words.begin(), words.end(), "--");  // after it a word is just a word
  const bool wants_json = std::find(words.begin(), options_end, "--json") != options_end;
  const ErrorForm form = wants_json ? ErrorForm::json : ErrorForm::text;
  const bool wants_help = std::find(words.begin(), options_end, "--help") != options_end;
  const CommandSpec* command = find_command(words);
  if (command == nullptr) {
    if (wants_help || (!words.empty() && words[0] == "help")) {
      print(help_of_all());
      return finish(0, form);
    }
    if (words.empty())
      return finish(fail(ErrorCode::invalid, "usage", "no command", "agentmesh --help"), form);
    const bool group = std::any_of(commands().begin(), commands().end(), [&](const CommandSpec& known) {
      return known.name.starts_with(words[0] + " ");
    });
    if (!group) return finish(pass(unknown(words[0])), form);
    return finish(fail(ErrorCode::invalid, "usage", fmt::format("'{}' needs one more word", words[0]),
                       "agentmesh --help"),
                  form);
  }
  if (wants_help) {
    print(help_of(*command));
    return finish(0, form);
  }
  words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(split(command->name, ' ').size()));
  const auto arguments = parse(*command, std::move(words));
  if (!arguments) return finish(pass(arguments.error()), form);
  return finish(command->run(*arguments), form);
}

}  // namespace agentmesh::cli
