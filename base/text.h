#pragma once
// Small pure functions on text that more than one module needs.

#include "base/clock.h"
#include "base/result.h"

#include <charconv>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace agentmesh {

bool is_utf8(std::string_view text);
// Bytes that are not UTF-8 become U+FFFD.
std::string to_utf8(std::string_view bytes);
// Terminal output as text: no escape sequences, no control characters but newline and tab, nothing that turns
// the direction of the text and nothing that takes no room, but joiners after what is not ASCII.
std::string plain_text(std::string_view terminal_bytes);
// What somebody typed, as it may stand in an error: one line of at most 80 bytes of plain_text, newlines and
// tabs as "?".
std::string one_line(std::string_view text);
// What somebody is to judge, on one line: nothing is left out untold. Control characters, marks that turn the
// direction of text and those without a width are shown ("␛", "⏎", "\u202e"), bytes that are not UTF-8 as
// U+FFFD. At most so many bytes, of which the last tell how many are not shown: "… (+12 bytes)"; what an
// earlier cut left out is counted in.
std::string visible_line(std::string_view text, std::size_t bytes);
std::string cut_mark(std::size_t bytes);  // "… (+12 bytes)"
// The text has a cut's mark.
bool is_cut(std::string_view text);
// At most so many bytes of UTF-8, cut between characters.
std::string cut_utf8(std::string_view text, std::size_t bytes);
std::vector<std::string_view> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);
std::string lower_case(std::string_view text);  // of ASCII letters
// The candidate with the smallest edit distance, when it is close enough to be meant (at most a third
// changed).
std::optional<std::string> nearest(std::string_view word, std::span<const std::string> candidates);

// The text, all of it, as a whole number from `least` to `most`: digits, behind a minus where the type has a
// sign; no plus, no blank, no "0x".
template <std::integral T, int kBase = 10>
std::optional<T> whole_number(std::string_view text, T least = std::numeric_limits<T>::min(),
                              T most = std::numeric_limits<T>::max()) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, kBase);
  const bool fits = error == std::errc{} && stop == end && value >= least && value <= most;
  return fits ? std::optional(value) : std::nullopt;
}

// "2g", "512m", "64k", "1048576", "1.5g" (powers of 1024, an optional trailing b or ib).
// Errors: invalid. Result in bytes, at least 1.
Result<std::uint64_t> parse_size(std::string_view text);
std::string format_size(std::uint64_t bytes);  // "2.0 GiB"
// "250ms", "30s", "5m", "2h", "1d". Errors: invalid.
Result<Millis> parse_duration(std::string_view text);

// "01a20e7f-ef84-7ed2-9311-051ab6283a5c", of either case.
bool is_uuid(std::string_view text);

std::string to_hex(std::span<const unsigned char> bytes);
std::string sha256_hex(std::string_view bytes);
std::string base64(std::string_view bytes);

}  // namespace agentmesh
