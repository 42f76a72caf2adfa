#include "daemon/notifier.h"

#include "base/ids.h"
#include "base/log.h"
#include "base/process.h"
#include "base/secret.h"
#include "base/spawn_logged.h"
#include "base/text.h"
#include "config/webhook_url.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace agentmesh::daemon {
namespace {

namespace asio = boost::asio;

constexpr std::string_view kStage = "notify";
// What a program needs to reach a person's desktop or the network, and no more: our own environment may hold
// keys.
constexpr std::array<std::string_view, 14> kCommandVariables{"HOME",
                                                             "USER",
                                                             "LOGNAME",
                                                             "LANG",
                                                             "LC_ALL",
                                                             "LC_CTYPE",
                                                             "TZ",
                                                             "DISPLAY",
                                                             "WAYLAND_DISPLAY",
                                                             "XAUTHORITY",
                                                             "XDG_RUNTIME_DIR",
                                                             "DBUS_SESSION_BUS_ADDRESS",
                                                             "SSL_CERT_FILE",
                                                             "SSL_CERT_DIR"};

Result<void> judge_status(int status, const std::string& origin) {
  if (status >= 200 && status < 300) return {};
  const std::string what = fmt::format("{} answered {}", origin, status);
  if (status >= 300 && status < 400)
    return fail(ErrorCode::denied, std::string(kStage), what + ": redirects are not followed",
                "name the address it points to");
  const bool may_pass = status >= 500 || status == 408 || status == 425 || status == 429;
  return fail(may_pass ? ErrorCode::unavailable : ErrorCode::invalid, std::string(kStage), what);
}

Again worth_another(const Error& error) {
  return error.code == ErrorCode::unavailable || error.code == ErrorCode::timeout ? Again::later
                                                                                  : Again::never;
}

}  // namespace

Task<> post_webhook(net::HttpClient& http, const config::Notify& config, Notice notice, WallTime now) {
  const auto origin = config::webhook_origin(config.webhook);
  if (!origin) co_return pass(origin.error());
  const std::string timestamp = std::to_string(to_millis(now) / 1000);
  net::HttpRequest request{.method = "POST", .url = config.webhook, .body = notice_json(notice)};
  request.headers = {{"Content-Type", "application/json"},
                     {"User-Agent", "agentmesh/" AGENTMESH_VERSION},
                     {"X-Agentmesh-Id", notice.id},
                     {"X-Agentmesh-Timestamp", timestamp}};
  if (!config.secret.empty()) {
    const auto secret = resolve_secret(config.secret);
    if (!secret) co_return pass(secret.error());
    request.headers.push_back(
        {"X-Agentmesh-Signature", "sha256=" + hmac_sha256_hex(*secret, timestamp + "." + request.body)});
  }
  request.total_timeout = kWebhookLimit;
  request.on_data = [](std::string_view) {
    return net::Flow::stop;
  };  // what it says with 2xx is of no interest
  const auto answer = co_await http.send(std::move(request));
  if (!answer)
    co_return pass(Error{answer.error().code, std::string(kStage), *origin + ": " + answer.error().what, ""});
  co_return judge_status(answer->status, *origin);
}

Task<> run_notify_command(asio::any_io_executor executor, const config::Notify& config, Notice notice) {
  Command command{.argv = config.command,
                  .env = small_environment(kCommandVariables),
                  .workdir = "/",
                  .input = notice_json(notice) + "\n",
                  .deadline = kNotifyCommandLimit,
                  .max_output = kMaxNotifyOutput,
                  .kill = Kill::group};
  command.env->merge(notice_environment(notice));
  const auto output = co_await run(executor, std::move(command));
  if (!output) co_return pass(output.error());
  if (output->exit_code == 0) co_return Result<void>{};
  const std::string said = one_line(trim(output->err));
  co_return fail(ErrorCode::internal, std::string(kStage),
                 fmt::format("{} ended with {}{}{}", config.command.front(), output->exit_code,
                             said.empty() ? "" : ": ", said));
}

NotifyChannel::NotifyChannel(asio::io_context& io, const Clock& clock, EventLog& events, std::string name,
                             QueuePolicy policy, Send send)
    : io_(io),
      clock_(clock),
      events_(events),
      name_(std::move(name)),
      queue_(policy),
      send_(std::move(send)),
      timer_(io) {}

void NotifyChannel::add(Notice notice) {
  if (!alive_) return;
  if (!queue_.add(std::move(notice), clock_.now()) && !std::exchange(dropping_, true))
    events_.add("", "notify_dropped", name_ + ": its queue is full, new notifications are dropped");
  pump();
}

