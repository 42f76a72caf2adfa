#include "tmux/pane_format.h"

#include "base/text.h"
#include "tmux/paste_mark.h"

#include <charconv>
#include <map>
#include <ranges>

#include <fmt/format.h>

namespace agentmesh::tmux {
namespace {

constexpr char kField = ':';  // tmux lets it be in no session name; the title comes last
constexpr char kRecord = '\x1e';
constexpr std::size_t kMark = 2;  // which field says that the pane is ours
constexpr std::string_view kFields[] = {
    "#{pane_id}",          "#{session_name}",   "#{==:#{@agentmesh-pane},#{session_name}}",
    "#{pane_pid}",         "#{pane_dead}",      "#{pane_dead_status}",
    "#{pane_dead_signal}", "#{pane_in_mode}",   "#{session_attached}",
    "#{pane_width}",       "#{pane_height}",    "#{window_activity}",
    kBracketsPastes,       "#{=256:pane_title}"};
constexpr std::size_t kFieldCount = std::size(kFields);

// Empty text is 0, as for the exit status of a pane that lives.
std::optional<std::int64_t> number(std::string_view text) {
  return text.empty() ? 0 : whole_number<std::int64_t>(text);
}

// The fields of a record; the last one is the rest, whatever is in it.
std::vector<std::string_view> fields_of(std::string_view record) {
  std::vector<std::string_view> fields;
  while (fields.size() + 1 < kFieldCount) {
    const std::size_t end = record.find(kField);
    if (end == std::string_view::npos) break;
    fields.push_back(record.substr(0, end));
    record.remove_prefix(end + 1);
  }
  fields.push_back(record);
  return fields;
}

std::unexpected<Error> bad_record(std::string_view record) {
  return fail(ErrorCode::invalid, "tmux",
              "unexpected pane record '" + plain_text(record.substr(0, 200)) + "'");
}

Result<Pane> pane_of(std::string_view record, const std::vector<std::string_view>& fields) {
  if (fields.size() != kFieldCount) return bad_record(record);
  const Result<PaneId> id = parse_pane_id(fields[0]);
  std::optional<std::int64_t> numbers[kFieldCount];
  for (std::size_t i = 2; i + 1 < kFieldCount; ++i) numbers[i] = number(fields[i]);
  for (std::size_t i = 2; i + 1 < kFieldCount; ++i) {
    if (!numbers[i]) return bad_record(record);
  }
  if (!id || fields[1].empty()) return bad_record(record);
  Pane pane{.session = std::string(fields[1]),
            .id = *id,
            .pid = static_cast<pid_t>(*numbers[3]),
            .dead = *numbers[4] != 0,
            .in_mode = *numbers[7] != 0,
            .attached = static_cast<int>(*numbers[8]),
            .size = {static_cast<int>(*numbers[9]), static_cast<int>(*numbers[10])},
            .painted_s = *numbers[11],
            .brackets_pastes = *numbers[12] != 0,
            .title = to_utf8(fields[13])};
  if (pane.dead && !fields[5].empty()) pane.exit_status = numbers[5];
  if (pane.dead && !fields[6].empty()) pane.signal = numbers[6];
  return pane;
}

// Ours, one of each session: the newest. The others are a person's, or an older one of ours that was moved
// away and back.
template <class Records>
Result<std::vector<Pane>> collect(const Records& records) {
  std::map<std::string, Pane> panes;
  for (const std::string_view record : records) {
    if (record.empty()) continue;
    const auto fields = fields_of(record);
    Result<Pane> pane = pane_of(record, fields);
    if (!pane) return pass(std::move(pane.error()));
    if (fields[kMark] != "1") continue;
    const auto [newest, first] = panes.try_emplace(pane->session, *pane);
    if (!first && newest->second.id < pane->id) newest->second = *pane;
  }
  const auto values = panes | std::views::values;
  return std::vector<Pane>(values.begin(), values.end());
}

}  // namespace

std::string pane_format() {
  std::string format;
  for (const std::string_view field : kFields) {
    if (!format.empty()) format += kField;
    format += field;
  }
  return format;
}

std::vector<std::string> mark_pane(const std::string& pane, const std::string& session) {
  return {"set-option", "-p", "-t", pane, "@agentmesh-pane", session};
}

std::string has_mark_of(const std::string& session) { return "#{==:#{@agentmesh-pane}," + session + "}"; }

std::string all_panes_format() { return "#{S:#{W:#{P:" + pane_format() + kRecord + "}}}"; }

Result<Pane> parse_pane(std::string_view record) { return pane_of(record, fields_of(record)); }

Result<std::vector<Pane>> parse_all_panes(std::string_view value) { return collect(split(value, kRecord)); }
Result<std::vector<Pane>> parse_pane_lines(std::string_view text) { return collect(split(text, '\n')); }

bool version_is_enough(std::string_view version) {
  if (version.starts_with("next-")) version.remove_prefix(5);
  int major = 0;
  const char* end = version.data() + version.size();
  const auto [dot, error] = std::from_chars(version.data(), end, major);
  if (error != std::errc{}) return !version.empty();  // "master", "openbsd-7.5": built from sources
  int minor = 0;
  if (dot != end && *dot == '.') std::from_chars(dot + 1, end, minor);
  return major > 3 || (major == 3 && minor >= 3);
}

}  // namespace agentmesh::tmux
