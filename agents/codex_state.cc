#include "agents/codex_state.h"

#include "agents/fields.h"
#include "base/json.h"
#include "base/text.h"

#include <algorithm>
#include <array>
#include <re2/re2.h>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {

using nlohmann::json;

namespace {

constexpr std::string_view kSource = "status";
constexpr std::array<std::string_view, 6> kInputMembers = {"command",   "server",  "tool",
                                                           "arguments", "changes", "query"};
constexpr std::array<std::string_view, 5> kTools = {"commandExecution", "mcpToolCall", "fileChange",
                                                    "webSearch", "dynamicToolCall"};
constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

bool flag_at(const json& object, std::string_view key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

const json& list_at(const json& object, std::string_view key) {
  static const json empty = json::array();
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : empty;
}

bool is_approval(const CodexRequest& request) { return request.method.ends_with("requestApproval"); }

// What a turn failed of: a name, or an object whose only member has the provider's HTTP status.
std::string error_name(const json& error) { return text_at(error, "codexErrorInfo"); }

std::int64_t error_status(const json& error) {
  const json& info = object_at(error, "codexErrorInfo");
  for (const auto& [name, inner] : info.items()) {
    if (const auto status = whole_at(inner, "httpStatusCode")) return *status;
  }
  return 0;
}

// What it leaves the agent in: at a limit, without a login; silent: nothing that stays.
Sense sense_of(const json& error) {
  const std::string name = error_name(error);
  const std::int64_t status = error_status(error);
  if (name == "usageLimitExceeded" || name == "rateLimitExceeded" || status == 429) return Sense::limited;
  return name == "unauthorized" || status == 401 || status == 403 ? Sense::login : Sense::silent;
}

// How a turn ended that has ended by itself, where that is certain.
std::optional<Signal> end_of(const json& turn) {
  const std::string status = text_at(turn, "status");
  const json& error = object_at(turn, "error");
  const bool failed = status == "failed" && sense_of(error) == Sense::silent;
  const auto second = whole_at(turn, "completedAt");
  if (!failed && status != "completed") return std::nullopt;
  if (!second || *second <= 0 || *second > kMaxEpochMs / 1000) return std::nullopt;
  return Signal{.kind = failed ? SignalKind::turn_failed : SignalKind::turn_ended,
                .source = std::string(kSource),
                .detail = one_line(text_at(error, "message")),
                .at = from_millis(*second * 1000)};
}

// Appends what tells one call from another, up to `end` bytes: of a text its size and its beginning.
void put(std::string& out, const json& value, std::size_t end) {
  out += '\n';
  if (out.size() >= end) return;
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    out += fmt::format("{} ", text.size());
    out.append(text, 0, end - std::min(end, out.size()));
  } else if (value.is_structured()) {
    for (const auto& [key, member] : value.items()) {
      if (out.size() >= end) return;
      out.append(key, 0, end - out.size());
      put(out, member, end);
    }
  } else {
    out += dump_json(value);
  }
}

// Of a request; empty when it is none that is kept.
std::string rpc_id(const json& id) {
  const bool fits =
      id.is_number_integer() || (id.is_string() && id.get_ref<const std::string&>().size() <= kMaxIdBytes);
  std::string text = fits ? dump_json(id) : std::string();
  return text.size() <= kMaxIdBytes ? text : std::string();
}

bool fits(const json& value, std::size_t& left) {
  constexpr std::size_t kValueBytes = 8;
  std::size_t bytes = kValueBytes;
  if (value.is_string()) bytes += value.get_ref<const std::string&>().size();
  if (bytes > left) return false;
  left -= bytes;
  if (!value.is_structured()) return true;
  return std::ranges::all_of(value.items(), [&](const auto& item) {
    const std::size_t name = value.is_object() ? item.key().size() : 0;
    if (name > left) return false;
    left -= name;
    return fits(item.value(), left);
  });
}

// Whole or not at all: a part of what is asked for may allow more than the whole.
std::string permissions_of(const json& params) {
  const json& permissions = object_at(params, "permissions");
  std::size_t left = kMaxCodexPermissions;
  return fits(permissions, left) ? dump_json(permissions) : std::string();
}

std::string question_of(const json& params) {
  for (const json& question : list_at(params, "questions")) return text_at(question, "question");
  return text_at(params, "message");
}

std::string detail_of(const std::string& method, const json& params) {
  std::string text = text_at(params, "command");
  if (text.empty()) text = text_at(params, "reason");
  if (text.empty()) text = question_of(params);
  if (text.empty() && method.starts_with("item/fileChange/")) text = "a change of files";
  return asked_line(text);
}

}  // namespace

// ---- what it is told ------------------------------------------------------------------------------------

