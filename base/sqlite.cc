#include "base/sqlite.h"

#include "base/unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>

#include <fmt/format.h>
#include <sqlite3.h>

namespace agentmesh {
namespace {

struct CodeMeaning {
  int sqlite;
  ErrorCode code;
  std::string_view what;
  std::string_view hint;
};

constexpr CodeMeaning kMeanings[] = {
    {SQLITE_FULL, ErrorCode::exhausted, "the disk is full", "free some space, then try again"},
    {SQLITE_READONLY, ErrorCode::denied, "the database cannot be written",
     "is the disk mounted read-only, or the file owned by another user?"},
    {SQLITE_PERM, ErrorCode::denied, "access to the database is refused", "check the file's owner and mode"},
    {SQLITE_AUTH, ErrorCode::denied, "access to the database is refused", "check the file's owner and mode"},
    {SQLITE_IOERR, ErrorCode::unavailable, "the disk failed to read or write the database",
     "look at the kernel's log for disk errors"},
    {SQLITE_CANTOPEN, ErrorCode::unavailable, "the database cannot be opened",
     "does its folder exist, and may it be written?"},
    {SQLITE_BUSY, ErrorCode::unavailable, "another process holds the database", "stop the other process"},
    {SQLITE_LOCKED, ErrorCode::unavailable, "the database is locked", "try again"},
    {SQLITE_CORRUPT, ErrorCode::internal, "the database is damaged",
     "move the file away to start with an empty one, or restore a copy"},
    {SQLITE_NOTADB, ErrorCode::internal, "the file is not a database",
     "move the file away to start with an empty one, or restore a copy"},
    {SQLITE_CONSTRAINT, ErrorCode::conflict, "the row breaks a rule of its table", ""},
    {SQLITE_TOOBIG, ErrorCode::exhausted, "the value is too large for the database", ""},
    {SQLITE_NOMEM, ErrorCode::exhausted, "out of memory", ""},
};

Error error_of(int code, std::string_view stage, const std::string& detail) {
  for (const auto& row : kMeanings) {
    if (row.sqlite != (code & 0xff)) continue;
    return Error{row.code, std::string(stage), fmt::format("{}: {}", row.what, detail),
                 std::string(row.hint)};
  }
  return Error{ErrorCode::internal, std::string(stage), fmt::format("SQLite error {}: {}", code, detail), ""};
}

Error handle_error(sqlite3* handle, std::string_view stage) {
  return error_of(sqlite3_extended_errcode(handle), stage, sqlite3_errmsg(handle));
}

int open_flags(OpenMode mode) {
  const int base = SQLITE_OPEN_EXRESCODE;
  return base | (mode == OpenMode::read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
}

// SQLite makes a file with the umask's mode; its companions (-wal, -shm) take the mode of the file. 0600
// first.
Result<void> make_private_file(const DatabaseOptions& options) {
  const int create = options.mode == OpenMode::create ? O_CREAT : 0;
  const int access = options.mode == OpenMode::read_only ? O_RDONLY : O_RDWR;
  const UniqueFd fd(::open(options.path.c_str(), access | create | O_CLOEXEC | O_NOCTTY, 0600));
  if (fd.valid()) return {};
  const int error = errno;
  const std::string what = fmt::format("{}: {}", options.path, std::strerror(error));
  switch (error) {
    case ENOENT:
      return fail(ErrorCode::not_found, options.stage, what, "does its folder exist?");
    case EROFS:
    case EACCES:
    case EPERM:
      return fail(ErrorCode::denied, options.stage, "the database cannot be written: " + what,
                  "is the disk mounted read-only, or the file owned by another user?");
    case ENOSPC:
    case EDQUOT:
      return fail(ErrorCode::exhausted, options.stage, what, "free some space, then try again");
    default:
      return fail(ErrorCode::unavailable, options.stage, what);
  }
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

Statement& Statement::remember(int code) {
  if (code != SQLITE_OK && bind_error_ == SQLITE_OK) bind_error_ = code;
  return *this;
}

Statement& Statement::bind(int index, std::string_view text) {
  return remember(sqlite3_bind_text64(statement_.get(), index, text.empty() ? "" : text.data(), text.size(),
                                      SQLITE_TRANSIENT, SQLITE_UTF8));
}

Statement& Statement::bind(int index, double number) {
  return remember(sqlite3_bind_double(statement_.get(), index, number));
}

Statement& Statement::bind(int index, std::nullopt_t) {
  return remember(sqlite3_bind_null(statement_.get(), index));
}

Statement& Statement::bind(int index, std::span<const unsigned char> blob) {
  if (blob.empty()) return remember(sqlite3_bind_zeroblob(statement_.get(), index, 0));
  return remember(sqlite3_bind_blob64(statement_.get(), index, blob.data(), blob.size(), SQLITE_TRANSIENT));
}

Statement& Statement::bind_int(int index, std::int64_t number) {
  return remember(sqlite3_bind_int64(statement_.get(), index, number));
}

Result<bool> Statement::step() {
  if (bind_error_ != SQLITE_OK) return pass(error_of(bind_error_, stage_, sqlite3_errstr(bind_error_)));
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return pass(handle_error(sqlite3_db_handle(statement_.get()), stage_));
}

Result<void> Statement::run() {
  while (true) {
    const auto row = step();
    if (!row) return pass(row.error());
    if (!*row) return {};
  }
}

void Statement::reset() { sqlite3_reset(statement_.get()); }

std::string Statement::column_text(int column) const {
  const auto* text = sqlite3_column_text(statement_.get(), column);
  if (text == nullptr) return {};
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column));
  return std::string(reinterpret_cast<const char*>(text), size);
}

std::int64_t Statement::column_int(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

double Statement::column_double(int column) const { return sqlite3_column_double(statement_.get(), column); }

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

std::optional<std::string> Statement::column_optional_text(int column) const {
  if (is_null(column)) return std::nullopt;
  return column_text(column);
}

std::optional<std::int64_t> Statement::column_optional_int(int column) const {
  if (is_null(column)) return std::nullopt;
  return column_int(column);
}

void Database::Close::operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }

Database::Rollback::~Rollback() {
  if (database != nullptr) std::ignore = database->exec("ROLLBACK");
}

Result<Database> Database::open(const DatabaseOptions& options) {
  if (options.path != ":memory:") {
    if (auto made = make_private_file(options); !made) return pass(made.error());
  }
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(options.path.c_str(), &handle, open_flags(options.mode), nullptr);
  Database database(handle, options.path, options.stage);
  if (code != SQLITE_OK) {
    return pass(error_of(code, options.stage, fmt::format("{}: {}", options.path, sqlite3_errstr(code))));
  }
  if (auto ready = database.prepare_connection(options); !ready) {
    Error error = ready.error();
    error.what += " (" + options.path + ")";
    return pass(std::move(error));
  }
  return database;
}

Result<void> Database::prepare_connection(const DatabaseOptions& options) {
  sqlite3_busy_timeout(handle_.get(), static_cast<int>(options.busy_timeout.count()));
  if (auto set = exec("PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; PRAGMA synchronous=FULL"); !set) {
    return set;
  }
  if (options.mode != OpenMode::read_only) {
    if (auto set = exec("PRAGMA journal_mode=WAL"); !set) return set;
  }
  // The first read proves that the file is a database.
  return exec("SELECT count(*) FROM sqlite_schema");
}

Result<void> Database::exec(std::string_view sql) {
  const std::string text(sql);
  if (sqlite3_exec(handle_.get(), text.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return pass(handle_error(handle_.get(), stage_));
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v2(handle_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  if (code != SQLITE_OK) return pass(handle_error(handle_.get(), stage_));
  return Statement(statement, stage_);
}

Result<std::int64_t> Database::user_version() {
  auto statement = prepare("PRAGMA user_version");
  if (!statement) return pass(statement.error());
  if (auto row = statement->step(); !row) return pass(row.error());
  return statement->column_int(0);
}

Result<void> Database::migrate(std::span<const std::string_view> steps) {
  const auto version = user_version();
  if (!version) return pass(version.error());
  const auto newest = static_cast<std::int64_t>(steps.size());
  if (*version > newest || *version < 0) {
    return fail(ErrorCode::conflict, stage_,
                fmt::format("{} has schema version {}, this program knows up to {}", path_, *version, newest),
                "use the newer agentmesh that wrote it, or move the file away");
  }
  for (std::int64_t next = *version; next < newest; ++next) {
    auto done = transaction([&]() -> Result<void> {
      if (auto step = exec(steps[static_cast<std::size_t>(next)]); !step) return step;
      return exec(fmt::format("PRAGMA user_version={}", next + 1));
    });
    if (!done) return done;
  }
  return {};
}

Result<void> Database::check() {
  auto statement = prepare("PRAGMA quick_check(1)");
  if (!statement) return pass(statement.error());
  const auto row = statement->step();
  if (!row) return pass(row.error());
  std::string answer = statement->column_text(0);
  if (answer == "ok") return {};
  std::ranges::replace(answer, '\n', ' ');
  return pass(error_of(SQLITE_CORRUPT, stage_, fmt::format("{}: {}", path_, answer)));
}

std::int64_t Database::last_insert_id() const { return sqlite3_last_insert_rowid(handle_.get()); }

std::int64_t Database::changes() const { return sqlite3_changes64(handle_.get()); }

}  // namespace agentmesh
