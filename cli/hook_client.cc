#include "cli/hook_client.h"

#include "agents/hook.h"
#include "base/ids.h"
#include "base/json.h"
#include "base/socket_address.h"
#include "base/text.h"
#include "base/unique_fd.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::cli {

using nlohmann::json;

namespace {

constexpr std::array<std::size_t, 3> kTextBytes = {1000, 200, 40};
constexpr std::size_t kMaxItems = 30;
constexpr std::size_t kMaxKey = 100;
constexpr int kMaxDepth = 6;
constexpr std::size_t kMaxAnswer = 64 * 1024;
constexpr unsigned kQuickSeconds = 2;
constexpr std::array<std::string_view, 4> kDropped = {"transcript_path", "tool_response", "llm_request",
                                                      "llm_response"};

std::string cut_text(const std::string& text, std::size_t length) {
  const std::string kept = cut_utf8(text, length);
  return kept.size() == text.size() ? text : kept + cut_mark(text.size() - kept.size());
}

// What is left out is told: cut_mark.
json cut(const json& value, std::size_t length, int depth) {
  if (value.is_string()) return cut_text(value.get<std::string>(), length);
  if (!value.is_structured()) return value;
  if (depth == kMaxDepth) return cut_mark(dump_json(value).size());
  json out = value.is_array() ? json::array() : json::object();
  std::size_t left_out = 0;
  for (const auto& [key, member] : value.items()) {
    if (out.size() == kMaxItems) {
      left_out += dump_json(member).size();
    } else if (value.is_array()) {
      out.push_back(cut(member, length, depth + 1));
    } else {
      out[cut_text(key, kMaxKey)] = cut(member, length, depth + 1);
    }
  }
  if (left_out == 0) return out;
  if (value.is_array()) {
    out.push_back(cut_mark(left_out));
  } else {
    out["more"] = cut_mark(left_out);
  }
  return out;
}

std::string all_of_stdin() {
  std::string text(kMaxHookInput + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t bytes = ::read(STDIN_FILENO, text.data() + size, text.size() - size);
    if (bytes <= 0) break;
    size += static_cast<std::size_t>(bytes);
  }
  text.resize(size);
  return text;
}

struct Channel {
  UniqueFd folder;
  UniqueFd socket;
  SocketAddress daemon;