std::vector<Signal> CodexState::take(const json& message, WallTime now) {
  std::vector<Signal> out;
  const std::string method = text_at(message, "method");
  const json& params = object_at(message, "params");
  if (message.contains("id")) {
    asked(message);
    return out;
  }
  if (method == "thread/started") read(object_at(params, "thread"));
  if (method == "thread/status/changed") status(params, out);
  if (method == "thread/closed") threads_.erase(id_at(params, "threadId"));
  if (method == "account/rateLimits/updated") limits(object_at(params, "rateLimits"));
  if (method == "serverRequest/resolved") resolved(params);
  if (const Thread* thread = known(id_at(params, "threadId")); thread != nullptr && !thread->ephemeral) {
    if (method == "turn/completed") turn_ended(params, now, out);
    if (method == "error" && !flag_at(params, "willRetry")) failed(object_at(params, "error"), now);
    if (method == "item/started" || method == "item/completed") item(params, out);
    if (method.starts_with("item/") || method.starts_with("turn/"))
      out.push_back({SignalKind::activity, std::string(kSource)});
  }
  if (method == "turn/started") {
    if (Thread* thread = known(id_at(params, "threadId"))) thread->turn_runs = true;
  }
  learn(out);
  return out;
}

void CodexState::learn(std::vector<Signal>& out) {
  const auto now = conversation();
  if (!now || *now == learned_ || !is_joined(*now)) return;
  learned_ = *now;
  out.push_back({SignalKind::session_learned, std::string(kSource), "", *now});
}

CodexState::Thread* CodexState::known(const std::string& id) {
  const auto found = threads_.find(id);
  return found == threads_.end() ? nullptr : &found->second;
}

void CodexState::read(const json& thread) {
  const std::string id = id_at(thread, "id");
  if (id.empty()) return;
  if (!threads_.contains(id)) {
    if (threads_.size() >= kMaxCodexThreads) {
      const auto oldest = std::ranges::min_element(threads_, {}, [](const auto& entry) {
        return std::pair(!entry.second.ephemeral, entry.second.order);
      });
      threads_.erase(oldest);
    }
    threads_[id].order = ++order_;
  }
  Thread& known = threads_[id];
  known.ephemeral = flag_at(thread, "ephemeral");
  known.child = !text_at(thread, "parentThreadId").empty();
  set_status(id, known, object_at(thread, "status"));
  if (known.status != Status::active) known.turn_runs = false;
}

void CodexState::set_status(const std::string& id, Thread& thread, const json& status) {
  const std::string type = text_at(status, "type");
  const Status before = thread.status;
  thread.status = type == "active" ? Status::active : type == "systemError" ? Status::failed : Status::idle;
  if (thread.status != before) thread.tried = false;
  const json& flags = list_at(status, "activeFlags");
  thread.approval = std::ranges::find(flags, json("waitingOnApproval")) != flags.end();
  thread.input = std::ranges::find(flags, json("waitingOnUserInput")) != flags.end();
  std::erase_if(requests_, [&](const CodexRequest& request) {
    return request.thread == id && (is_approval(request) ? !thread.approval : !thread.input);
  });
  if (thread.status != Status::active || before == Status::active || thread.ephemeral) return;
  thread.order = ++order_;
  hindrance_.reset();
}

void CodexState::status(const json& params, std::vector<Signal>& out) {
  const std::string id = id_at(params, "threadId");
  Thread* thread = known(id);
  if (thread == nullptr) {
    wants_read_ = true;
    return;
  }
  const bool ran = thread->status == Status::active;
  set_status(id, *thread, object_at(params, "status"));
  const bool ended = ran && thread->status == Status::idle;
  if (ended && !thread->joined && !thread->ephemeral && !thread->child)
    out.push_back({SignalKind::turn_ended, std::string(kSource)});
}

void CodexState::turn_ended(const json& params, WallTime now, std::vector<Signal>& out) {
  Thread* thread = known(id_at(params, "threadId"));
  const json& turn = object_at(params, "turn");
  thread->turn_runs = false;
  const std::string status = text_at(turn, "status");
  if (status == "failed") failed(object_at(turn, "error"), now);
  if (thread->child || hindrance_ || status == "interrupted") return;
  out.push_back({status == "failed" ? SignalKind::turn_failed : SignalKind::turn_ended, std::string(kSource),
                 one_line(text_at(object_at(turn, "error"), "message"))});
}

void CodexState::last_turn(const std::string& id, const json& turn, WallTime now) {
  const Thread* thread = known(id);
  if (thread == nullptr) return;
  if (thread->status == Status::failed && text_at(turn, "status") == "failed")
    failed(object_at(turn, "error"), now);
  if (caught_up_ || thread->ephemeral || thread->child) return;
  const auto end = end_of(turn);
  if (end && (!missed_ || missed_->at < end->at)) missed_ = end;
}

