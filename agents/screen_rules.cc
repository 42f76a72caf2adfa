#include "agents/screen_rules.h"

#include "agents/fields.h"
#include "base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <re2/re2.h>

#include <fmt/format.h>
#include <toml++/toml.h>

namespace agentmesh::agents {

namespace {

constexpr std::int64_t kMaxPatternMemory = 1 << 20;  // of one compiled pattern

constexpr auto kMeanings = std::to_array<std::pair<ScreenMeaning, std::string_view>>({
    {ScreenMeaning::unknown, "unknown"},
    {ScreenMeaning::busy, "busy"},
    {ScreenMeaning::idle, "idle"},
    {ScreenMeaning::permission, "permission"},
    {ScreenMeaning::question, "question"},
    {ScreenMeaning::login, "login"},
    {ScreenMeaning::limit, "limit"},
    {ScreenMeaning::dialog, "dialog"},
});

using Pattern = std::unique_ptr<re2::RE2>;

std::unexpected<Error> wrong(const toml::node& node, std::string what) {
  return fail(ErrorCode::invalid, "screens", fmt::format("line {}: {}", node.source().begin.line, what));
}

Result<Pattern> pattern_of(const toml::node& node) {
  const auto text = node.value_exact<std::string>();
  if (!text) return wrong(node, "a pattern must be a text");
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kMaxPatternMemory);
  auto compiled = std::make_unique<re2::RE2>("(?m)" + *text, options);
  if (!compiled->ok()) return wrong(node, fmt::format("bad pattern: {}", compiled->error()));
  return compiled;
}

// The last lines that are not blank, with the blank ones between them.
std::string_view last_lines(std::string_view text, std::size_t lines) {
  std::size_t begin = text.size();
  std::size_t seen = 0;
  while (begin > 0 && seen < lines) {
    const std::size_t end = begin - (text[begin - 1] == '\n' ? 1 : 0);
    const std::size_t before = text.substr(0, end).rfind('\n');
    begin = before == std::string_view::npos ? 0 : before + 1;
    if (!trim(text.substr(begin, end - begin)).empty()) ++seen;
  }
  return text.substr(begin);
}

// The first group of a match, or nothing.
std::optional<std::string> group_of(const re2::RE2& pattern, std::string_view text) {
  if (pattern.NumberOfCapturingGroups() < 1) return std::nullopt;
  std::string found;
  if (!re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), pattern, &found))
    return std::nullopt;
  return found;
}

bool found_in(const re2::RE2& pattern, std::string_view text) {
  return re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), pattern);
}

// An escape sequence's length at the text's beginning, and its SGR parameters when it is one.
struct Sequence {
  std::size_t length = 1;
  std::optional<std::string_view> sgr;
};

Sequence sequence_at(std::string_view text) {
  if (text.size() < 2) return {};
  if (text[1] == ']') {  // OSC (a link): to its end
    const std::size_t bell = text.find('\a');
    const std::size_t st = text.find("\x1b\\", 2);
    const std::size_t end = std::min(bell == std::string_view::npos ? text.size() : bell + 1,
                                     st == std::string_view::npos ? text.size() : st + 2);
    return {end, std::nullopt};
  }
  if (text[1] != '[') return {2, std::nullopt};
  for (std::size_t i = 2; i < text.size(); ++i) {
    if (text[i] < 0x40 || text[i] > 0x7e) continue;
    if (text[i] != 'm') return {i + 1, std::nullopt};
    return {i + 1, text.substr(2, i - 2)};
  }
  return {text.size(), std::nullopt};
}

// 2 is faint, 0 and 22 end it; the colours of 38 and 48 have parameters of their own.
bool faint_after(bool faint, std::string_view parameters) {
  const auto fields = split(parameters, ';');
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const std::string_view field = fields[i];
    if (field.empty() || field == "0" || field == "22") faint = false;
    if (field == "2") faint = true;
    if (field == "38" || field == "48") i += i + 1 < fields.size() && fields[i + 1] == "2" ? 4 : 2;
  }
  return faint;
}

}  // namespace

std::string_view to_string(ScreenMeaning meaning) {
  for (const auto& [value, text] : kMeanings) {
    if (value == meaning) return text;
  }
  return "unknown";
}

int compare_versions(std::string_view a, std::string_view b) {
  const auto next = [](std::string_view& text) {
    int number = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
    text.remove_prefix(static_cast<std::size_t>(parsed.ptr - text.data()));
    if (text.starts_with('.')) {
      text.remove_prefix(1);
    } else {
      text = {};
    }
    return number;
  };
  while (!a.empty() || !b.empty()) {
    const int left = next(a);
    const int right = next(b);
    if (left != right) return left < right ? -1 : 1;
  }
  return 0;
}

PlainScreen plain_screen(std::string_view coloured) {
  coloured = coloured.substr(coloured.size() - std::min(coloured.size(), kMaxScreenBytes));
  PlainScreen screen;
  bool faint = false;
  for (std::size_t i = 0; i < coloured.size();) {
    if (coloured[i] == '\x1b') {
      const Sequence sequence = sequence_at(coloured.substr(i));
      if (sequence.sgr) faint = faint_after(faint, *sequence.sgr);
      i += sequence.length;
      continue;
    }
    const char c = coloured[i++];
    const bool continuation = (static_cast<unsigned char>(c) & 0xC0) == 0x80;
    screen.all += c;
    if (!faint || c == '\n') screen.bright += c;
    if (faint && c != '\n' && !continuation) screen.bright += ' ';
  }
  return screen;
}

struct ScreenRules::Rule {
  std::string runner;
  std::optional<ScreenMeaning> means;  // none: the composer
  int priority = 0;
  std::size_t last = kMaxScreenLines;
  std::vector<Pattern> all;
  Pattern detail;
  std::string since;
  std::string before;

