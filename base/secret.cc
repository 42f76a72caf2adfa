#include "base/secret.h"

#include "base/files.h"
#include "base/text.h"

#include <array>
#include <cctype>
#include <cstdlib>
#include <sys/stat.h>

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace agentmesh {
namespace {

constexpr std::size_t kMaxSecretBytes = 64 * 1024;
constexpr std::size_t kMinTail = 12;  // shorter than any real key; keeps "sk-learn" readable
constexpr std::size_t kNarrowestWrap =
    40;                                // bytes of a line that may have been wrapped; a shorter one was ended
constexpr std::size_t kMaxIndent = 8;  // blanks before what was wrapped
constexpr int kMaxWraps = 32;          // of one secret
constexpr std::string_view kRedacted = "[redacted]";

constexpr std::array<std::string_view, 12> kPrefixes{"sk-",  "amk_", "phm_",  "ghp_", "gho_", "ghs_",
                                                     "ghu_", "AKIA", "xoxb-", "rk_",  "AIza", "github_pat_"};
constexpr std::array<std::string_view, 2> kSchemes{"Bearer ", "bearer "};

bool is_token_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         std::string_view("_-./+=~").find(c) != std::string_view::npos;
}

std::size_t token_length(std::string_view text) {
  std::size_t length = 0;
  while (length < text.size() && is_token_char(text[length])) ++length;
  return length;
}

// Where a token that ends at `end` goes on in the next line, or the end again when it does not.
std::size_t behind_wrap(std::string_view text, std::size_t end) {
  if (end < kNarrowestWrap || end >= text.size() || text[end] != '\n') return end;
  if (text.substr(end - kNarrowestWrap, kNarrowestWrap).contains('\n')) return end;
  const std::size_t indent = text.substr(end + 1, kMaxIndent + 1).find_first_not_of(' ');
  const bool goes_on = indent != std::string_view::npos && is_token_char(text[end + 1 + indent]);
  return goes_on ? end + 1 + indent : end;
}

// Bytes of the token that starts here, over the ends of lines where a program or a terminal may have wrapped
// it.
std::size_t wrapped_length(std::string_view text, std::size_t at) {
  std::size_t end = at + token_length(text.substr(at));
  for (int wraps = 0; wraps < kMaxWraps; ++wraps) {
    const std::size_t next = behind_wrap(text, end);
    if (next == end) break;
    end = next + token_length(text.substr(next));
  }
  return end - at;
}

// Bytes of a secret that starts exactly here, prefix included; 0 when none does.
std::size_t secret_length(std::string_view text, std::size_t at) {
  for (std::string_view prefix : kPrefixes) {
    if (!text.substr(at).starts_with(prefix)) continue;
    const std::size_t tail = wrapped_length(text, at + prefix.size());
    if (tail >= kMinTail) return prefix.size() + tail;
  }
  return 0;
}

}  // namespace

Secret::~Secret() { OPENSSL_cleanse(value_.data(), value_.size()); }

bool Secret::equals(std::string_view other) const {
  return value_.size() == other.size() && CRYPTO_memcmp(value_.data(), other.data(), other.size()) == 0;
}

Result<Secret> resolve_secret(std::string_view reference) {
  constexpr std::string_view kEnv = "env:";
  constexpr std::string_view kFile = "file:";
  if (reference.starts_with(kEnv)) {
    const std::string name(reference.substr(kEnv.size()));
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return fail(ErrorCode::not_found, "secret", fmt::format("{} is not set", name));
    return Secret(value);
  }
  if (!reference.starts_with(kFile)) {
    return fail(ErrorCode::invalid, "secret", "a secret is named, never written",
                "use env:NAME or file:PATH");
  }
  const std::string path(reference.substr(kFile.size()));
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0)
    return fail(ErrorCode::not_found, "secret", fmt::format("{} does not exist", path));
  if ((info.st_mode & 077) != 0) {
    return fail(ErrorCode::denied, "secret", fmt::format("{} can be read by others", path),
                "chmod 600 " + path);
  }
  auto text = read_file(path, kMaxSecretBytes);
  if (!text) return pass(text.error());
  return Secret(std::string(trim(*text)));
}

std::string hmac_sha256_hex(const Secret& key, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  HMAC(EVP_sha256(), key.reveal().data(), static_cast<int>(key.reveal().size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &length);
  return to_hex(std::span(digest.data(), length));
}

std::string redact(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    const bool at_word =
        at == 0 || !is_token_char(text[at - 1]) || text[at - 1] == '=' || text[at - 1] == '/';
    if (const std::size_t length = at_word ? secret_length(text, at) : 0; length > 0) {
      out += kRedacted;
      at += length;
      continue;
    }
    std::size_t skipped = 0;
    for (std::string_view scheme : kSchemes) {
      const std::size_t tail = rest.starts_with(scheme) ? wrapped_length(text, at + scheme.size()) : 0;
      if (tail < kMinTail) continue;
      out += scheme;
      out += kRedacted;
      skipped = scheme.size() + tail;
    }
    if (skipped == 0) out += text[at];
    at += std::max<std::size_t>(skipped, 1);
  }
  return out;
}

}  // namespace agentmesh
