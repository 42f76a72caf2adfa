#pragma once
// Reads the members of one JSON object strictly and remembers the first thing that is wrong. For
// hub/protocol.cc.

#include "base/clock.h"
#include "base/result.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace agentmesh::hub {

enum class Unknown { refuse, skip };
enum class Lines { one, many };  // one: no control characters

struct TextRule {
  std::size_t most;  // bytes
  Lines lines = Lines::one;
};

class Reader {
 public:
  Reader(const nlohmann::json& object, std::string_view what, Unknown unknown);

  std::string text(std::string_view name, TextRule rule);  // must be there, not empty
  std::string text_or(std::string_view name, TextRule rule, std::string_view fallback);
  std::optional<std::string> optional_text(std::string_view name,
                                           TextRule rule);  // not empty when it is there
  std::int64_t number(std::string_view name, std::int64_t least, std::int64_t most);
  std::optional<std::int64_t> optional_number(std::string_view name, std::int64_t least, std::int64_t most);
  bool flag_or(std::string_view name, bool fallback);
  WallTime time(std::string_view name);
  std::optional<WallTime> optional_time(std::string_view name);
  // A member that another function reads; null when it is absent.
  const nlohmann::json& member(std::string_view name);
  // Null, an empty range, when it is absent.
  const nlohmann::json& array(std::string_view name, std::size_t most);

  // A text that must be one of a set: `from` is priority_from or the like.
  template <class T>
  T choice(std::string_view name, Result<T> (*from)(std::string_view), T fallback) {
    const auto found = optional_text(name, {.most = 64});
    if (!found) return fallback;
    const Result<T> value = from(*found);
    if (value) return *value;
    refuse(value.error().code, value.error().what, value.error().hint);
    return fallback;
  }

  void refuse(ErrorCode code, std::string what, std::string hint);
  void refuse(const Error& error) { refuse(error.code, error.what, error.hint); }
  bool good() const { return !problem_; }

  // The value, or the first thing that was wrong.
  template <class T>
  Result<T> finish(T value) {
    if (unknown_ == Unknown::refuse && good()) find_unknown();
    if (problem_) return std::unexpected(*problem_);
    return value;
  }

 private:
  const nlohmann::json* find(std::string_view name);
  const nlohmann::json* need(std::string_view name);
  std::string checked_text(std::string_view name, const nlohmann::json& value, TextRule rule);
  void find_unknown();

  const nlohmann::json& object_;
  std::string what_;
  Unknown unknown_;
  std::set<std::string, std::less<>> known_;
  std::optional<Error> problem_;
};

}  // namespace agentmesh::hub
