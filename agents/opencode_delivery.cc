#include "agents/opencode_delivery.h"

#include "agents/fields.h"
#include "base/json.h"
#include "base/pause.h"
#include "base/text.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {

using boost::asio::awaitable;
using nlohmann::json;
using Steady = std::chrono::steady_clock;

namespace {

constexpr std::size_t kTimeDigits = 12;
constexpr std::size_t kCallerDigits = 14;
constexpr std::uint64_t kTimeMask = 0xFFFF'FFFF'FFFF;
constexpr int kSearchedMessages = 100;  // a message that may have been sent is among the last ones

std::string caller_digits(std::string_view caller_id) {
  return sha256_hex(caller_id).substr(0, kCallerDigits);
}

Delivery blocked(std::string why) { return {DeliveryResult::blocked, std::move(why)}; }

// The first entry of a list of open prompts, for a person; nothing when the list is empty.
Result<std::string> open_prompt(const Result<ApiAnswer>& answer, std::string_view what) {
  if (!answer) return pass(answer.error());
  const auto list =
      answer->status == 200 ? parse_json(answer->body, "opencode") : fail(ErrorCode::unavailable, "", "");
  if (!list || !list->is_array()) {
    return fail(ErrorCode::unavailable, "opencode", fmt::format("it does not say whether {} is open", what));
  }
  return list->empty() ? std::string() : fmt::format("{} is open", what);
}

// Looks until the message is seen in the session or the time is over.
awaitable<bool> seen_in_session(OpencodeApi& api, const OpencodeTimes& times, std::string path,
                                Steady::time_point deadline) {
  while (true) {
    const auto answer = co_await api.get(path, times.answer);
    if (answer && answer->status == 200) co_return true;
    if (Steady::now() + times.look >= deadline) co_return false;
    co_await pause(times.look);
  }
}

}  // namespace

OpencodeIds opencode_ids(std::string_view caller_id, WallTime now) {
  const std::uint64_t time = (static_cast<std::uint64_t>(to_millis(now)) * 0x1000 + 1) & kTimeMask;
  const std::string tail = fmt::format("{:012x}{}", time, caller_digits(caller_id));
  return {"msg_" + tail, "prt_" + tail};
}

bool holds_message(std::string_view messages, std::string_view caller_id) {
  constexpr std::string_view kPrefix = "\"msg_";
  const std::string digits = caller_digits(caller_id);
  for (std::size_t at = messages.find(digits); at != std::string_view::npos;
       at = messages.find(digits, at + 1)) {
    const std::size_t back = kPrefix.size() + kTimeDigits;
    if (at >= back && messages.substr(at - back, kPrefix.size()) == kPrefix) return true;
  }
  return false;
}

awaitable<std::string> asked_now(std::shared_ptr<OpencodeApi> api, OpencodeTimes times) {
  const auto permission = open_prompt(co_await api->get("/permission", times.answer), "a permission prompt");
  if (!permission) co_return permission.error().what;
  if (!permission->empty()) co_return *permission;
  const auto question = open_prompt(co_await api->get("/question", times.answer), "a question");
  if (!question) co_return question.error().what;
  co_return *question;
}

static awaitable<Delivery> verified(OpencodeApi& api, const OpencodeTimes& times, std::string path,
                                    Steady::time_point deadline, std::string doubt) {
  if (co_await seen_in_session(api, times, std::move(path), deadline))
    co_return Delivery{DeliveryResult::delivered, ""};
  co_return Delivery{DeliveryResult::unknown, std::move(doubt)};
}

awaitable<SessionDelivery> deliver_to_session(std::shared_ptr<OpencodeApi> api, OpencodeTimes times,
                                              const Clock& clock, std::string session, Message message) {
  const auto deadline = Steady::now() + message.limit;
  const std::string base = "/session/" + session;
  if (message.attempt == Attempt::repeated) {
    const auto list =
        co_await api->get(fmt::format("{}/message?limit={}", base, kSearchedMessages), times.answer);
    if (!list || list->status != 200) {
      const bool gone = list && list->status == 404;
      co_return SessionDelivery{blocked("it may have been sent before, and the conversation cannot be read"),
                                gone};
    }
    if (holds_message(list->body, message.id)) co_return SessionDelivery{{DeliveryResult::delivered, ""}};
  }

  const std::string asked = co_await asked_now(api, times);
  if (!asked.empty()) co_return SessionDelivery{blocked(asked)};

  const OpencodeIds ids = opencode_ids(message.id, clock.now());
  const json body{{"messageID", ids.message},
                  {"parts", json::array({{{"id", ids.part}, {"type", "text"}, {"text", message.text}}})}};
  const auto sent = co_await api->post(base + "/prompt_async", dump_json(body), times.answer);
  const std::string look = base + "/message/" + ids.message;
  if (!sent) {
    if (sent.error().code == ErrorCode::unavailable)
      co_return SessionDelivery{blocked(describe(sent.error()))};
    co_return SessionDelivery{co_await verified(*api, times, look, deadline, describe(sent.error()))};
  }
  if (sent->status == 404) co_return SessionDelivery{blocked("the conversation is gone"), true};
  if (sent->status / 100 == 4) {
    co_return SessionDelivery{{DeliveryResult::failed, fmt::format("opencode refused it: {} {}", sent->status,
                                                                   one_line(sent->body))}};
  }
  co_return SessionDelivery{
      co_await verified(*api, times, look, deadline,
                        fmt::format("opencode answered {}, but the message is not in the "
                                    "conversation",
                                    sent->status))};
}

}  // namespace agentmesh::agents