  bool is_for(std::string_view who, std::string_view version) const {
    if (runner != who) return false;
    if (version.empty()) return true;
    return (since.empty() || compare_versions(version, since) >= 0) &&
           (before.empty() || compare_versions(version, before) < 0);
  }
  bool holds(std::string_view text) const {
    return std::ranges::all_of(all, [&](const Pattern& pattern) { return found_in(*pattern, text); });
  }

  Result<> take(std::string_view key, const toml::node& node);
  Result<> take_text(std::string_view key, const toml::node& node);
  Result<> take_number(std::string_view key, const toml::node& node);
  Result<> take_meaning(const toml::node& node);
};

Result<> ScreenRules::Rule::take_meaning(const toml::node& node) {
  const std::string text = node.value_exact<std::string>().value_or("");
  if (text == "composer") return {};
  for (const auto& [value, name] : kMeanings) {
    if (name == text && value != ScreenMeaning::unknown && value != ScreenMeaning::idle) means = value;
  }
  if (!means) return wrong(node, fmt::format("'{}' is no meaning", one_line(text)));
  return {};
}

Result<> ScreenRules::Rule::take_number(std::string_view key, const toml::node& node) {
  const std::int64_t highest = key == "last" ? std::int64_t{kMaxScreenLines} : 100;
  const auto number = node.value_exact<std::int64_t>();
  if (!number || *number < 0 || *number > highest) {
    return wrong(node, fmt::format("{} must be a whole number from 0 to {}", key, highest));
  }
  if (key == "last") {
    last = static_cast<std::size_t>(*number);
  } else {
    priority = static_cast<int>(*number);
  }
  return {};
}

Result<> ScreenRules::Rule::take_text(std::string_view key, const toml::node& node) {
  const auto text = node.value_exact<std::string>();
  if (!text || text->empty()) return wrong(node, fmt::format("{} must be a text", key));
  (key == "runner" ? runner : key == "since" ? since : before) = *text;
  return {};
}

Result<> ScreenRules::Rule::take(std::string_view key, const toml::node& node) {
  if (key == "means") return take_meaning(node);
  if (key == "priority" || key == "last") return take_number(key, node);
  if (key == "runner" || key == "since" || key == "before") return take_text(key, node);
  if (key == "detail") {
    auto pattern = pattern_of(node);
    if (!pattern) return pass(pattern.error());
    detail = std::move(*pattern);
    return {};
  }
  if (key != "all") return wrong(node, fmt::format("unknown key '{}'", one_line(key)));
  const toml::array* patterns = node.as_array();
  if (patterns == nullptr || patterns->empty()) return wrong(node, "all must be a list of patterns");
  for (const toml::node& item : *patterns) {
    auto pattern = pattern_of(item);
    if (!pattern) return pass(pattern.error());
    all.push_back(std::move(*pattern));
  }
  return {};
}

ScreenRules::ScreenRules() = default;
ScreenRules::ScreenRules(ScreenRules&&) noexcept = default;
ScreenRules& ScreenRules::operator=(ScreenRules&&) noexcept = default;
ScreenRules::~ScreenRules() = default;

Result<ScreenRules> ScreenRules::parse(std::string_view text) {
  toml::table root;
  try {
    root = toml::parse(text);
  } catch (const toml::parse_error& problem) {
    return fail(ErrorCode::invalid, "screens",
                fmt::format("line {}: {}", problem.source().begin.line, problem.description()));
  }
  ScreenRules rules;
  for (const auto& [key, node] : root) {
    const toml::array* list = node.as_array();
    if (key.str() != "rule" || list == nullptr) return wrong(node, "only [[rule]] may stand here");
    for (const toml::node& item : *list) {
      const toml::table* table = item.as_table();
      if (table == nullptr) return wrong(item, "a rule is a table");
      Rule rule;
      for (const auto& [name, value] : *table) {
        if (auto taken = rule.take(name.str(), value); !taken) return pass(taken.error());
      }
      if (rule.runner.empty() || rule.all.empty() || !table->contains("means")) {
        return wrong(item, "a rule needs runner, means and all");
      }
      const auto place =
          std::ranges::upper_bound(rules.rules_, rule.priority, std::ranges::greater{}, &Rule::priority);
      rules.rules_.insert(place, std::move(rule));
    }
  }
  return rules;
}

ScreenReading ScreenRules::read(std::string_view runner, std::string_view version,
                                std::string_view coloured) const {
  const PlainScreen screen = plain_screen(coloured);
  const std::string_view all = last_lines(screen.all, kMaxScreenLines);
  const std::string_view bright = last_lines(screen.bright, kMaxScreenLines);
  ScreenReading reading;
  bool decided = false;
  for (const Rule& rule : rules_) {
    if (!rule.is_for(runner, version)) continue;
    if (rule.means ? decided : reading.composer) continue;
    const std::string_view region = last_lines(rule.means ? all : bright, rule.last);
    if (!rule.holds(region)) continue;
    if (!rule.means) {
      reading.composer = true;
      reading.draft = std::string(trim(group_of(*rule.all.back(), region).value_or("")));
      continue;
    }
    decided = true;
    reading.meaning = *rule.means;
    if (rule.detail) reading.detail = one_line(group_of(*rule.detail, region).value_or(""));
  }
  if (!decided && reading.composer) reading.meaning = ScreenMeaning::idle;
  return reading;
}

const ScreenRules& screen_rules() {
  static const ScreenRules rules = [] {
    auto parsed = ScreenRules::parse(built_in_screens());
    return parsed ? std::move(*parsed)
                  : ScreenRules();  // without rules every screen is unknown; a test reads them
  }();
  return rules;
}

}  // namespace agentmesh::agents