std::optional<Signal> CodexState::caught_up() {
  auto missed = std::exchange(missed_, std::nullopt);
  const bool first = !std::exchange(caught_up_, true);
  return first && sign().sense == Sense::idle ? std::move(missed) : std::nullopt;
}

void CodexState::failed(const json& error, WallTime now) {
  const Sense sense = sense_of(error);
  if (sense == Sense::silent) return;
  const std::string message = text_at(error, "message");
  hindrance_ = Sign{sense, one_line(message)};
  if (sense != Sense::limited) return;
  const bool told = full_until_ && *full_until_ > now;
  hindrance_->until = told ? full_until_ : codex_limit_end(message, now);
}

void CodexState::limits(const json& snapshot) {
  full_until_.reset();
  for (const std::string_view window : {"primary", "secondary"}) {
    const json& told = object_at(snapshot, window);
    const auto used = told.find("usedPercent");
    const auto resets = whole_at(told, "resetsAt");
    if (!resets || *resets < 0 || *resets > 1'000'000'000'000 || used == told.end() || !used->is_number() ||
        used->get<double>() < 100)
      continue;
    const WallTime until = from_millis(*resets * 1000);
    if (!full_until_ || until > *full_until_) full_until_ = until;
  }
}

void CodexState::item(const json& params, std::vector<Signal>& out) {
  const json& item = object_at(params, "item");
  const std::string type = text_at(item, "type");
  if (const std::string client = id_at(item, "clientId"); type == "userMessage" && !client.empty()) {
    if (seen(client)) return;
    if (seen_.size() >= kMaxCodexSeen) seen_.erase(seen_.begin());
    seen_.push_back(client);
  }
  const std::string id = id_at(item, "id");
  if (std::ranges::find(kTools, type) == kTools.end() || id == last_tool_) return;
  last_tool_ = id;
  std::string input = type;
  for (const std::string_view name : kInputMembers) {
    if (const auto found = item.find(name); found != item.end())
      put(input, *found, input.size() + kMaxCodexInput);
  }
  out.push_back({SignalKind::tool_called, std::string(kSource), sha256_hex(input).substr(0, 16), id});
}

// ---- what a person is asked -----------------------------------------------------------------------------

void CodexState::asked(const json& message) {
  const json& params = object_at(message, "params");
  const json& id = message["id"];
  CodexRequest request{.rpc_id = rpc_id(id),
                       .method = text_at(message, "method"),
                       .thread = id_at(params, "threadId"),
                       .permissions = permissions_of(params)};
  const bool for_person = is_approval(request) || request.method.ends_with("requestUserInput") ||
                          request.method.ends_with("elicitation/request");
  if (!for_person || request.rpc_id.empty()) return;
  std::string about = id_at(params, "approvalId");
  if (about.empty()) about = id_at(params, "itemId");
  if (about.empty()) about = "request";
  // The server may ask more than once about one item.
  request.id = one_line(about + "-" + (id.is_string() ? id.get<std::string>() : request.rpc_id));
  request.detail = detail_of(request.method, params);
  const auto known = std::ranges::find(requests_, request.rpc_id, &CodexRequest::rpc_id);
  if (known != requests_.end()) {
    *known = std::move(request);
  } else if (requests_.size() < kMaxCodexRequests) {
    requests_.push_back(std::move(request));
  }
}

void CodexState::resolved(const json& params) {
  const auto id = params.find("requestId");
  if (id == params.end()) return;
  std::erase_if(requests_, [text = rpc_id(*id)](const CodexRequest& old) { return old.rpc_id == text; });
}

const CodexRequest* CodexState::request(std::string_view id) const {
  const auto found = std::ranges::find_if(
      requests_, [&](const CodexRequest& open) { return is_approval(open) && open.id == id; });
  return found == requests_.end() ? nullptr : &*found;
}

// ---- what it answers ------------------------------------------------------------------------------------

Sign CodexState::sign() const {
  bool approval = false;
  bool input = false;
  bool runs = false;
  for (const auto& [id, thread] : threads_) {
    if (thread.ephemeral) continue;
    approval = approval || thread.approval;
    input = input || thread.input;
    runs = runs || thread.status == Status::active || thread.turn_runs;
  }
  const CodexRequest* prompt = nullptr;
  const CodexRequest* question = nullptr;
  for (const CodexRequest& open : requests_) {
    const CodexRequest*& first = is_approval(open) ? prompt : question;
    if (first == nullptr) first = &open;
  }
  if (prompt != nullptr) return Sign{Sense::permission, prompt->detail, prompt->id};
  if (approval) return Sign{Sense::permission};
  if (question != nullptr) return Sign{Sense::question, question->detail, question->id};
  if (input) return Sign{Sense::question};
  if (runs) return Sign{Sense::busy};
  if (hindrance_) return *hindrance_;
  return conversation() ? Sign{Sense::idle} : Sign{};
}

