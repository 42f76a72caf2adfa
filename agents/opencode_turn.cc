#include "agents/opencode_turn.h"

#include "agents/fields.h"
#include "agents/opencode_state.h"
#include "base/json.h"

#include <nlohmann/json.hpp>

namespace agentmesh::agents {

using nlohmann::json;

namespace {

// The newest message, in `info` or itself; nothing where it is not certain which one is the newest. Version 1
// lists them by age, version 2 has them in `data`, in an order that it was not seen in.
const json& newest(const json& answer) {
  static const json none = json::object();
  const bool paged = answer.is_object() && answer.contains("data");
  const json& list = paged ? answer["data"] : answer;
  if (!list.is_array() || list.empty() || (paged && list.size() > 1)) return none;
  const json& last = list.back();
  return last.is_object() && last.contains("info") ? object_at(last, "info") : last;
}

bool is_answer(const json& message) {
  const auto summary = message.find("summary");
  if (summary != message.end() && *summary == true) return false;
  return text_at(message, "role") == "assistant" || text_at(message, "type") == "assistant";
}

// "tool-calls": the model is to be asked again with what came of them. "unknown": perhaps too.
bool is_last_step(const std::string& finish) {
  return !finish.empty() && finish != "tool-calls" && finish != "unknown";
}

// As version 1 has it.
json error_of(const json& message) {
  const auto error = message.find("error");
  if (error == message.end() || error->is_null()) return {};
  if (error->is_string()) return {{"data", {{"message", *error}}}};
  const std::string type = text_at(*error, "type");
  if (type.empty()) return *error;
  return {{"name", type == "aborted" ? "MessageAbortedError" : type},
          {"data", {{"message", text_at(*error, "message")}}}};
}

}  // namespace

OpencodeError opencode_error(const json& error) {
  using enum OpencodeError::Kind;
  const json& data = object_at(error, "data");
  const std::string name = text_at(error, "name");
  const std::string message = one_line(text_at(data, "message"));
  const std::int64_t status = whole_at(data, "statusCode").value_or(0);
  const std::string said = message.empty() ? one_line(name) : message;
  if (name == "MessageAbortedError") return {interrupted, said};
  if (name == "ProviderAuthError" || status == 401 || status == 403) return {login, said};
  if (status == 429 || speaks_of_limit(message)) return {limited, said};
  return {other, said};
}

std::optional<Signal> opencode_last_end(std::string_view messages) {
  const auto answer =
      parse_json(messages, "opencode", {.depth = kMaxJsonDepth, .values = kMaxOpencodeValues});
  if (!answer) return std::nullopt;
  const json& message = newest(*answer);
  if (!message.is_object() || !is_answer(message)) return std::nullopt;
  const auto completed = whole_at(object_at(message, "time"), "completed");
  if (!completed || *completed <= 0 || *completed > kMaxEpochMs) return std::nullopt;
  Signal end{.kind = SignalKind::turn_ended, .source = "http", .at = from_millis(*completed)};
  const json error = error_of(message);
  if (error.is_null()) return is_last_step(text_at(message, "finish")) ? std::optional(end) : std::nullopt;
  OpencodeError why = opencode_error(error);
  if (!error.is_object() || why.kind != OpencodeError::Kind::other) return std::nullopt;
  end.kind = SignalKind::turn_failed;
  end.detail = std::move(why.said);
  return end;
}

}  // namespace agentmesh::agents
