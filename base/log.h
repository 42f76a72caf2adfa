#pragma once
// The process's log. Lines are scrubbed of secrets as finished text and go to one rotating file (10 MiB, 3
// files) or to stderr. Logging never fails and never blocks on anything but the disk.

#include "base/result.h"

#include <filesystem>
#include <string_view>

#include <fmt/format.h>

namespace agentmesh {

enum class LogLevel { debug, info, warn, error };

Result<void> log_to_file(const std::filesystem::path& path, LogLevel level);
void log_to_stderr(LogLevel level);
void log_line(LogLevel level, std::string_view stage, std::string_view text);
Result<LogLevel> parse_log_level(std::string_view text);

template <class... Args>
void log_info(std::string_view stage, fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::info, stage, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_warn(std::string_view stage, fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::warn, stage, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_error(std::string_view stage, fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::error, stage, fmt::format(format, std::forward<Args>(args)...));
}
void log_error(const Error& error);

}  // namespace agentmesh
