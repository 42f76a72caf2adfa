#include "agents/opencode_v2.h"

#include "agents/fields.h"

#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace agentmesh::agents {

using nlohmann::json;

namespace {

struct Event {
  std::string type;
  json properties;
};
using Events = std::vector<Event>;

Event status(const json& data, json state) {
  return {"session.status", {{"sessionID", text_at(data, "sessionID")}, {"status", std::move(state)}}};
}

Events started(const json& data) { return {status(data, {{"type", "busy"}})}; }
Events succeeded(const json& data) { return {status(data, {{"type", "idle"}})}; }

Events ended_by(const json& data, json error) {
  return {{"session.error", {{"sessionID", text_at(data, "sessionID")}, {"error", std::move(error)}}},
          status(data, {{"type", "idle"}})};
}

Events failed(const json& data) {
  const json& error = object_at(data, "error");
  return ended_by(data,
                  {{"name", text_at(error, "type")}, {"data", {{"message", text_at(error, "message")}}}});
}

Events interrupted(const json& data) { return ended_by(data, {{"name", "MessageAbortedError"}}); }

Events retried(const json& data) {
  json state{{"type", "retry"}, {"message", text_at(object_at(data, "error"), "message")}};
  if (const auto at = whole_at(data, "at")) state["next"] = *at;
  return {status(data, std::move(state))};
}

Events tool_called(const json& data) {
  return {{"message.part.updated",
           {{"part",
             {{"type", "tool"},
              {"callID", text_at(data, "callID")},
              {"state", {{"status", "running"}, {"input", object_at(data, "input")}}}}}}}};
}

Events text(const json&) { return {{"message.part.delta", json::object()}}; }

Events spoken_to(const json& data) {
  return {{"message.updated", {{"info", {{"role", "user"}, {"sessionID", text_at(data, "sessionID")}}}}}};
}

Event session(std::string type, const json& data) {
  return {std::move(type),
          {{"info", {{"id", text_at(data, "sessionID")}, {"parentID", text_at(data, "parentID")}}}}};
}
Events created(const json& data) { return {session("session.created", data)}; }
Events deleted(const json& data) { return {session("session.deleted", data)}; }

Events permission_asked(const json& data) { return {{"permission.asked", data}}; }
Events permission_replied(const json& data) { return {{"permission.replied", data}}; }

// A form's first field is the question.
Events form_created(const json& data) {
  const json& form = object_at(data, "form");
  std::string question;
  const auto fields = form.find("fields");
  if (fields != form.end() && fields->is_array() && !fields->empty()) {
    question = text_at(fields->front(), "title");
    if (question.empty()) question = text_at(fields->front(), "prompt");
  }
  if (question.empty()) question = text_at(form, "title");
  return {{"question.asked",
           {{"id", text_at(form, "id")},
            {"sessionID", text_at(form, "sessionID")},
            {"questions", json::array({{{"question", question}}})}}}};
}

Events form_closed(const json& data) { return {{"question.replied", {{"requestID", text_at(data, "id")}}}}; }

constexpr auto kEvents = std::to_array<std::pair<std::string_view, Events (*)(const json&)>>({
    {"session.execution.started", started},
    {"session.execution.succeeded", succeeded},
    {"session.execution.failed", failed},
    {"session.execution.interrupted", interrupted},
    {"session.retry.scheduled", retried},
    {"session.tool.called", tool_called},
    {"session.text.delta", text},
    {"session.reasoning.delta", text},
    {"session.inbox.delivered", spoken_to},
    {"session.created", created},
    {"session.deleted", deleted},
    {"permission.asked", permission_asked},
    {"permission.replied", permission_replied},
    {"form.created", form_created},
    {"form.replied", form_closed},
    {"form.cancelled", form_closed},
});

}  // namespace

bool is_opencode_v2(const json& event) {
  return event.is_object() && event.contains("data") && !event.contains("properties");
}

void tell_as_opencode_v1(const json& event, const OpencodeV1Sink& tell) {
  const std::string type = text_at(event, "type");
  for (const auto& [name, translate] : kEvents) {
    if (name != type) continue;
    for (const Event& same : translate(object_at(event, "data"))) tell(same.type, same.properties);
  }
}

}  // namespace agentmesh::agents