std::optional<std::string> CodexState::conversation() const {
  std::optional<std::string> newest;
  std::uint64_t order = 0;
  for (const auto& [id, thread] : threads_) {
    if (thread.ephemeral || thread.child || thread.order < order) continue;
    order = thread.order;
    newest = id;
  }
  return newest;
}

void CodexState::keep_only(const std::vector<std::string>& loaded) {
  std::erase_if(threads_,
                [&](const auto& entry) { return std::ranges::find(loaded, entry.first) == loaded.end(); });
  std::erase_if(requests_, [&](const CodexRequest& open) { return !threads_.contains(open.thread); });
}

std::vector<Signal> CodexState::joined(const std::string& thread, bool well) {
  std::vector<Signal> out;
  if (Thread* found = known(thread)) {
    found->joined = well;
    found->tried = !well;
  }
  learn(out);
  return out;
}

bool CodexState::wants_join() const {
  return std::ranges::any_of(threads_, [](const auto& entry) {
    return !entry.second.ephemeral && !entry.second.joined && entry.second.status == Status::active;
  });
}

void CodexState::join_again() {
  for (auto& [id, thread] : threads_) thread.tried = thread.tried && thread.status != Status::active;
}

std::vector<std::string> CodexState::unjoined() const {
  std::vector<std::string> ids;
  for (const auto& [id, thread] : threads_) {
    if (!thread.ephemeral && !thread.joined && !thread.tried) ids.push_back(id);
  }
  return ids;
}

bool CodexState::is_joined(const std::string& thread) const {
  const auto found = threads_.find(thread);
  return found != threads_.end() && found->second.joined;
}

bool CodexState::wants_last_turn(const std::string& thread) const {
  const auto found = threads_.find(thread);
  if (found == threads_.end()) return false;
  const Thread& known = found->second;
  const bool unheard = !caught_up_ && !known.ephemeral && !known.child && known.status == Status::idle;
  return unheard || (known.status == Status::failed && !hindrance_);
}

bool CodexState::seen(std::string_view client_id) const {
  return std::ranges::find(seen_, client_id) != seen_.end();
}

void CodexState::forget() {
  threads_.clear();
  requests_.clear();
  hindrance_.reset();
  full_until_.reset();
  missed_.reset();
  caught_up_ = false;
  wants_read_ = false;
}

// ---- words ----------------------------------------------------------------------------------------------

std::optional<WallTime> codex_limit_end(std::string_view message, WallTime now) {
  static const re2::RE2 pattern(
      R"(try again at (?:([A-Z][a-z]{2}) (\d{1,2})(?:st|nd|rd|th), (\d{4}) )?(\d{1,2}):(\d{2}) (AM|PM))");
  std::string month;
  std::string day;
  std::string year;
  std::string hour;
  std::string minute;
  std::string half;
  const re2::StringPiece text(message.data(), message.size());
  if (!re2::RE2::PartialMatch(text, pattern, &month, &day, &year, &hour, &minute, &half)) return std::nullopt;
  const int hours = number_of(hour) % 12 + (half == "PM" ? 12 : 0);
  if (number_of(hour) > 12 || number_of(minute) > 59) return std::nullopt;
  // The minute it names has begun by then: to its end.
  const auto time = std::chrono::hours{hours} + std::chrono::minutes{number_of(minute) + 1};
  const auto today = std::chrono::floor<std::chrono::days>(now);
  if (month.empty()) {
    const WallTime until = today + time;
    return until > now ? until : until + std::chrono::days{1};
  }
  const auto named = std::ranges::find(kMonths, month);
  if (named == kMonths.end()) return std::nullopt;
  const std::chrono::year_month_day date{
      std::chrono::year{number_of(year)},
      std::chrono::month{static_cast<unsigned>(named - kMonths.begin() + 1)},
      std::chrono::day{static_cast<unsigned>(number_of(day))}};
  if (!date.ok()) return std::nullopt;
  return WallTime{std::chrono::sys_days{date} + time};
}

std::optional<Sign> codex_title(std::string_view title) {
  if (title.starts_with("[ ! ] Action Required") || title.starts_with("[ . ] Action Required"))
    return Sign{Sense::permission};
  // U+2800 to U+28FF, a blank: the spinner.
  const bool spinner =
      title.size() > 3 && title[0] == '\xe2' && title[1] >= '\xa0' && title[1] <= '\xa3' && title[3] == ' ';
  if (spinner) return Sign{Sense::busy};
  return std::nullopt;
}

}  // namespace agentmesh::agents
