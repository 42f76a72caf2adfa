#include "net/router.h"

#include "base/text.h"

#include <algorithm>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace agentmesh::net {
namespace {

enum class Plus { literal, space };

std::optional<int> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// Empty when an escape is broken or the text is not fit to be shown.
std::optional<std::string> decode(std::string_view text, Plus plus) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '+' && plus == Plus::space) c = ' ';
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const auto high = hex_digit(text[i + 1]);
      const auto low = hex_digit(text[i + 2]);
      if (!high || !low) return std::nullopt;
      c = static_cast<char>(*high * 16 + *low);
      i += 2;
    }
    if (is_control(c)) return std::nullopt;
    out += c;
  }
  if (!is_utf8(out)) return std::nullopt;
  return out;
}

std::optional<std::map<std::string, std::string>> decode_query(std::string_view text) {
  std::map<std::string, std::string> query;
  if (text.empty()) return query;
  for (const std::string_view pair : split(text, '&')) {
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    const auto name = decode(pair.substr(0, equals), Plus::space);
    const auto value =
        decode(equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1), Plus::space);
    if (!name || !value) return std::nullopt;
    query.insert_or_assign(*name, *value);
  }
  return query;
}

bool is_param(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

bool matches(const std::vector<std::string>& pattern, const std::vector<std::string>& segments) {
  if (pattern.size() != segments.size()) return false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const bool same = is_param(pattern[i]) ? !segments[i].empty() : pattern[i] == segments[i];
    if (!same) return false;
  }
  return true;
}

// Sorts literal segments before parameters, left to right.
std::string rank(const std::vector<std::string>& pattern) {
  std::string text;
  for (const auto& segment : pattern) text += is_param(segment) ? 'p' : 'l';
  return text;
}

std::vector<std::string> pattern_segments(std::string_view pattern) {
  std::vector<std::string> segments;
  for (const std::string_view segment : split(pattern.substr(1), '/')) segments.emplace_back(segment);
  return segments;
}

}  // namespace

Routes& Routes::add(std::string_view method, std::string_view pattern, Handler handler) {
  entries_.push_back(
      {.method = std::string(method), .segments = pattern_segments(pattern), .handler = std::move(handler)});
  return *this;
}

Routes& Routes::add_stream(std::string_view method, std::string_view pattern, StreamHandler handler) {
  entries_.push_back(
      {.method = std::string(method), .segments = pattern_segments(pattern), .stream = std::move(handler)});
  return *this;
}

Routes& Routes::add_websocket(std::string_view pattern, Admission admit, WebSocketHandler handler) {
  entries_.push_back({.method = "GET",
                      .segments = pattern_segments(pattern),
                      .admit = std::move(admit),
                      .websocket = std::move(handler)});
  return *this;
}

Result<Target> parse_target(std::string_view text) {
  const auto bad = [&](std::string_view why) {
    return fail(ErrorCode::invalid, "http", fmt::format("the request's target {}", why));
  };
  if (text.empty() || text.front() != '/') return bad("must be a path");
  const std::size_t mark = text.find('?');
  Target target;
  for (const std::string_view part :
       split(text.substr(1, mark == std::string_view::npos ? mark : mark - 1), '/')) {
    auto segment = decode(part, Plus::literal);
    if (!segment) return bad("has a broken escape, a control character or bytes that are not UTF-8");
    target.path += '/' + *segment;
    target.segments.push_back(std::move(*segment));
  }
  auto query = decode_query(mark == std::string_view::npos ? std::string_view() : text.substr(mark + 1));
  if (!query) return bad("has a query with a broken escape, a control character or bytes that are not UTF-8");
  target.query = std::move(*query);
  return target;
}

Router::Match Router::find(std::string_view method, const Target& target) const {
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  Match match;
  std::set<std::string> allowed;
  for (const auto& entry : routes_.entries_) {
    if (!matches(entry.segments, target.segments)) continue;
    allowed.insert(entry.method);
    if (entry.method != wanted || (method == "HEAD" && !entry.handler)) continue;
    if (match.entry == nullptr || rank(entry.segments) < rank(match.entry->segments)) match.entry = &entry;
  }
  if (match.entry == nullptr) {
    match.allowed = fmt::format("{}", fmt::join(allowed, ", "));
    return match;
  }
  for (std::size_t i = 0; i < target.segments.size(); ++i) {
    const std::string& name = match.entry->segments[i];
    if (is_param(name)) match.params[name.substr(1, name.size() - 2)] = target.segments[i];
  }
  return match;
}

}  // namespace agentmesh::net
