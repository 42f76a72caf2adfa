#pragma once
// A value that cannot be printed, formatted or compared by accident. Its memory is wiped at the end.

#include "base/result.h"

#include <string>
#include <string_view>

namespace agentmesh {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  Secret(const Secret&) = default;
  Secret(Secret&&) = default;
  Secret& operator=(const Secret&) = default;
  Secret& operator=(Secret&&) = default;
  ~Secret();

  bool empty() const { return value_.empty(); }
  // The only way to the text: the caller is about to put it on a wire.
  const std::string& reveal() const { return value_; }
  // In constant time for values of one length.
  bool equals(std::string_view other) const;

 private:
  std::string value_;
};

// Resolves "env:NAME" and "file:PATH" (the file 0600 or stricter, at most 64 KiB, trailing newline dropped).
// Errors: invalid (another form: a secret is never written in a configuration), not_found, denied.
Result<Secret> resolve_secret(std::string_view reference);

// HMAC-SHA256 of the text, as lower-case hex (RFC 2104).
std::string hmac_sha256_hex(const Secret& key, std::string_view text);

// Replaces what looks like a secret (bearer headers, sk-..., amk_..., phm_..., gh?_..., AKIA...) by
// "[redacted]". One that reaches the end of a line of 40 bytes and more may have been wrapped there, and goes
// on in the next line: rather a word too many is replaced than the rest of a key shown.
std::string redact(std::string_view text);

}  // namespace agentmesh
