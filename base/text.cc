#include "base/text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <openssl/evp.h>

namespace agentmesh {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Length of the valid UTF-8 sequence at the head of `text`, 0 when there is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char head = byte(0);
  if (head < 0x80) return 1;
  const std::size_t length = head >= 0xF0 ? 4 : head >= 0xE0 ? 3 : 2;
  if (head < 0xC2 || head > 0xF4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  const bool overlong = (head == 0xE0 && second < 0xA0) || (head == 0xF0 && second < 0x90);
  const bool outside = (head == 0xED && second > 0x9F) || (head == 0xF4 && second > 0x8F);
  return overlong || outside ? 0 : length;
}

// Skips one escape sequence that starts at `at` (which holds ESC); returns the position behind it.
std::size_t skip_escape(std::string_view text, std::size_t at) {
  if (at + 1 >= text.size()) return text.size();
  const char kind = text[at + 1];
  at += 2;
  if (kind == '[') {
    while (at < text.size() && (text[at] < 0x40 || text[at] > 0x7E)) ++at;
    return std::min(at + 1, text.size());
  }
  if (kind == ']' || kind == 'P' || kind == '_' || kind == '^' || kind == 'X') {
    for (; at < text.size(); ++at) {
      if (text[at] == '\a') return at + 1;
      if (text[at] == '\x1b') return std::min(at + 2, text.size());
    }
    return at;
  }
  if (kind == '(' || kind == ')' || kind == '#') return std::min(at + 1, text.size());
  return at;
}

// Takes no room, and so hides what a text says: zero-width space, word joiner and the like, byte order mark,
// soft hyphen, tags.
bool is_invisible(std::string_view character) {
  const bool general = character == "\u200B" || (character >= "\u2060" && character <= "\u2065") ||
                       (character >= "\u206A" && character <= "\u206F");
  const bool tag = character >= "\U000E0000" && character <= "\U000E0FFF";
  return general || tag || character == "\uFEFF" || character == "\u00AD" || character == "\u180E" ||
         character == "\u034F";
}

// Joins an emoji's parts, or letters of scripts that need it; between ASCII characters it only hides.
bool is_joiner(std::string_view character) { return character == "\u200C" || character == "\u200D"; }

// One character that is a command to a terminal, or turns the direction of the text that follows.
bool steers_terminal(std::string_view character) {
  if (character.size() == 1) {
    const auto byte = static_cast<unsigned char>(character[0]);
    return (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7F;
  }
  const bool c1 =
      character.size() == 2 && character[0] == '\xC2' && static_cast<unsigned char>(character[1]) < 0xA0;
  const bool embedding = character >= "\u202A" && character <= "\u202E";
  const bool isolate = character >= "\u2066" && character <= "\u2069";
  const bool mark = character == "\u200E" || character == "\u200F" || character == "\u061C";
  return c1 || embedding || isolate || mark;
}

bool is_plain(std::string_view character, std::string_view before) {
  const bool joins = !before.empty() && static_cast<unsigned char>(before.back()) >= 0x80;
  return !steers_terminal(character) && !is_invisible(character) && (joins || !is_joiner(character));
}

char32_t code_point(std::string_view character) {
  constexpr std::array<unsigned, 5> kHead = {0, 0x7F, 0x1F, 0x0F, 0x07};
  char32_t code = static_cast<unsigned char>(character[0]) & kHead[character.size()];
  for (const char c : character.substr(1)) code = (code << 6U) | (static_cast<unsigned char>(c) & 0x3FU);
  return code;
}

// As visible_line shows it. U+2400 and the following are pictures of the control characters.
std::string visible(std::string_view character) {
  if (character == "\n") return "⏎";
  const auto byte = static_cast<unsigned char>(character[0]);
  if (byte < 0x20) return {'\xE2', '\x90', static_cast<char>(0x80 + byte)};
  if (byte == 0x7F) return "␡";
  const bool breaks = character == "\u2028" || character == "\u2029";
  const bool unseen = steers_terminal(character) || is_invisible(character) || is_joiner(character) || breaks;
  if (!unseen) return std::string(character);
  return fmt::format("\\u{:04x}", static_cast<std::uint32_t>(code_point(character)));
}

constexpr std::string_view kCutHead = "… (+";
constexpr std::string_view kCutTail = " bytes)";
constexpr std::size_t kMaxCutMark = 36;

struct MarkedText {
  std::string_view text;
  std::size_t hidden = 0;
};

MarkedText without_mark(std::string_view text) {
  const std::size_t at = text.ends_with(kCutTail) ? text.rfind(kCutHead) : std::string_view::npos;
  if (at == std::string_view::npos) return {text};
  const std::string_view digits =
      text.substr(at + kCutHead.size(), text.size() - kCutTail.size() - at - kCutHead.size());
  const auto hidden = whole_number<std::uint32_t>(digits);
  return hidden ? MarkedText{text.substr(0, at), *hidden} : MarkedText{text};
}

struct Unit {
  std::string_view name;
  double factor;
};

// Splits "1.5g" into number and unit; NaN when the number is malformed or negative.
std::pair<double, std::string> number_and_unit(std::string_view text) {
  double number = 0;
  const auto parsed =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  std::string unit = lower_case({parsed.ptr, text.data() + text.size()});
  if (parsed.ec != std::errc{} || !(number >= 0) || std::signbit(number)) number = std::nan("");
  return {number, std::move(unit)};
}

template <std::size_t N>
std::optional<double> scaled(std::string_view text, const std::array<Unit, N>& units) {
  const auto [number, unit] = number_and_unit(text);
  if (std::isnan(number)) return std::nullopt;
  for (const auto& row : units) {
    if (row.name == unit) return number * row.factor;
  }
  return std::nullopt;
}

constexpr double kKibi = 1024;
constexpr std::array kSizeUnits{
    Unit{"", 1},
    Unit{"b", 1},
    Unit{"k", kKibi},
    Unit{"kb", kKibi},
    Unit{"kib", kKibi},
    Unit{"m", kKibi* kKibi},
    Unit{"mb", kKibi* kKibi},
    Unit{"mib", kKibi* kKibi},
    Unit{"g", kKibi* kKibi* kKibi},
    Unit{"gb", kKibi* kKibi* kKibi},
    Unit{"gib", kKibi* kKibi* kKibi},
    Unit{"t", kKibi* kKibi* kKibi* kKibi},
    Unit{"tib", kKibi* kKibi* kKibi* kKibi},
};
constexpr std::array kDurationUnits{
    Unit{"ms", 1},       Unit{"s", 1000},      Unit{"m", 60'000},
    Unit{"min", 60'000}, Unit{"h", 3'600'000}, Unit{"d", 86'400'000},
};
constexpr std::size_t kMaxShown = 80;
constexpr double kMaxSize = 9.0e18;
constexpr double kMaxDurationMs = 100.0 * 366 * 86'400'000;

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string to_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const std::size_t length = utf8_length(bytes);
    text += length == 0 ? kReplacement : bytes.substr(0, length);
    bytes.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return text;
}

std::string plain_text(std::string_view terminal_bytes) {
  std::string kept;
  for (std::size_t at = 0; at < terminal_bytes.size();) {
    const char c = terminal_bytes[at];
    if (c == '\x1b') {
      at = skip_escape(terminal_bytes, at);
      continue;
    }
    const std::string_view rest = terminal_bytes.substr(at);
    const std::size_t length = utf8_length(rest);
    // Replaced here, not at the end: two halves around an escape sequence would make a control character.
    if (length == 0) kept += kReplacement;
    if (length > 0 && is_plain(rest.substr(0, length), kept)) kept += rest.substr(0, length);
    at += std::max<std::size_t>(length, 1);
  }
  return kept;
}

std::string one_line(std::string_view text) {
  std::string line = plain_text(text.substr(0, 4 * kMaxShown));
  std::ranges::replace_if(line, [](char c) { return c == '\n' || c == '\t'; }, '?');
  return cut_utf8(line, kMaxShown);
}

std::string cut_mark(std::size_t bytes) { return fmt::format("{}{}{}", kCutHead, bytes, kCutTail); }

bool is_cut(std::string_view text) { return text.contains(kCutHead); }

std::string visible_line(std::string_view text, std::size_t bytes) {
  const auto [body, hidden] = without_mark(text);
  std::string line;
  std::size_t fits = 0;  // of the line, with a mark behind it; so far is `shown` of the text
  std::size_t shown = 0;
  std::size_t at = 0;
  for (; at < body.size() && line.size() <= bytes;
       at += std::max<std::size_t>(utf8_length(body.substr(at)), 1)) {
    if (line.size() + kMaxCutMark <= bytes) {
      fits = line.size();
      shown = at;
    }
    const std::size_t length = utf8_length(body.substr(at));
    line += length == 0 ? std::string(kReplacement) : visible(body.substr(at, length));
  }
  const bool whole = line.size() <= bytes && (hidden == 0 || line.size() + kMaxCutMark <= bytes);
  if (whole) return hidden == 0 ? line : line + cut_mark(hidden);
  return line.substr(0, fits) + cut_mark(body.size() - shown + hidden);
}

std::string cut_utf8(std::string_view text, std::size_t bytes) {
  if (text.size() <= bytes) return std::string(text);
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0U) == 0x80U) --bytes;
  return std::string(text.substr(0, bytes));
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::optional<std::string> nearest(std::string_view word, std::span<const std::string> candidates) {
  std::optional<std::string> best;
  std::size_t best_distance = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    std::vector<std::size_t> row(candidate.size() + 1);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= word.size(); ++i) {
      std::size_t diagonal = std::exchange(row[0], i);
      for (std::size_t j = 1; j < row.size(); ++j) {
        const std::size_t changed = diagonal + (word[i - 1] == candidate[j - 1] ? 0 : 1);
        diagonal = std::exchange(row[j], std::min({changed, row[j] + 1, row[j - 1] + 1}));
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

Result<std::uint64_t> parse_size(std::string_view text) {
  const auto bytes = scaled(trim(text), kSizeUnits);
  if (!bytes || *bytes < 1 || *bytes > kMaxSize) {
    return fail(ErrorCode::invalid, "size", fmt::format("'{}' is not a size", text.substr(0, 40)),
                "write it like 512m or 2g");
  }
  return static_cast<std::uint64_t>(*bytes);
}

std::string format_size(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kNames{"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= kKibi && unit + 1 < kNames.size()) {
    value /= kKibi;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kNames[unit]);
}

Result<Millis> parse_duration(std::string_view text) {
  const std::string_view trimmed = trim(text);
  if (trimmed == "0") return Millis{0};
  const auto ms = scaled(trimmed, kDurationUnits);
  if (!ms || *ms > kMaxDurationMs) {
    return fail(ErrorCode::invalid, "duration", fmt::format("'{}' is not a duration", text.substr(0, 40)),
                "write it like 250ms, 30s, 5m or 2h");
  }
  return Millis{static_cast<std::int64_t>(std::llround(*ms))};
}

bool is_uuid(std::string_view text) {
  constexpr std::string_view kShape = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  return std::ranges::equal(text, kShape, [](unsigned char c, char shape) {
    return shape == '-' ? c == '-' : std::isxdigit(c) != 0;
  });
}

std::string to_hex(std::span<const unsigned char> bytes) {
  std::string text;
  for (unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

std::string sha256_hex(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr);
  return to_hex(std::span(digest.data(), length));
}

std::string base64(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int length =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

}  // namespace agentmesh
