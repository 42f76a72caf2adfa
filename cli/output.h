#pragma once
// What a person or a script reads: aligned columns, JSON, errors. Colour only on a terminal and not with
// NO_COLOR.

#include "base/result.h"

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace agentmesh::cli {

using Row = std::vector<std::string>;

// Columns padded to their widest cell; two spaces between. The first row is the head.
std::string table(const std::vector<Row>& rows);

// To standard output. Errors (a full disk, a closed pipe) are told by flush_output.
void print(std::string_view text);
// Errors: internal, when not everything could be written.
Result<void> flush_output();

enum class ErrorForm { text, json };
// "agentmesh: STAGE: what (cure)", or {"error":{...}}, to standard error.
void print_error(const Error& error, ErrorForm form);

// A status word in its colour, when colours are on.
std::string coloured_status(std::string_view status);

// "3m" since an RFC 3339 time; empty for an empty one.
std::string age_of(std::string_view rfc3339);

// A text member of an answer; empty when it is absent, null or no text.
std::string text_of(const nlohmann::json& object, std::string_view key);

}  // namespace agentmesh::cli
