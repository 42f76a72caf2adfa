// The server's answers: errors as JSON, statuses, and what a request's accessors give.

#include "base/json.h"
#include "net/server.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::net {
namespace {

struct StatusRow {
  int status;
  ErrorCode code;
};

// The first row of a code is the status it is answered with.
constexpr StatusRow kStatuses[] = {
    {404, ErrorCode::not_found}, {409, ErrorCode::conflict},  {400, ErrorCode::invalid},
    {403, ErrorCode::denied},    {429, ErrorCode::exhausted}, {503, ErrorCode::unavailable},
    {504, ErrorCode::timeout},   {500, ErrorCode::internal},  {401, ErrorCode::denied},
    {405, ErrorCode::invalid},   {408, ErrorCode::timeout},   {413, ErrorCode::exhausted},
    {414, ErrorCode::exhausted}, {431, ErrorCode::exhausted}, {502, ErrorCode::unavailable},
};

ErrorCode code_of_status(int status) {
  for (const auto& row : kStatuses) {
    if (row.status == status) return row.code;
  }
  return status >= 400 && status < 500 ? ErrorCode::invalid : ErrorCode::internal;
}

std::string text_member(const nlohmann::json& object, std::string_view name) {
  auto text = json_string(object, name, "");
  return text ? std::move(*text) : std::string();
}

template <class Map>
std::string_view find_or_empty(const Map& map, std::string_view name) {
  const auto found = map.find(std::string(name));
  return found == map.end() ? std::string_view() : std::string_view(found->second);
}

}  // namespace

std::string_view ServerRequest::header(std::string_view lower_case_name) const {
  return find_or_empty(headers, lower_case_name);
}

std::string_view ServerRequest::param(std::string_view name) const { return find_or_empty(params, name); }

std::optional<std::string> ServerRequest::query_value(std::string_view name) const {
  const auto found = query.find(std::string(name));
  if (found == query.end()) return std::nullopt;
  return found->second;
}

int status_of(ErrorCode code) {
  for (const auto& row : kStatuses) {
    if (row.code == code) return row.status;
  }
  return 500;
}

Reply error_reply(const Error& error) { return error_reply(status_of(error.code), error); }

Reply error_reply(int status, const Error& error) {
  const nlohmann::json body{{"error",
                             {{"code", std::string(to_string(error.code))},
                              {"stage", error.stage},
                              {"message", error.what},
                              {"hint", error.hint}}}};
  return {.status = status, .body = dump_json(body)};
}

Error error_from_reply(int status, std::string_view body) {
  const auto parsed = parse_json(body, "http");
  if (parsed && parsed->is_object() && parsed->contains("error")) {
    const nlohmann::json& error = (*parsed)["error"];
    const std::string code = text_member(error, "code");
    if (!code.empty()) {
      return Error{error_code_from(code), text_member(error, "stage"), text_member(error, "message"),
                   text_member(error, "hint")};
    }
  }
  return Error{code_of_status(status), "http", fmt::format("the server answered {}", status), ""};
}

}  // namespace agentmesh::net
