#include "agents/opencode_state.h"

#include "agents/fields.h"
#include "agents/opencode_turn.h"
#include "agents/opencode_v2.h"
#include "base/json.h"
#include "base/text.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {

using nlohmann::json;

namespace {

constexpr JsonLimits kEventLimits{
    .bytes = kMaxJsonBytes, .depth = kMaxJsonDepth, .values = kMaxOpencodeValues};

void push_bounded(std::deque<std::string>& list, const std::string& id) {
  if (list.size() >= kMaxOpencodeRemembered) list.pop_front();
  list.push_back(id);
}

bool holds(const std::deque<std::string>& list, const std::string& id) {
  return std::ranges::find(list, id) != list.end();
}

std::string joined(const json& object, std::string_view key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) return "";
  std::string text;
  for (const json& item : *found) {
    if (item.is_string()) text += (text.empty() ? "" : ", ") + item.get<std::string>();
  }
  return text;
}

// What a permission or a question is about, for a person.
std::string subject(const json& asked) {
  const auto questions = asked.find("questions");
  if (questions != asked.end() && questions->is_array() && !questions->empty()) {
    return one_line(text_at(questions->front(), "question"));
  }
  std::string about = text_at(object_at(asked, "metadata"), "command");
  if (about.empty()) about = text_at(asked, "title");
  if (about.empty()) about = joined(asked, "patterns");
  if (about.empty()) about = joined(asked, "resources");
  std::string kind = text_at(asked, "permission");
  if (kind.empty()) kind = text_at(asked, "type");
  if (kind.empty()) kind = text_at(asked, "action");
  return asked_line(kind.empty() ? about : kind + ": " + about);
}

std::string session_of(const json& properties) { return id_at(properties, "sessionID"); }

}  // namespace

std::vector<Signal> OpencodeState::event(std::string_view text) {
  Signals out;
  const auto parsed = parse_json(text, "opencode", kEventLimits);
  const std::string type = parsed ? text_at(*parsed, "type") : "";
  if (type.empty()) {
    wants_snapshot_ = true;
    return out;
  }
  if (is_opencode_v2(*parsed)) {
    tell_as_opencode_v1(
        *parsed, [&](const std::string& name, const json& properties) { dispatch(name, properties, out); });
  } else {
    dispatch(type, object_at(*parsed, "properties"), out);
  }
  settle("event", out);
  return out;
}

void OpencodeState::dispatch(const std::string& type, const json& properties, Signals& out) {
  if (type == "session.status") return on_status(properties);
  if (type == "session.idle") return set_work(session_of(properties), std::nullopt);
  if (type == "session.error") return on_error(properties);
  if (type == "session.created" || type == "session.updated")
    return on_session(object_at(properties, "info"), out);
  if (type == "session.deleted") return set_work(id_at(object_at(properties, "info"), "id"), std::nullopt);
  if (type == "tui.session.select") return learn(session_of(properties), out);
  if (type == "message.updated") return on_message(object_at(properties, "info"), out);
  if (type == "message.part.updated") return on_part(object_at(properties, "part"), out);
  if (type == "message.part.delta") return out.push_back({SignalKind::activity, "event", "text"});
  if (type == "permission.asked" || type == "permission.updated") return on_asked(permissions_, properties);
  if (type == "permission.replied") return on_closed(permissions_, properties);
  if (type == "question.asked") return on_asked(questions_, properties);
  if (type == "question.replied" || type == "question.rejected") return on_closed(questions_, properties);
  if (type.ends_with(".disposed")) wants_snapshot_ = true;
}

// One session's entry of GET /session/status and of session.status: nothing when it is idle or not
// understood.
static std::optional<std::string> status_type(const json& status) {
  std::string type = text_at(status, "type");
  if (type != "busy" && type != "retry" && type != "idle") return std::nullopt;
  return type;
}