  void tell(const std::string& text) const {
    ::sendto(socket.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL, daemon.get(),
             daemon.size());
  }
};

std::optional<Channel> open_channel() {
  const char* path = std::getenv("AGENTMESH_HOOK");
  if (path == nullptr) return std::nullopt;
  const std::filesystem::path socket_path(path);
  UniqueFd folder(::open(socket_path.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto daemon = SocketAddress::in(folder.get(), socket_path.filename().string());
  if (!folder.valid() || !socket.valid() || !daemon) return std::nullopt;
  return Channel{std::move(folder), std::move(socket), *daemon};
}

// The output of an answer that has the prompt's id; none: it is no such answer.
std::optional<std::string> output_of(std::string_view text, const std::string& prompt) {
  const auto answer = parse_json(text, "hook", JsonLimits{.bytes = kMaxAnswer, .depth = 8});
  if (!answer || !answer->is_object() || json_string(*answer, "id", "").value_or("") != prompt)
    return std::nullopt;
  return json_string(*answer, "output", "").value_or("");
}

struct Heard {
  std::optional<std::string> output;
  bool ended = false;  // a signal ends us
};

// Waits on the socket and on the signals that end us, until `due`.
Heard answer_until(const Channel& channel, int signals, const std::string& prompt,
                   std::chrono::steady_clock::time_point due) {
  std::array<pollfd, 2> waits = {{{channel.socket.get(), POLLIN, 0}, {signals, POLLIN, 0}}};
  while (true) {
    const auto left = std::chrono::duration_cast<Millis>(due - std::chrono::steady_clock::now());
    if (left <= Millis{0}) return {};
    if (::poll(waits.data(), waits.size(), static_cast<int>(left.count()) + 1) <= 0) continue;
    if (waits[1].revents != 0) return {.output = std::nullopt, .ended = true};
    std::string text(kMaxAnswer, '\0');
    const ssize_t bytes = ::recv(channel.socket.get(), text.data(), text.size(), MSG_DONTWAIT);
    text.resize(bytes < 0 ? 0 : static_cast<std::size_t>(bytes));
    if (auto output = output_of(text, prompt)) return {.output = std::move(output), .ended = true};
  }
}

// Signals that end a process, as a descriptor.
UniqueFd ending_signals() {
  sigset_t ending;
  sigemptyset(&ending);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&ending, number);
  ::sigprocmask(SIG_BLOCK, &ending, nullptr);
  return UniqueFd(::signalfd(-1, &ending, SFD_CLOEXEC));
}

void wait_for_answer(const Channel& channel, json envelope, const json& hook) {
  const UniqueFd signals = ending_signals();
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  const std::string prompt = random_hex(8);
  const std::string name = "answer." + prompt;
  const auto own = SocketAddress::in(channel.folder.get(), name);
  ::umask(0077);
  if (!own || ::bind(channel.socket.get(), own->get(), own->size()) != 0) return;
  envelope["id"] = prompt;
  const auto end = std::chrono::steady_clock::now() + kHookPatience;
  Heard heard;
  for (int repeat = 0; !heard.ended && std::chrono::steady_clock::now() < end; ++repeat) {
    envelope["repeat"] = repeat;
    channel.tell(hook_datagram(envelope, hook));
    heard = answer_until(channel, signals.get(), prompt, std::chrono::steady_clock::now() + kHookRepeat);
  }
  if (!heard.output.value_or("").empty()) {
    channel.tell(dump_json({{"runner", envelope["runner"]}, {"id", prompt}, {"taken", true}}));
    std::fputs(heard.output->c_str(), stdout);
    std::fflush(stdout);
  }
  ::unlinkat(channel.folder.get(), name.c_str(), 0);
}

}  // namespace

std::string hook_datagram(const json& envelope, const json& hook) {
  json message = envelope;
  for (const std::size_t length : kTextBytes) {
    message["hook"] = cut(hook, length, 0);
    std::string text = dump_json(message);
    if (text.size() <= agents::kMaxHookBytes) return text;
  }
  json least = json::object();
  for (const std::string_view key : {"hook_event_name", "session_id", "tool_name"}) {
    if (hook.contains(key)) least[key] = cut(hook[key], kMaxKey, kMaxDepth);
  }
  for (const std::string_view key : {"tool_input", "details"}) {
    if (hook.contains(key)) least[key] = cut_mark(dump_json(hook[key]).size());
  }
  message["hook"] = std::move(least);
  return dump_json(message);
}

int run_hook(std::string_view runner, HookStay stay) {
  ::signal(SIGALRM, [](int) { ::_exit(0); });
  ::alarm(kQuickSeconds);  // a program that does not close our stdin
  const auto channel = open_channel();
  const std::string text = all_of_stdin();
  ::alarm(0);
  auto hook = parse_json(text, "hook", JsonLimits{.bytes = kMaxHookInput, .depth = kMaxJsonDepth});
  if (!channel || !hook || !hook->is_object()) return 0;
  json envelope{{"runner", runner}, {"pid", ::getppid()}};
  envelope["mono"] =
      std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now().time_since_epoch()).count();
  if (hook->contains("tool_name")) {
    const json call = json::array({hook->value("tool_name", json()), hook->value("tool_input", json())});
    envelope["call"] = sha256_hex(dump_json(call)).substr(0, 24);
  }
  for (const std::string_view key : kDropped) hook->erase(key);
  if (stay == HookStay::leave) {
    channel->tell(hook_datagram(envelope, *hook));
  } else {
    wait_for_answer(*channel, std::move(envelope), *hook);
  }
  return 0;
}

}  // namespace agentmesh::cli
