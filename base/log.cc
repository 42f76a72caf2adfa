#include "base/log.h"

#include "base/secret.h"
#include "base/text.h"

// The whole of spdlog is in this unit.
#undef SPDLOG_COMPILED_LIB
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace agentmesh {
namespace {

constexpr std::size_t kMaxLogBytes = 10 * 1024 * 1024;
constexpr std::size_t kLogFiles = 3;
constexpr std::size_t kMaxLineBytes = 4096;

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warn:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

void install(std::shared_ptr<spdlog::logger> logger, LogLevel level) {
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  logger->set_level(level_of(level));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace

Result<void> log_to_file(const std::filesystem::path& path, LogLevel level) {
  try {
    auto sink =
        std::make_shared<spdlog::sinks::rotating_file_sink_st>(path.string(), kMaxLogBytes, kLogFiles);
    install(std::make_shared<spdlog::logger>("agentmesh", std::move(sink)), level);
    return {};
  } catch (const spdlog::spdlog_ex& problem) {
    return fail(ErrorCode::denied, "log", problem.what(), "is the disk full or read-only?");
  }
}

void log_to_stderr(LogLevel level) {
  install(std::make_shared<spdlog::logger>("agentmesh", std::make_shared<spdlog::sinks::stderr_sink_st>()),
          level);
}

void log_line(LogLevel level, std::string_view stage, std::string_view text) {
  std::string line = redact(plain_text(text.substr(0, kMaxLineBytes)));
  std::replace(line.begin(), line.end(), '\n', ' ');
  spdlog::log(level_of(level), "{}: {}", stage, line);
}

Result<LogLevel> parse_log_level(std::string_view text) {
  if (text == "debug") return LogLevel::debug;
  if (text == "info") return LogLevel::info;
  if (text == "warn") return LogLevel::warn;
  if (text == "error") return LogLevel::error;
  return fail(ErrorCode::invalid, "log", fmt::format("'{}' is not a log level", text),
              "debug, info, warn or error");
}

void log_error(const Error& error) {
  log_line(LogLevel::error, error.stage,
           error.hint.empty() ? error.what : error.what + " (" + error.hint + ")");
}

}  // namespace agentmesh