void OpencodeState::on_status(const json& properties) {
  const std::string session = session_of(properties);
  const json& status = object_at(properties, "status");
  const auto type = status_type(status);
  if (session.empty() || !type) {
    wants_snapshot_ = true;
    return;
  }
  if (*type == "idle") return set_work(session, std::nullopt);
  Work work;
  if (*type == "retry") {
    work.why = one_line(text_at(status, "message"));
    work.limited = speaks_of_limit(work.why);
    const auto next = whole_at(status, "next");
    if (next && *next > 0 && *next < kMaxEpochMs) work.until = from_millis(*next);
  }
  set_work(session, std::move(work));
}

void OpencodeState::set_work(const std::string& session, std::optional<Work> work) {
  if (session.empty()) {
    wants_snapshot_ = true;
    return;
  }
  const auto found = work_.find(session);
  if (!work) {
    if (found == work_.end()) {
      if (!known_) ++generation_;  // the answer that is waited for may be from before
      return;
    }
    work_.erase(found);
    // An interrupted turn takes its prompts with it, and does not say so.
    if (!permissions_.empty() || !questions_.empty()) wants_snapshot_ = true;
  } else {
    if (found != work_.end() && found->second == *work) return;
    if (found == work_.end() && work_.size() >= kMaxOpencodeSessions) work_.erase(work_.begin());
    work_[session] = std::move(*work);
    held_.reset();
    aborted_ = false;
    last_error_.clear();
  }
  ++generation_;
}

void OpencodeState::on_error(const json& properties) {
  const auto [kind, said] = opencode_error(object_at(properties, "error"));
  ++generation_;
  if (kind == OpencodeError::Kind::interrupted) {
    aborted_ = true;
    return;
  }
  // A part's error is its own: the turn that asked for the part goes on.
  if (!children_.contains(id_at(properties, "sessionID"))) last_error_ = said;
  if (kind == OpencodeError::Kind::login) held_ = Signal{SignalKind::auth_required, "event", said};
  if (kind == OpencodeError::Kind::limited) held_ = Signal{SignalKind::rate_limited, "event", said};
}

void OpencodeState::on_session(const json& info, Signals& out) {
  const std::string id = id_at(info, "id");
  if (id.empty()) return;
  if (!text_at(info, "parentID").empty()) {
    if (children_.size() >= kMaxOpencodeSessions) children_.erase(children_.begin());
    children_.insert(id);
    return;
  }
  if (!session_) learn(id, out);
}

void OpencodeState::on_message(const json& info, Signals& out) {
  out.push_back({SignalKind::activity, "event", "message"});
  const std::string session = session_of(info);
  if (text_at(info, "role") == "user" && !children_.contains(session)) learn(session, out);
}

void OpencodeState::on_part(const json& part, Signals& out) {
  out.push_back({SignalKind::activity, "event", one_line(text_at(part, "type"))});
  const json& state = object_at(part, "state");
  const std::string call = id_at(part, "callID");
  if (text_at(part, "type") != "tool" || text_at(state, "status") != "running" || call.empty()) return;
  if (holds(tool_calls_, call)) return;
  push_bounded(tool_calls_, call);
  const std::string input = text_at(part, "tool") + "\n" + dump_json(object_at(state, "input"));
  out.push_back({SignalKind::tool_called, "event", sha256_hex(input).substr(0, 16), call});
}

void OpencodeState::on_asked(Asked& open, const json& properties) {
  const std::string id = id_at(properties, "id");
  if (id.empty()) {
    wants_snapshot_ = true;
    return;
  }
  if (holds(closed_, id) || open.contains(id)) return;
  if (open.size() >= kMaxOpencodeAsked) {
    wants_snapshot_ = true;
    return;
  }
  open[id] = subject(properties);
  ++generation_;
}

void OpencodeState::on_closed(Asked& open, const json& properties) {
  std::string id = id_at(properties, "requestID");
  if (id.empty()) id = id_at(properties, "permissionID");
  if (id.empty()) {
    wants_snapshot_ = true;
    return;
  }
  close(open, id);
}

