#include "base/result.h"

#include <array>
#include <utility>

namespace agentmesh {
namespace {

struct CodeRow {
  ErrorCode code;
  std::string_view name;
  int exit;
};

constexpr std::array kCodes{
    CodeRow{ErrorCode::not_found, "not_found", 3},     CodeRow{ErrorCode::conflict, "conflict", 4},
    CodeRow{ErrorCode::unavailable, "unavailable", 5}, CodeRow{ErrorCode::timeout, "timeout", 124},
    CodeRow{ErrorCode::invalid, "invalid", 2},         CodeRow{ErrorCode::exhausted, "exhausted", 1},
    CodeRow{ErrorCode::denied, "denied", 7},           CodeRow{ErrorCode::internal, "internal", 1},
};

const CodeRow& row_of(ErrorCode code) {
  for (const auto& row : kCodes) {
    if (row.code == code) return row;
  }
  return kCodes.back();
}

}  // namespace

std::unexpected<Error> fail(ErrorCode code, std::string stage, std::string what, std::string hint) {
  return std::unexpected(Error{code, std::move(stage), std::move(what), std::move(hint)});
}

std::unexpected<Error> pass(Error error) { return std::unexpected(std::move(error)); }

std::string_view to_string(ErrorCode code) { return row_of(code).name; }

ErrorCode error_code_from(std::string_view text) {
  for (const auto& row : kCodes) {
    if (row.name == text) return row.code;
  }
  return ErrorCode::internal;
}

std::string describe(const Error& error) {
  std::string text = error.stage + ": " + error.what;
  if (!error.hint.empty()) text += " (" + error.hint + ")";
  return text;
}

int exit_code_of(ErrorCode code) { return row_of(code).exit; }

}  // namespace agentmesh