void NotifyChannel::stop() {
  alive_.reset();
  timer_.cancel();
}

void NotifyChannel::pump() {
  while (auto notice = queue_.next(clock_.now())) {
    spawn_logged(io_, std::string(kStage), send_(*notice),
                 [this, notice = *notice, guard = std::weak_ptr<int>(alive_)](const Result<>& done) {
                   if (!guard.expired()) sent(notice, done);
                 });
  }
  timer_.cancel();
  const auto wake = queue_.next_wake();
  if (!wake) return;
  timer_.expires_after(std::max(*wake - clock_.now(), Millis{1}));
  timer_.async_wait([this, guard = std::weak_ptr<int>(alive_)](boost::system::error_code ec) {
    if (!ec && !guard.expired()) pump();
  });
}

void NotifyChannel::sent(const Notice& notice, const Result<void>& done) {
  if (done) {
    queue_.done(notice.id);
  } else {
    const auto tries = queue_.failed(notice.id, worth_another(done.error()), clock_.now());
    if (tries) {
      events_.add(notice.agent, "notify_failed",
                  fmt::format("{}: '{}' was not told after {}: {}", name_, notice.kind,
                              *tries == 1 ? "one try" : fmt::format("{} tries", *tries), done.error().what));
    }
  }
  tell_dropped();
  pump();
}

void NotifyChannel::tell_dropped() {
  const std::uint64_t count = queue_.take_dropped();
  if (count == 0) return;
  dropping_ = false;
  events_.add("", "notify_dropped", fmt::format("{}: {} notifications were dropped", name_, count));
}

Notifier::Notifier(asio::io_context& io, const Clock& clock, const config::Notify& config, EventLog& events,
                   tmux::Tmux& tmux, net::HttpClient& http, NotifierPolicy policy)
    : io_(io),
      clock_(clock),
      config_(config),
      events_(events),
      tmux_(tmux),
      command_(io, clock, events, "the command", policy.command,
               [this](Notice notice) {
                 return run_notify_command(io_.get_executor(), config_, std::move(notice));
               }),
      webhook_(io, clock, events, "the webhook", policy.webhook,
               [this, &http](Notice notice) {
                 return post_webhook(http, config_, std::move(notice), clock_.now());
               }),
      gate_(policy.gate),
      gate_timer_(io) {}

void Notifier::tell(const std::string& kind, const std::string& agent, const std::string& text) {
  if (!alive_) return;
  if (gate_.admit(kind, agent, text, clock_.now())) return tell_now(kind, agent, text);
  tell_withheld();
}

// Called with every withheld one too, so that the timer is armed; what is due is told once.
void Notifier::tell_withheld() {
  for (const Withheld& withheld : gate_.due(clock_.now())) {
    std::string text = fmt::format("{} more of these", withheld.count);
    if (!withheld.text.empty()) text += ", the newest: " + withheld.text;
    tell_now(withheld.kind, withheld.agent, text);
  }
  const auto wake = gate_.next_wake();
  if (!wake) return;
  gate_timer_.expires_after(std::max(*wake - clock_.now(), Millis{1}));
  gate_timer_.async_wait([this, guard = std::weak_ptr<int>(alive_)](boost::system::error_code ec) {
    if (!ec && !guard.expired()) tell_withheld();
  });
}

void Notifier::tell_now(const std::string& kind, const std::string& agent, const std::string& text) {
  events_.add(agent, event_name_of(kind), text);
  const Notice notice = make_notice(kind, agent, text, clock_.now());
  const bool wanted = std::find(config_.on.begin(), config_.on.end(), kind) != config_.on.end();
  on_terminals(notice, wanted && config_.desktop);
  if (wanted && !config_.command.empty()) command_.add(notice);
  if (wanted && !config_.webhook.empty()) webhook_.add(notice);
}

void Notifier::stop() {
  alive_.reset();
  gate_timer_.cancel();
  command_.stop();
  webhook_.stop();
}

// Nobody attached, or a session that is gone, is no failure; a tmux that is away has an event of its own.
void Notifier::on_terminals(const Notice& notice, bool desktop) {
  const auto ignore = [](const Result<>&) {};
  const auto agent = AgentName::parse(notice.agent);
  const std::string session = agent ? session_name(*agent) : "";
  spawn_logged(io_, std::string(kStage), tmux_.announce(session, "agentmesh: " + summary_of(notice)), ignore);
  if (!desktop) return;
  std::string title = notice.agent.empty() ? "" : notice.agent + " ";
  title += phrase_of(notice.kind);
  spawn_logged(io_, std::string(kStage), tmux_.notify_desktop(std::move(title), notice.text), ignore);
}

}  // namespace agentmesh::daemon
