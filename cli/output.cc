#include "cli/output.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::cli {
namespace {

// Terminal columns of a UTF-8 text, one for each code point.
std::size_t width(std::string_view text) {
  std::size_t columns = 0;
  bool escape = false;
  for (const char c : text) {
    if (c == '\x1b') escape = true;
    if (!escape && (static_cast<unsigned char>(c) & 0xC0) != 0x80) ++columns;
    if (escape && c == 'm') escape = false;
  }
  return columns;
}

bool colours() {
  static const bool on = ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
  return on;
}

struct StatusColour {
  std::string_view status;
  std::string_view code;
};
constexpr std::array kColours{
    StatusColour{"idle", "32"},
    StatusColour{"busy", "36"},
    StatusColour{"waiting_permission", "33"},
    StatusColour{"failed", "31"},
    StatusColour{"waiting_question", "33"},
    StatusColour{"stuck", "31"},
    StatusColour{"restarting", "33"},
    StatusColour{"auth_required", "33"},
    StatusColour{"rate_limited", "33"},
};

}  // namespace

std::string table(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::string text;
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] - width(row[i]) + 2, ' ');
    }
    text += '\n';
  }
  return text;
}

void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

Result<void> flush_output() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return {};
  if (errno == EPIPE) {  // nobody reads any more, as in `| head`: the usual silent end
    std::signal(SIGPIPE, SIG_DFL);
    std::raise(SIGPIPE);
  }
  return fail(ErrorCode::internal, "output", "standard output cannot be written", "is the disk full?");
}

void print_error(const Error& error, ErrorForm form) {
  if (form == ErrorForm::text) {
    fmt::print(stderr, "agentmesh: {}\n", describe(error));
    return;
  }
  const nlohmann::json body{{"error",
                             {{"code", to_string(error.code)},
                              {"stage", error.stage},
                              {"message", error.what},
                              {"hint", error.hint}}}};
  fmt::print(stderr, "{}\n", dump_json(body));
}

std::string coloured_status(std::string_view status) {
  if (!colours()) return std::string(status);
  for (const auto& row : kColours) {
    if (row.status == status) return fmt::format("\x1b[{}m{}\x1b[0m", row.code, status);
  }
  return std::string(status);
}

std::string text_of(const nlohmann::json& object, std::string_view key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? plain_text(found->get<std::string>()) : "";
}

std::string age_of(std::string_view rfc3339) {
  const auto then = from_rfc3339(rfc3339);
  if (!then) return "";
  const auto now = std::chrono::floor<Millis>(std::chrono::system_clock::now());
  return format_duration(now - *then);
}

}  // namespace agentmesh::cli
