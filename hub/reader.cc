#include "hub/reader.h"

#include "base/text.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::hub {
namespace {

using nlohmann::json;

const json kNull;

bool has_control(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

bool fits_int64(const json& value) {
  return value.is_number_integer() && !(value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX);
}

}  // namespace

Reader::Reader(const json& object, std::string_view what, Unknown unknown)
    : object_(object), what_(what), unknown_(unknown) {
  if (!object.is_object()) refuse(ErrorCode::invalid, fmt::format("{}: an object is needed here", what_), "");
}

void Reader::refuse(ErrorCode code, std::string what, std::string hint) {
  if (!problem_) problem_ = Error{code, "hub", std::move(what), std::move(hint)};
}

const json* Reader::find(std::string_view name) {
  known_.emplace(name);
  if (!object_.is_object()) return nullptr;
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

const json* Reader::need(std::string_view name) {
  const json* value = find(name);
  if (value == nullptr) refuse(ErrorCode::invalid, fmt::format("{}: '{}' is missing", what_, name), "");
  return value;
}

std::string Reader::checked_text(std::string_view name, const json& value, TextRule rule) {
  const auto bad = [&](ErrorCode code, std::string_view why) {
    refuse(code, fmt::format("{}: '{}' {}", what_, name, why), "");
    return std::string();
  };
  if (!value.is_string()) return bad(ErrorCode::invalid, "must be a string");
  const auto& text = value.get_ref<const std::string&>();
  if (text.size() > rule.most) return bad(ErrorCode::exhausted, fmt::format("is over {} bytes", rule.most));
  if (!is_utf8(text)) return bad(ErrorCode::invalid, "is not UTF-8");
  if (rule.lines == Lines::one && has_control(text))
    return bad(ErrorCode::invalid, "has a control character");
  return text;
}

std::string Reader::text(std::string_view name, TextRule rule) {
  const json* value = need(name);
  if (value == nullptr) return {};
  std::string found = checked_text(name, *value, rule);
  if (found.empty()) refuse(ErrorCode::invalid, fmt::format("{}: '{}' must not be empty", what_, name), "");
  return found;
}

std::string Reader::text_or(std::string_view name, TextRule rule, std::string_view fallback) {
  const json* value = find(name);
  return value == nullptr ? std::string(fallback) : checked_text(name, *value, rule);
}

std::optional<std::string> Reader::optional_text(std::string_view name, TextRule rule) {
  if (find(name) == nullptr) return std::nullopt;
  return text(name, rule);
}

std::int64_t Reader::number(std::string_view name, std::int64_t least, std::int64_t most) {
  const json* value = need(name);
  if (value == nullptr) return least;
  if (!fits_int64(*value)) {
    refuse(ErrorCode::invalid, fmt::format("{}: '{}' must be a whole number", what_, name), "");
    return least;
  }
  const auto found = value->get<std::int64_t>();
  if (found < least || found > most) {
    refuse(ErrorCode::invalid, fmt::format("{}: '{}' must be {} to {}", what_, name, least, most), "");
  }
  return found;
}

std::optional<std::int64_t> Reader::optional_number(std::string_view name, std::int64_t least,
                                                    std::int64_t most) {
  if (find(name) == nullptr) return std::nullopt;
  return number(name, least, most);
}

bool Reader::flag_or(std::string_view name, bool fallback) {
  const json* value = find(name);
  if (value == nullptr) return fallback;
  if (value->is_boolean()) return value->get<bool>();
  refuse(ErrorCode::invalid, fmt::format("{}: '{}' must be true or false", what_, name), "");
  return fallback;
}

WallTime Reader::time(std::string_view name) {
  const std::string found = text(name, {.most = 64});
  const auto when = from_rfc3339(found);
  if (!when) {
    refuse(ErrorCode::invalid, fmt::format("{}: '{}' must be a time", what_, name),
           "as in 2026-01-02T03:04:05.678Z");
  }
  return when.value_or(WallTime{});
}

std::optional<WallTime> Reader::optional_time(std::string_view name) {
  if (find(name) == nullptr) return std::nullopt;
  return time(name);
}

const json& Reader::member(std::string_view name) {
  const json* value = find(name);
  return value == nullptr ? kNull : *value;
}

const json& Reader::array(std::string_view name, std::size_t most) {
  const json* value = find(name);
  if (value == nullptr) return kNull;
  if (!value->is_array()) {
    refuse(ErrorCode::invalid, fmt::format("{}: '{}' must be an array", what_, name), "");
    return kNull;
  }
  if (value->size() > most) {
    refuse(ErrorCode::exhausted, fmt::format("{}: '{}' has over {} elements", what_, name, most), "");
    return kNull;
  }
  return *value;
}

void Reader::find_unknown() {
  const std::vector<std::string> names(known_.begin(), known_.end());
  for (const auto& [name, value] : object_.items()) {
    if (known_.contains(name)) continue;
    const auto meant = nearest(name, names);
    refuse(ErrorCode::invalid, fmt::format("{}: unknown field '{}'", what_, to_utf8(name.substr(0, 80))),
           meant ? fmt::format("did you mean '{}'?", *meant) : "");
    return;
  }
}

}  // namespace agentmesh::hub
