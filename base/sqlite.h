#pragma once
// A thin owner of one SQLite connection. Every database of ours is opened the same way: WAL, synchronous FULL
// (a commit that returned is on the disk), foreign keys on, mode 0600, numbered migrations. The library's
// codes become our few Errors here, once. Used by one thread at a time; holds no policy and logs nothing.

#include "base/clock.h"
#include "base/result.h"

#include <concepts>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace agentmesh {

enum class OpenMode {
  create,     // made when it is not there
  existing,   // not_found when it is not there
  read_only,  // nothing is written, not even by a migration
};

struct DatabaseOptions {
  std::string path;  // a file, or ":memory:"
  OpenMode mode = OpenMode::create;
  std::string stage = "database";  // the stage of every Error
  Millis busy_timeout{5000};       // how long another process may hold the lock
};

// One prepared statement. A failed bind is told by the next step. Must not outlive its Database.
class Statement {
 public:
  // Index counts from 1. Text and blobs are copied.
  Statement& bind(int index, std::string_view text);
  Statement& bind(int index, const std::string& text) { return bind(index, std::string_view(text)); }
  Statement& bind(int index, const char* text) { return bind(index, std::string_view(text)); }
  Statement& bind(int index, double number);
  Statement& bind(int index, std::nullopt_t);
  Statement& bind(int index, std::span<const unsigned char> blob);
  template <std::integral T>
  Statement& bind(int index, T number) {
    return bind_int(index, static_cast<std::int64_t>(number));
  }
  template <class T>
  Statement& bind(int index, const std::optional<T>& value) {
    return value ? bind(index, *value) : bind(index, std::nullopt);
  }
  // Binds ?1, ?2, ... in order.
  template <class... T>
  Statement& bind_all(const T&... values) {
    int index = 0;
    (bind(++index, values), ...);
    return *this;
  }

  // True: a row is there. False: the statement is done. Errors: conflict (a constraint), exhausted (disk
  // full), denied (read only), unavailable (busy, I/O), internal (corrupt).
  Result<bool> step();
  // Steps to the end, ignoring rows.
  Result<void> run();
  // Ready to run again; the bound values stay.
  void reset();

  // Column counts from 0. The value is converted as SQLite converts; null gives "" and 0.
  std::string column_text(int column) const;
  std::int64_t column_int(int column) const;
  double column_double(int column) const;
  bool is_null(int column) const;
  std::optional<std::string> column_optional_text(int column) const;
  std::optional<std::int64_t> column_optional_int(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  Statement(sqlite3_stmt* statement, std::string stage) : statement_(statement), stage_(std::move(stage)) {}
  Statement& bind_int(int index, std::int64_t number);
  Statement& remember(int code);

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  std::string stage_;
  int bind_error_ = 0;
};

// Every row of a statement through `read`, which answers a T or a Result<T>. Errors: the statement's, those
// of step(), read's.
template <class T, class Read>
Result<std::vector<T>> rows_of(Result<Statement> statement, Read read) {
  if (!statement) return pass(statement.error());
  std::vector<T> rows;
  while (true) {
    const auto more = statement->step();
    if (!more) return pass(more.error());
    if (!*more) return rows;
    Result<T> row = read(std::as_const(*statement));
    if (!row) return pass(row.error());
    rows.push_back(std::move(*row));
  }
}

class Database {
 public:
  // Errors: not_found (existing, read_only), unavailable (cannot be opened, locked), denied (read-only disk),
  // internal (not a database, corrupt), each with its cure.
  static Result<Database> open(const DatabaseOptions& options);

  // One or more statements separated by semicolons; rows are ignored.
  Result<void> exec(std::string_view sql);
  Result<Statement> prepare(std::string_view sql);
  // prepare, bind ?1.., run. For statements without rows.
  template <class... T>
  Result<void> execute(std::string_view sql, const T&... values) {
    auto statement = prepare(sql);
    if (!statement) return pass(statement.error());
    return statement->bind_all(values...).run();
  }

  // BEGIN IMMEDIATE, body() -> Result<T>, COMMIT; an Error or an exception rolls back. Not nested.
  template <class Body>
  std::invoke_result_t<Body> transaction(Body&& body) {
    if (auto begun = exec("BEGIN IMMEDIATE"); !begun) return pass(begun.error());
    Rollback guard{this};
    auto result = body();
    if (!result) return result;
    if (auto done = exec("COMMIT"); !done) return pass(done.error());
    guard.database = nullptr;
    return result;
  }

  Result<std::int64_t> user_version();
  // Runs steps[user_version..] in order, each in a transaction of its own. Errors: conflict when the file is
  // of a newer version than steps.size(), with the cure.
  Result<void> migrate(std::span<const std::string_view> steps);
  // Reads every page. Errors: internal when one is damaged.
  Result<void> check();

  std::int64_t last_insert_id() const;
  std::int64_t changes() const;  // rows changed by the last statement
  const std::string& path() const { return path_; }

 private:
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  struct Rollback {
    Database* database;
    ~Rollback();
  };
  Database(sqlite3* handle, std::string path, std::string stage)
      : handle_(handle), path_(std::move(path)), stage_(std::move(stage)) {}
  Result<void> prepare_connection(const DatabaseOptions& options);

  std::unique_ptr<sqlite3, Close> handle_;
  std::string path_;
  std::string stage_;
};

}  // namespace agentmesh
