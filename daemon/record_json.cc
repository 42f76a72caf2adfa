#include "daemon/record_json.h"

#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::daemon {
namespace {

using nlohmann::json;
namespace wd = agentmesh::watchdog;

// One list of members serves both directions: Writer and Reader have the same functions.
class Writer {
 public:
  template <class T>
  void plain(const char* key, const T& value) {
    row_[key] = value;
  }
  template <class T>
  void later(const char* key, const T& value) {
    plain(key, value);
  }
  template <class T>
  void optional(const char* key, const std::optional<T>& value) {
    row_[key] = value ? json(*value) : json(nullptr);
  }
  void time(const char* key, WallTime value) { row_[key] = to_millis(value); }
  void optional_time(const char* key, const std::optional<WallTime>& value) {
    row_[key] = value ? json(to_millis(*value)) : json(nullptr);
  }
  void duration(const char* key, Millis value) { row_[key] = value.count(); }
  template <class Enum>
  void word(const char* key, Enum value) {
    row_[key] = std::string(wd::to_string(value));
  }
  template <class Enum>
  void later_word(const char* key, Enum value) {
    word(key, value);
  }
  void times(const char* key, const std::vector<WallTime>& values) {
    json list = json::array();
    for (WallTime value : values) list.push_back(to_millis(value));
    row_[key] = std::move(list);
  }
  json take() { return std::move(row_); }

 private:
  json row_ = json::object();
};

class Reader {
 public:
  explicit Reader(const json& row) : row_(row) {}
  template <class T>
  void plain(const char* key, T& value) {
    row_.at(key).get_to(value);
  }
  // A member that rows of older versions do not have.
  template <class T>
  void later(const char* key, T& value) {
    if (row_.contains(key)) plain(key, value);
  }
  template <class T>
  void optional(const char* key, std::optional<T>& value) {
    const json& member = row_.at(key);
    value = member.is_null() ? std::nullopt : std::optional<T>(member.get<T>());
  }
  void time(const char* key, WallTime& value) { value = from_millis(row_.at(key).get<std::int64_t>()); }
  void optional_time(const char* key, std::optional<WallTime>& value) {
    const json& member = row_.at(key);
    value = member.is_null() ? std::nullopt : std::optional(from_millis(member.get<std::int64_t>()));
  }
  void duration(const char* key, Millis& value) { value = Millis{row_.at(key).get<std::int64_t>()}; }
  template <class Enum>
  void word(const char* key, Enum& value) {
    const auto text = row_.at(key).get<std::string>();
    const auto known = wd::from_string<Enum>(text);
    if (!known) throw std::invalid_argument(fmt::format("'{}' is not a known {}", text, key));
    value = *known;
  }
  template <class Enum>
  void later_word(const char* key, Enum& value) {
    if (row_.contains(key)) word(key, value);
  }
  void times(const char* key, std::vector<WallTime>& values) {
    values.clear();
    for (const json& member : row_.at(key)) values.push_back(from_millis(member.get<std::int64_t>()));
  }

 private:
  const json& row_;
};

template <class Visitor, class Record>
void visit_exit(Visitor& visitor, Record& exit) {
  visitor.optional("code", exit.code);
  visitor.optional("signal", exit.signal);
  visitor.plain("oom_main", exit.oom_main);
  visitor.plain("oom_child", exit.oom_child);
  visitor.word("reason", exit.reason);
  visitor.plain("text", exit.text);
  visitor.optional_time("at", exit.at);
}

template <class Visitor, class Record>
void visit_members(Visitor& visitor, Record& record) {
  visitor.word("wanted", record.wanted);
  visitor.word("phase", record.phase);
  visitor.word("after", record.after);
  visitor.time("phase_since", record.phase_since);
  visitor.optional_time("deadline", record.deadline);
  visitor.plain("epoch", record.epoch);
  visitor.plain("run", record.run.value);
  visitor.plain("run_begun", record.run_begun);
  visitor.plain("spec_hash", record.spec_hash);
  visitor.plain("container_id", record.container_id);
  visitor.plain("resume", record.resume);
  visitor.optional_time("started_at", record.started_at);
  visitor.plain("reason", record.reason);
  visitor.word("trouble", record.trouble);
  visitor.word("trouble_kind", record.trouble_kind);
  visitor.word("ending", record.ending);
  visitor.duration("stop_timeout", record.stop_timeout);
  visitor.plain("restarting", record.restarting);
  visitor.times("restarts", record.restarts);
  visitor.plain("failures", record.failures);
  visitor.optional_time("last_restart_at", record.last_restart_at);
  visitor.optional_time("next_restart_at", record.next_restart_at);
  visitor.word("hold", record.hold);
  visitor.optional_time("limited_until", record.limited_until);
  visitor.plain("work_open", record.work_open);
  visitor.plain("excused", record.excused);
  visitor.plain("finished", record.finished);
  visitor.later("resumed", record.resumed);
  visitor.later("resume_deaths", record.resume_deaths);
  visitor.later("unproved", record.unproved);
  visitor.later_word("stop_manner", record.stop_manner);
  visitor.later("tries", record.tries);
}

}  // namespace

json to_json(const wd::AgentRecord& record) {
  Writer writer;
  visit_members(writer, record);
  json row = writer.take();
  Writer exit;
  visit_exit(exit, record.exit);
  row["exit"] = exit.take();
  row["name"] = record.name.str();
  return row;
}

Result<wd::AgentRecord> record_from_json(const json& row) {
  try {
    const auto name = AgentName::parse(row.at("name").get<std::string>());
    if (!name) return pass(name.error());
    wd::AgentRecord record{.name = *name};
    Reader reader(row);
    visit_members(reader, record);
    Reader exit(row.at("exit"));
    visit_exit(exit, record.exit);
    return record;
  } catch (const std::exception& problem) {
    return fail(ErrorCode::invalid, "journal",
                fmt::format("an agent's row cannot be read: {}", problem.what()));
  }
}

}  // namespace agentmesh::daemon