void OpencodeState::close(Asked& open, const std::string& id) {
  if (!holds(closed_, id)) push_bounded(closed_, id);
  ++generation_;
  open.erase(id);
}

std::vector<Signal> OpencodeState::replied(const std::string& permission) {
  Signals out;
  close(permissions_, permission);
  settle("http", out);
  return out;
}

void OpencodeState::set_session(std::string id) {
  session_.reset();
  if (!id.empty()) session_ = std::move(id);
}

void OpencodeState::learn(const std::string& session, Signals& out) {
  if (session.empty() || session == session_) return;
  session_ = session;
  out.push_back({SignalKind::session_learned, "event", "", session});
}

// ---- the snapshot ---------------------------------------------------------------------------------------

static Result<json> array_of(std::string_view text, std::string_view what) {
  auto parsed = parse_json(text, "opencode", kEventLimits);
  if (!parsed) return pass(parsed.error());
  if (!parsed->is_array()) return fail(ErrorCode::invalid, "opencode", fmt::format("{} is not a list", what));
  return parsed;
}

static Result<std::map<std::string, std::string>> asked_of(std::string_view text, std::string_view what) {
  const auto list = array_of(text, what);
  if (!list) return pass(list.error());
  if (list->size() > kMaxOpencodeAsked) {
    return fail(ErrorCode::exhausted, "opencode", fmt::format("{} has {} entries", what, list->size()));
  }
  std::map<std::string, std::string> asked;
  for (const json& item : *list) {
    const std::string id = id_at(item, "id");
    if (id.empty())
      return fail(ErrorCode::invalid, "opencode", fmt::format("{} has an entry without id", what));
    asked[id] = subject(item);
  }
  return asked;
}

Result<std::vector<Signal>> OpencodeState::snapshot(const OpencodeSnapshot& answers) {
  const auto status = parse_json(answers.status, "opencode", kEventLimits);
  if (!status) return pass(status.error());
  if (!status->is_object() || status->size() > kMaxOpencodeSessions) {
    return fail(ErrorCode::invalid, "opencode",
                "the status of the sessions is not an object of their states");
  }
  auto permissions = asked_of(answers.permissions, "the list of permissions");
  if (!permissions) return pass(permissions.error());
  auto questions = asked_of(answers.questions, "the list of questions");
  if (!questions) return pass(questions.error());
  for (const auto& [session, state] : status->items()) {
    if (!status_type(state)) {
      return fail(ErrorCode::invalid, "opencode",
                  fmt::format("the state of session {} is not known", one_line(session)));
    }
  }

  Signals out;
  if (!answers.moved) replace_work(*status);
  if (answers.moved && !known_) add_work(*status);
  const auto take = [&](Asked& open, Asked& asked) {
    answers.moved ? add(open, std::move(asked)) : replace(open, std::move(asked));
  };
  take(permissions_, *permissions);
  take(questions_, *questions);
  known_ = true;
  wants_snapshot_ = false;
  settle("http", out, answers.last_end);
  return out;
}

void OpencodeState::replace_work(const json& status) {
  work_.clear();
  const auto held = std::exchange(held_, std::nullopt);
  for (const auto& [session, state] : status.items()) {
    on_status(json{{"sessionID", session}, {"status", state}});
  }
  if (work_.empty()) held_ = held;
}

void OpencodeState::add_work(const json& status) {
  for (const auto& [session, state] : status.items()) {
    if (!work_.contains(session)) on_status(json{{"sessionID", session}, {"status", state}});
  }
}

void OpencodeState::add(Asked& open, Asked older) const {
  for (auto& [id, subject] : older) {
    if (open.size() < kMaxOpencodeAsked && !holds(closed_, id)) open.try_emplace(id, std::move(subject));
  }
}

