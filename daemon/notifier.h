#pragma once
// How a person hears of what needs a person: always an event and a bell in the attached terminals; then, for
// the kinds in [notify] on, a desktop notification, a command and a webhook, each as configured. It is told
// of transitions and tells each once, at a limited rate of each agent and kind (notice_gate.h). Command and
// webhook have a bounded queue each, in memory: what the daemon's end takes away is still in the events. A
// failure or a drop is an event, never silence.

#include "base/task.h"
#include "config/config.h"
#include "daemon/event_log.h"
#include "daemon/notice_gate.h"
#include "daemon/notify_queue.h"
#include "net/http_client.h"
#include "tmux/tmux.h"

#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

namespace agentmesh::daemon {

constexpr Millis kNotifyCommandLimit{30'000};
constexpr std::size_t kMaxNotifyOutput = 64 * 1024;  // bytes of each stream of the command
constexpr Millis kWebhookLimit{15'000};              // for one try

// One POST. Errors: unavailable or timeout when another try may help; others when none will. None of them
// shows more of the address than its origin.
//   X-Agentmesh-Id         the notice's: a receiver drops what it has seen
//   X-Agentmesh-Timestamp  seconds since 1970, of this try
//   X-Agentmesh-Signature  sha256=HEX of HMAC-SHA256(secret, TIMESTAMP + "." + body); not without a secret
Task<> post_webhook(net::HttpClient& http, const config::Notify& config, Notice notice, WallTime now);

// Runs [notify] command for one notice. Errors: not_found (no such program), timeout, exhausted, internal (it
// ended with another code than 0).
Task<> run_notify_command(boost::asio::any_io_executor executor, const config::Notify& config, Notice notice);

// A queue and its sender.
class NotifyChannel {
 public:
  using Send = std::function<Task<>(Notice)>;
  // `name` as in "the webhook": it begins the reasons of the events notify_failed and notify_dropped.
  NotifyChannel(boost::asio::io_context& io, const Clock& clock, EventLog& events, std::string name,
                QueuePolicy policy, Send send);
  void add(Notice notice);
  void stop();

 private:
  void pump();
  void sent(const Notice& notice, const Result<void>& done);
  void tell_dropped();

  boost::asio::io_context& io_;
  const Clock& clock_;
  EventLog& events_;
  std::string name_;
  NotifyQueue queue_;
  Send send_;
  boost::asio::steady_timer timer_;
  bool dropping_ = false;  // told already
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

struct NotifierPolicy {
  QueuePolicy command;
  QueuePolicy webhook{.tries = 8};  // about two minutes
  GatePolicy gate;
};

class Notifier {
 public:
  Notifier(boost::asio::io_context& io, const Clock& clock, const config::Notify& config, EventLog& events,
           tmux::Tmux& tmux, net::HttpClient& http, NotifierPolicy policy);

  // `kind` is one of config::kNotices, `agent` a name, empty for this host. `text` may be anything. What the
  // gate withholds is neither told nor an event, until its number is.
  void tell(const std::string& kind, const std::string& agent, const std::string& text);
  // Nothing more is sent.
  void stop();

 private:
  void tell_now(const std::string& kind, const std::string& agent, const std::string& text);
  void tell_withheld();
  void on_terminals(const Notice& notice, bool wanted);

  boost::asio::io_context& io_;
  const Clock& clock_;
  const config::Notify& config_;
  EventLog& events_;
  tmux::Tmux& tmux_;
  NotifyChannel command_;
  NotifyChannel webhook_;
  NoticeGate gate_;
  boost::asio::steady_timer gate_timer_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace agentmesh::daemon
