#pragma once
// Errors are values across modules. An Error says what the caller can do (code), at which step it happened
// (stage, the word before the colon in the message a person sees), what failed, and the cure (hint).

#include <expected>
#include <string>
#include <string_view>

namespace agentmesh {

enum class ErrorCode {
  not_found,    // no such thing; asking again will not help
  conflict,     // it exists already, or its state forbids the request
  unavailable,  // the other side cannot be reached now; asking later may help
  timeout,      // the deadline passed: whether it happened is NOT known
  invalid,      // the request itself is wrong
  exhausted,    // a limit was reached: size, rate, depth, count, disk
  denied,       // policy or permission refuses it
  internal,     // a defect, ours or the peer's
};

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string stage;  // "engine", "mount", "config", "tmux", ...
  std::string what;   // one line, no full stop
  std::string hint;   // the cure; may be empty
};

template <class T = void>
using Result = std::expected<T, Error>;

// The error as the value a failing function returns.
std::unexpected<Error> fail(ErrorCode code, std::string stage, std::string what, std::string hint = "");
// An error passed on from a callee unchanged.
std::unexpected<Error> pass(Error error);

std::string_view to_string(ErrorCode code);        // "not_found", ...
ErrorCode error_code_from(std::string_view text);  // unknown text gives internal
std::string describe(const Error& error);          // "STAGE: what (hint)"
int exit_code_of(ErrorCode code);                  // the exit codes of the command line: see docs/cli.md

}  // namespace agentmesh
