#include "base/json.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh {
namespace {

using nlohmann::json;

// Walks the text without building anything; stops at the first thing that is over the limit.
class LimitCheck final : public nlohmann::json_sax<json> {
 public:
  explicit LimitCheck(JsonLimits limits) : limits_(limits) {}
  bool too_deep() const { return too_deep_; }
  bool too_many() const { return values_ > limits_.values; }
  const std::string& problem() const { return problem_; }

  bool null() override { return count(); }
  bool boolean(bool) override { return count(); }
  bool number_integer(number_integer_t) override { return count(); }
  bool number_unsigned(number_unsigned_t) override { return count(); }
  bool number_float(number_float_t, const string_t&) override { return count(); }
  bool string(string_t&) override { return count(); }
  bool binary(binary_t&) override { return count(); }
  bool key(string_t&) override { return count(); }
  bool start_object(std::size_t) override { return enter(); }
  bool end_object() override { return leave(); }
  bool start_array(std::size_t) override { return enter(); }
  bool end_array() override { return leave(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    problem_ = fmt::format("not JSON at byte {}", position);
    return false;
  }

 private:
  bool enter() {
    too_deep_ = ++depth_ > limits_.depth;
    return !too_deep_ && count();
  }
  bool leave() {
    --depth_;
    return true;
  }
  bool count() { return ++values_ <= limits_.values; }

  JsonLimits limits_;
  int depth_ = 0;
  std::size_t values_ = 0;
  bool too_deep_ = false;
  std::string problem_;
};

template <class T, class Check>
Result<T> member(const json& object, std::string_view key, T fallback, std::string_view wanted, Check check) {
  if (!object.is_object()) return fail(ErrorCode::invalid, "json", "an object is needed here");
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return fallback;
  if (!check(*found)) {
    return fail(ErrorCode::invalid, "json", fmt::format("'{}' must be {}", key, wanted));
  }
  return found->template get<T>();
}

}  // namespace

Result<json> parse_json(std::string_view text, std::string_view stage, JsonLimits limits) {
  const std::string where(stage);
  if (text.size() > limits.bytes) {
    return fail(ErrorCode::exhausted, where,
                fmt::format("JSON of {} bytes is over the limit of {}", text.size(), limits.bytes));
  }
  LimitCheck check(limits);
  if (!json::sax_parse(text, &check)) {
    if (check.too_deep()) {
      return fail(ErrorCode::exhausted, where, fmt::format("JSON is nested deeper than {}", limits.depth));
    }
    if (check.too_many()) {
      return fail(ErrorCode::exhausted, where, fmt::format("JSON has more than {} values", limits.values));
    }
    return fail(ErrorCode::invalid, where, check.problem());
  }
  return json::parse(text, nullptr, false);
}

std::string dump_json(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<std::string> json_string(const json& object, std::string_view key, std::string_view fallback) {
  return member<std::string>(object, key, std::string(fallback), "a string",
                             [](const json& v) { return v.is_string(); });
}

Result<std::int64_t> json_int(const json& object, std::string_view key, std::int64_t fallback) {
  return member<std::int64_t>(object, key, fallback, "a whole number", [](const json& v) {
    return v.is_number_integer() && !(v.is_number_unsigned() && v.get<std::uint64_t>() > INT64_MAX);
  });
}

Result<bool> json_bool(const json& object, std::string_view key, bool fallback) {
  return member<bool>(object, key, fallback, "true or false", [](const json& v) { return v.is_boolean(); });
}

}  // namespace agentmesh
