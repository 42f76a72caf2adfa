#include "agents/fields.h"

#include "agents/adapter.h"
#include "base/text.h"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

namespace agentmesh::agents {

using nlohmann::json;

namespace {

constexpr std::array<std::string_view, 9> kLimitWords = {
    "429",   "rate limit",        "rate_limit",    "ratelimit",          "usage limit",
    "quota", "too many requests", "limit reached", "insufficient credit"};

const json* member(const json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

}  // namespace

std::string text_at(const json& object, std::string_view key) {
  const json* found = member(object, key);
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

std::string id_at(const json& object, std::string_view key) {
  std::string id = text_at(object, key);
  const bool plain =
      std::ranges::all_of(id, [](char c) { return c > ' ' && c <= '~' && c != '/' && c != '?'; });
  return plain && id.size() <= kMaxIdBytes ? id : std::string();
}

const json& object_at(const json& object, std::string_view key) {
  static const json empty = json::object();
  const json* found = member(object, key);
  return found != nullptr && found->is_object() ? *found : empty;
}

std::optional<std::int64_t> whole_at(const json& object, std::string_view key) {
  const json* found = member(object, key);
  if (found == nullptr || !found->is_number_integer()) return std::nullopt;
  if (found->is_number_unsigned() && found->get<std::uint64_t>() > INT64_MAX) return std::nullopt;
  return found->get<std::int64_t>();
}

std::string one_line(std::string_view text) {
  std::string line = plain_text(to_utf8(text.substr(0, 4 * kMaxSignalDetail)));
  std::ranges::replace_if(line, [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return cut_utf8(trim(line), kMaxSignalDetail);
}

int number_of(std::string_view digits) { return whole_number<int>(digits).value_or(0); }

std::string version_of(std::string_view text) {
  const std::size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
  const bool numbers =
      end > 0 && end <= kMaxVersionBytes && text.front() != '.' && text.substr(0, end).contains('.');
  return numbers ? std::string(text.substr(0, end)) : std::string();
}

std::string asked_line(std::string_view text) { return visible_line(text, kMaxSignalDetail); }

bool speaks_of_limit(std::string_view message) {
  const std::string lower = lower_case(message.substr(0, 4 * kMaxSignalDetail));
  return std::ranges::any_of(kLimitWords, [&](std::string_view word) { return lower.contains(word); });
}

}  // namespace agentmesh::agents
