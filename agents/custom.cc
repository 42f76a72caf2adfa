#include "agents/custom.h"

#include "agents/held_prompts.h"
#include "agents/hook.h"
#include "agents/throttle.h"
#include "base/text.h"

#include <algorithm>
#include <array>
#include <ranges>
#include <utility>

#include <boost/asio/steady_timer.hpp>

namespace agentmesh::agents {

namespace {

// A program that paints nothing is taken to be up after this long.
constexpr Millis kSilentStart{2'000};
// Activity is told at most this often.
constexpr Millis kActivityEvery{1'000};

SignalKind closed_by(SignalKind prompt) {
  return prompt == SignalKind::permission_asked ? SignalKind::permission_closed : SignalKind::question_closed;
}

// A hook of this kind opens a prompt, or tells that none is open.
bool speaks_of_prompt(SignalKind kind) {
  constexpr std::array kKinds{SignalKind::permission_asked,
                              SignalKind::permission_closed,
                              SignalKind::question_asked,
                              SignalKind::question_closed,
                              SignalKind::busy,
                              SignalKind::idle,
                              SignalKind::turn_ended,
                              SignalKind::turn_failed};
  return std::ranges::find(kKinds, kind) != kKinds.end();
}

class CustomLink final : public Link {
 public:
  CustomLink(LinkContext context, SignalSink sink)
      : context_(std::move(context)),
        throttle_(context_.executor, context_.clock, std::move(sink)),
        silent_start_(context_.executor) {}

  Result<> start() override {
    silent_start_.expires_after(kSilentStart);
    silent_start_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code ec) {
      if (!ec && !alive.expired()) ready("process");
    });
    auto hooks = HookSocket::open(context_.executor, context_.run_dir / "hook.sock",
                                  as_signals([this](Signal signal) { take_hook(std::move(signal)); }));
    if (!hooks) return pass(hooks.error());
    hooks_ = std::move(*hooks);
    return {};
  }

  void title(std::string_view pane_title) override {
    const auto state = state_in_title(pane_title);
    if (state == title_state_) return;
    if (state) ready("title");
    const auto before = std::exchange(title_state_, state);
    if (before && std::exchange(title_closes_, false)) {
      throttle_.tell({closed_by(*before), "title"});
      hook_prompt_ = false;
    }
    title_closes_ = state && is_prompt(*state);
    // A hook's prompt has words and an id, which the same prompt in the title would take from it.
    if (title_closes_ && hook_prompt_) return;
    // A title that is gone, as after a new tmux server, takes nothing from what the hooks said.
    if (state || !hooks_told_) throttle_.tell({state.value_or(SignalKind::unreadable), "title"});
  }

  bool painted() override {
    ready("output");
    activity("output");
    return false;
  }
  void screen(const ScreenReading&) override {}

  Task<Delivery> deliver(Message) override {
    co_return Delivery{DeliveryResult::unsupported, "this program has no channel of its own"};
  }

  Task<> answer(std::string, PermissionAnswer, std::string) override {
    co_return fail(ErrorCode::invalid, "answer", "this program has no channel of its own",
                   "answer in its terminal: agentmesh attach");
  }

  std::optional<std::string> session_id() const override { return session_; }

 private:
  void ready(std::string source) {
    if (std::exchange(ready_, true)) return;
    silent_start_.cancel();
    throttle_.tell({SignalKind::ready, std::move(source)});
  }

  void activity(std::string source) {
    const WallTime now = context_.clock.now();
    if (now < next_activity_) return;
    next_activity_ = now + kActivityEvery;
    throttle_.tell({SignalKind::activity, std::move(source)});
  }

  void take_hook(Signal signal) {
    ready("hook");
    if (signal.kind == SignalKind::ready) return;
    if (signal.kind == SignalKind::activity) return activity("hook");
    if (signal.kind == SignalKind::session_learned) session_ = signal.id;
    hooks_told_ = hooks_told_ || signal.kind == SignalKind::idle || signal.kind == SignalKind::busy;
    note_prompt(signal.kind);
    throttle_.tell(std::move(signal));
  }

  // A title lags behind the hooks: what it showed before a hook's prompt does not close that prompt.
  void note_prompt(SignalKind kind) {
    if (!speaks_of_prompt(kind)) return;
    hook_prompt_ = is_prompt(kind);
    title_closes_ = false;
  }

  LinkContext context_;
  SignalThrottle throttle_;
  boost::asio::steady_timer silent_start_;
  std::unique_ptr<HookSocket> hooks_;
  std::optional<std::string> session_;
  std::optional<SignalKind> title_state_;
  WallTime next_activity_{};
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // for handlers that come after our end
  bool ready_ = false;
  bool hooks_told_ = false;    // the hooks tell the state too
  bool hook_prompt_ = false;   // a prompt that a hook told is open
  bool title_closes_ = false;  // the open prompt is over when it leaves the title
};

}  // namespace

std::optional<SignalKind> state_in_title(std::string_view title) {
  constexpr std::array<std::pair<std::string_view, SignalKind>, 4> kWords = {{
      {"[agentmesh:permission]", SignalKind::permission_asked},
      {"[agentmesh:question]", SignalKind::question_asked},
      {"[agentmesh:busy]", SignalKind::busy},
      {"[agentmesh:idle]", SignalKind::idle},
  }};
  for (const auto& [word, kind] : kWords) {
    if (title.contains(word)) return kind;
  }
  return std::nullopt;
}

std::string shell_line(std::string_view command) {
  // What cannot follow exec: dash's reserved words and builtins that change the shell itself or end it.
  constexpr std::array<std::string_view, 32> kOfTheShell = {
      ".",    ":",     "alias", "break",    "case",   "cd",    "continue", "do",
      "done", "eval",  "exec",  "exit",     "export", "fg",    "for",      "function",
      "if",   "local", "read",  "readonly", "return", "set",   "shift",    "source",
      "then", "times", "trap",  "type",     "ulimit", "umask", "until",    "while"};
  const auto start = command.find_first_not_of(" \t");
  if (start == std::string_view::npos) return std::string(command);
  const std::string_view word = command.substr(start, command.find_first_of(" \t", start) - start);
  // "2>&1" is a redirection; any other "&" ends a command.
  const auto ends_command = [&](std::size_t at) {
    return std::string_view(";&|()`\n#").contains(command[at]) &&
           !(command[at] == '&' && at > 0 && std::string_view("<>").contains(command[at - 1]));
  };
  const bool one_program = std::ranges::none_of(std::views::iota(0UZ, command.size()), ends_command) &&
                           word.find_first_of("={}!<>$~*?['\"\\") == std::string_view::npos &&
                           std::ranges::find(kOfTheShell, word) == kOfTheShell.end();
  return one_program ? "exec " + std::string(command) : std::string(command);
}

std::map<std::string, std::string> common_environment(const LaunchRequest& request) {
  std::map<std::string, std::string> env;
  env["AGENTMESH_AGENT"] = request.name.str();
  env["AGENTMESH_HOOK"] = (request.run_dir / "hook.sock").string();
  return env;
}

const RunnerFacts& CustomAdapter::facts() const {
  static const RunnerFacts facts{.runner = "custom",
                                 .memory_bytes = 2ULL << 30,
                                 .ready_limit = Millis{10'000},
                                 .own_delivery = false,
                                 .own_answer = false,
                                 .tells_permission = false,
                                 .enter_wait = Millis{150}};
  return facts;
}

Result<LaunchPlan> CustomAdapter::plan(const LaunchRequest& request) const {
  if (request.command.empty()) {
    return fail(ErrorCode::invalid, "runner", "the custom runner needs a command",
                "give --command 'PROGRAM ARGS'");
  }
  if (request.command.contains('\0'))
    return fail(ErrorCode::invalid, "runner", "the command holds a NUL byte");
  if (request.conversation == Conversation::continue_session && !takes_session(request.session_id))
    return fail(ErrorCode::invalid, "runner", "a session to continue needs its id");
  LaunchPlan plan;
  plan.argv = {"/bin/sh", "-c", shell_line(request.command)};
  plan.env = common_environment(request);
  if (request.conversation != Conversation::fresh) plan.env["AGENTMESH_RESUME"] = "1";
  if (request.conversation == Conversation::continue_session)
    plan.env["AGENTMESH_SESSION"] = request.session_id;
  if (!request.provider.base_url.empty()) plan.env["AGENTMESH_MODEL_URL"] = request.provider.base_url;
  if (!request.model.empty()) plan.env["AGENTMESH_MODEL"] = request.model;
  return plan;
}

// It becomes a variable of the environment.
bool CustomAdapter::takes_session(std::string_view id) const {
  return !id.empty() && id.size() <= kMaxSessionId && is_utf8(id) &&
         std::ranges::none_of(id, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

std::unique_ptr<Link> CustomAdapter::link(LinkContext context, SignalSink sink) const {
  return std::make_unique<CustomLink>(std::move(context), std::move(sink));
}

}  // namespace agentmesh::agents