void OpencodeState::replace(Asked& open, Asked now) {
  std::erase_if(now, [&](const auto& entry) { return holds(closed_, entry.first); });
  open = std::move(now);
}

std::vector<Signal> OpencodeState::lost(std::string why) {
  work_.clear();
  permissions_.clear();
  questions_.clear();
  known_ = false;
  told_ = Summary::unknown;
  retell_prompt_ = true;  // or closed, when the next snapshot finds none
  ++generation_;
  return {Signal{SignalKind::unreadable, "http", one_line(why)}};
}

// ---- one state out of many ------------------------------------------------------------------------------

const OpencodeState::Work* OpencodeState::limited_work() const {
  const auto found = std::ranges::find_if(work_, [](const auto& entry) { return entry.second.limited; });
  return found == work_.end() ? nullptr : &found->second;
}

// Held back only when every session that works is: one that runs is work.
OpencodeState::Summary OpencodeState::summary() const {
  if (!permissions_.empty()) return Summary::permission;
  if (!questions_.empty()) return Summary::question;
  if (!work_.empty()) {
    const bool all = std::ranges::all_of(work_, [](const auto& entry) { return entry.second.limited; });
    return all ? Summary::limited : Summary::busy;
  }
  if (!known_) return Summary::unknown;
  return held_ ? Summary::held : Summary::idle;
}

// Ids sort by time.
std::optional<OpencodeState::Prompt> OpencodeState::prompt() const {
  const bool permission = !permissions_.empty();
  const Asked& open = permission ? permissions_ : questions_;
  if (open.empty()) return std::nullopt;
  auto found = told_prompt_ ? open.find(told_prompt_->id) : open.end();
  if (found == open.end()) found = open.begin();
  const auto& [id, detail] = *found;
  return Prompt{permission ? SignalKind::permission_asked : SignalKind::question_asked, id, detail};
}

void OpencodeState::settle_prompt(const std::string& source, Signals& out) {
  const auto now = prompt();
  if (!now && !known_) return;  // the one that was told may be open still
  const bool again = std::exchange(retell_prompt_, false);
  if (now == told_prompt_ && !again) return;
  const auto before = std::exchange(told_prompt_, now);
  const bool was_permission = before && before->asked == SignalKind::permission_asked;
  if (before && (!now || (was_permission && now->asked == SignalKind::question_asked))) {
    out.push_back({was_permission ? SignalKind::permission_closed : SignalKind::question_closed, source, "",
                   before->id});
  }
  if (now) out.push_back({now->asked, source, now->detail, now->id});
}

void OpencodeState::settle(std::string_view source, Signals& out, const std::optional<Signal>& last_end) {
  const std::string from(source);
  settle_prompt(from, out);
  const Summary now = summary();
  const Work* limited = now == Summary::limited ? limited_work() : nullptr;
  const bool limit_moved = limited != nullptr && *limited != told_work_;
  if (now == told_ && !limit_moved) return;
  const Summary before = std::exchange(told_, now);
  if (limited != nullptr) told_work_ = *limited;
  switch (now) {
    case Summary::unknown:
    case Summary::permission:
    case Summary::question:
      return;
    case Summary::limited:
      return out.push_back({SignalKind::rate_limited, from, limited->why, "", limited->until});
    case Summary::busy:
      return out.push_back({SignalKind::busy, from, work_.begin()->second.why});
    case Summary::held:
      return out.push_back(*held_);
    case Summary::idle:
      break;
  }
  const bool turn_ran = before == Summary::busy || before == Summary::limited;
  const auto end = last_error_.empty() ? SignalKind::turn_ended : SignalKind::turn_failed;
  if (turn_ran && !aborted_) out.push_back({end, from, last_error_});
  if (before == Summary::unknown && last_end) out.push_back(*last_end);
  out.push_back({SignalKind::idle, from, aborted_ ? "interrupted" : ""});
}

}  // namespace agentmesh::agents
