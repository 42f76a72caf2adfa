#include "host/holder.h"

#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/socket_address.h"
#include "base/spawn_logged.h"
#include "base/text.h"
#include "base/waiters.h"
#include "host/agent_process.h"
#include "host/holder_request.h"
#include "host/output_tail.h"
#include "host/run_folder.h"

#include <csignal>
#include <fcntl.h>
#include <list>
#include <memory>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::host {
namespace {

namespace asio = boost::asio;
using nlohmann::json;
using Socket = asio::local::stream_protocol::socket;

constexpr Millis kRequestLimit{10'000};           // from a connection to the end of its request
constexpr std::size_t kMaxClients = 64;           // connections at one time; more are closed
constexpr std::size_t kMaxPending = 1024 * 1024;  // bytes that an attached client may be behind
constexpr std::uint32_t kMostGrace = 3600;        // seconds
constexpr std::uint32_t kMostLines = 10'000;
constexpr std::uint32_t kMostCells = 10'000;
constexpr Millis kOwnGrace{5'000};   // when the holder itself is told to end
constexpr int kNotExecutable = 126;  // as a shell says it
constexpr int kNotFound = 127;

struct Client {
  explicit Client(Socket connected) : socket(std::move(connected)), wake(socket.get_executor()) {}

  Socket socket;
  asio::steady_timer wake;
  std::string pending;  // to be sent
  bool ending = false;
};
using Shared = std::shared_ptr<Client>;

std::string head_of(int status, std::string_view reason, std::string_view type) {
  return fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\nConnection: close\r\n\r\n", status, reason, type);
}
std::string json_head() { return head_of(200, "OK", "application/json"); }
std::string nothing() { return "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"; }
std::string refusal(int status, std::string_view reason, std::string_view message) {
  return head_of(status, reason, "application/json") + dump_json({{"message", message}}) + "\n";
}
std::string exit_line(int code) { return dump_json({{"StatusCode", code}, {"Error", nullptr}}) + "\n"; }

bool is_ours(Socket& socket) {
  const auto peer = peer_of(socket.native_handle());
  return peer && peer->uid == ::geteuid();
}

class Holder {
 public:
  Holder(asio::io_context& io, RunFolder folder, std::string name, HolderLaunch launch)
      : io_(io),
        folder_(std::move(folder)),
        name_(std::move(name)),
        launch_(std::move(launch)),
        acceptor_(io),
        end_signals_(io, SIGTERM, SIGINT, SIGHUP),
        agent_(io, [this](std::string_view bytes) { printed(bytes); }) {}

  Result<void> listen() {
    boost::system::error_code ec;
    const asio::local::stream_protocol::endpoint endpoint(folder_.socket().string());
    acceptor_.open(endpoint.protocol(), ec);
    if (!ec) acceptor_.bind(endpoint, ec);
    if (!ec) acceptor_.listen(asio::socket_base::max_listen_connections, ec);
    if (ec) return pass(os_error("host", "cannot listen on " + folder_.socket().string(), ec.value()));
    spawn_logged(io_, "hold", accept_loop());
    spawn_logged(io_, "hold", end_when_told());
    return {};
  }

 private:
  asio::awaitable<void> accept_loop() {
    while (true) {
      boost::system::error_code ec;
      Socket socket = co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, ec));
      if (ec == asio::error::operation_aborted) co_return;
      if (!ec && is_ours(socket) && clients_ < kMaxClients) {
        spawn_logged(io_, "hold", serve(std::make_shared<Client>(std::move(socket))));
      }
    }
  }

  asio::awaitable<void> end_when_told() {
    boost::system::error_code ec;
    co_await end_signals_.async_wait(asio::redirect_error(asio::use_awaitable, ec));
    if (state_ == RunState::running) {
      co_await agent_.stop(kOwnGrace);
      co_await until_ended(nullptr);
    }
    io_.stop();
  }

  // Reads one request, answers it, closes.
  asio::awaitable<void> serve(Shared client) {
    ++clients_;
    if (const auto head = co_await read_head(client)) {
      const auto request = parse_request(*head);
      if (!request) {
        co_await send(client, refusal(400, "Bad Request", request.error().what));
      } else if (request->container != folder_.id() && request->container != name_) {
        co_await send(client, refusal(404, "Not Found", "no such container: " + request->container));
      } else {
        co_await answer(client, *request);
      }
    }
    --clients_;
    boost::system::error_code ignored;
    client->socket.close(ignored);
  }

  asio::awaitable<std::optional<std::string>> read_head(Shared client) {
    client->wake.expires_after(kRequestLimit);
    client->wake.async_wait([client](boost::system::error_code ec) {
      boost::system::error_code ignored;
      if (!ec) client->socket.close(ignored);
    });
    std::string head;
    std::array<char, 2048> chunk{};
    boost::system::error_code ec;
    while (!ec && head.size() <= kMaxRequestHead) {
      const std::size_t got = co_await client->socket.async_read_some(
          asio::buffer(chunk), asio::redirect_error(asio::use_awaitable, ec));
      head.append(chunk.data(), got);
      if (head.contains("\r\n\r\n")) {
        client->wake.cancel();
        co_return head;
      }
    }
    client->wake.cancel();
    co_return std::nullopt;
  }

  asio::awaitable<void> send(Shared client, std::string bytes) {
    boost::system::error_code gone;
    co_await asio::async_write(client->socket, asio::buffer(bytes),
                               asio::redirect_error(asio::use_awaitable, gone));
  }

  asio::awaitable<void> answer(Shared client, const HolderRequest& request) {
    struct Route {
      std::string_view method;
      std::string_view action;
      asio::awaitable<void> (Holder::*handler)(Shared, const HolderRequest&);
    };
    static constexpr std::array kRoutes{
        Route{"GET", "json", &Holder::inspect}, Route{"POST", "start", &Holder::start},
        Route{"POST", "wait", &Holder::wait},   Route{"POST", "attach", &Holder::attach},
        Route{"GET", "logs", &Holder::logs},    Route{"POST", "resize", &Holder::resize},
        Route{"POST", "stop", &Holder::stop},   Route{"POST", "kill", &Holder::kill},
        Route{"GET", "link", &Holder::link},    Route{"DELETE", "", &Holder::remove},
    };
    for (const Route& route : kRoutes) {
      if (route.method != request.method || route.action != request.action) continue;
      co_return co_await (this->*route.handler)(std::move(client), request);
    }
    co_await send(std::move(client), refusal(404, "Not Found", "page not found"));
  }

  asio::awaitable<void> inspect(Shared client, const HolderRequest&) {
    const bool running = state_ == RunState::running;
    const std::string_view status = running ? "running" : state_ == RunState::created ? "created" : "exited";
    const json state{{"Status", status},
                     {"Running", running},
                     {"Pid", running ? agent_.pid() : 0},
                     {"ExitCode", exit_code_}};
    co_await send(client, json_head() +
                              dump_json({{"Id", folder_.id()},
                                         {"Name", "/" + name_},
                                         {"State", state},
                                         {"Config", {{"Tty", true}}}}) +
                              "\n");
  }

  // A program that cannot be started has ended, as in a container.
  asio::awaitable<void> start(Shared client, const HolderRequest&) {
    if (state_ != RunState::created) co_return co_await send(client, nothing());
    const auto started = agent_.start(launch_);
    if (!started) {
      printed(fmt::format("agentmesh: {}\r\n", describe(started.error())));
      ended(started.error().code == ErrorCode::not_found ? kNotFound : kNotExecutable);
      co_return co_await send(client, nothing());
    }
    state_ = RunState::running;
    launch_.env.clear();
    if (auto wrote = folder_.set_started(agent_.pid(), SystemClock().now()); !wrote) log_error(wrote.error());
    spawn_logged(io_, "hold", watch());
    co_await send(client, nothing());
  }

  asio::awaitable<void> watch() { ended(co_await agent_.ended()); }

  void ended(int exit_code) {
    exit_code_ = exit_code;
    state_ = RunState::exited;
    launch_.http_password = Secret();
    const RunEnd run_end{exit_code, SystemClock().now(), used_by_children()};
    if (auto wrote = folder_.set_exit(run_end); !wrote) log_error(wrote.error());
    for (const Shared& client : attached_) end(client);
    change_.wake();
  }

  // Or until the client, if there is one, has hung up.
  asio::awaitable<void> until_ended(Shared client) {
    while (state_ != RunState::exited && !(client && client->ending)) co_await change_.wait();
  }

  asio::awaitable<void> wait(Shared client, const HolderRequest&) {
    co_await send(client, json_head());
    spawn_logged(io_, "hold", note_hangup(client));
    co_await until_ended(client);
    if (state_ == RunState::exited) co_await send(client, exit_line(exit_code_));
  }

  asio::awaitable<void> note_hangup(Shared client) {
    char byte = 0;
    boost::system::error_code ec;
    while (!ec) {
      co_await client->socket.async_read_some(asio::buffer(&byte, 1),
                                              asio::redirect_error(asio::use_awaitable, ec));
    }
    client->ending = true;
    change_.wake();
  }

  asio::awaitable<void> logs(Shared client, const HolderRequest& request) {
    const auto lines = request.number("tail", kMostLines, kMostLines);
    if (!lines) co_return co_await send(client, refusal(400, "Bad Request", lines.error().what));
    co_await send(client, head_of(200, "OK", "application/octet-stream") + output_.last(*lines));
  }

  asio::awaitable<void> resize(Shared client, const HolderRequest& request) {
    const auto rows = request.number("h", 0, kMostCells);
    const auto columns = request.number("w", 0, kMostCells);
    if (!rows || !columns || *rows == 0 || *columns == 0) {
      co_return co_await send(client, refusal(400, "Bad Request", "h and w must be sizes"));
    }
    const bool done = agent_.resize(static_cast<std::uint16_t>(*columns), static_cast<std::uint16_t>(*rows));
    co_await send(client, done ? nothing() : not_running());
  }

  std::string not_running() const { return refusal(409, "Conflict", folder_.id() + " is not running"); }

  asio::awaitable<void> stop(Shared client, const HolderRequest& request) {
    const auto grace = request.number("t", 10, kMostGrace);
    if (!grace) co_return co_await send(client, refusal(400, "Bad Request", grace.error().what));
    if (state_ == RunState::running) {
      co_await agent_.stop(std::chrono::seconds(*grace));
      co_await until_ended(nullptr);
    }
    co_await send(client, nothing());
  }

  asio::awaitable<void> kill(Shared client, const HolderRequest&) {
    if (state_ != RunState::running) co_return co_await send(client, not_running());
    co_await agent_.kill_all();
    co_await send(client, nothing());
  }

  asio::awaitable<void> link(Shared client, const HolderRequest&) {
    co_await send(client, json_head() + dump_json({{"http_port", launch_.http_port},
                                                   {"http_password", launch_.http_password.reveal()}}));
  }

  asio::awaitable<void> remove(Shared client, const HolderRequest&) {
    if (state_ == RunState::running) {
      co_await agent_.kill_all();
      co_await until_ended(nullptr);
    }
    co_await send(client, nothing());
    io_.stop();
  }

  // ---- the terminal

  asio::awaitable<void> attach(Shared client, const HolderRequest&) {
    if (state_ == RunState::exited) co_return co_await send(client, not_running());
    client->pending =
        "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
        "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    const auto place = attached_.insert(attached_.end(), client);
    spawn_logged(io_, "hold", take_input(client));
    boost::system::error_code ec;
    while (!ec && !(client->ending && client->pending.empty())) {
      if (client->pending.empty()) {
        boost::system::error_code woken;
        client->wake.expires_at(asio::steady_timer::time_point::max());
        co_await client->wake.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        continue;
      }
      const std::string chunk = std::exchange(client->pending, {});
      co_await asio::async_write(client->socket, asio::buffer(chunk),
                                 asio::redirect_error(asio::use_awaitable, ec));
    }
    attached_.erase(place);
  }

  asio::awaitable<void> take_input(Shared client) {
    std::array<char, 4096> chunk{};
    while (true) {
      boost::system::error_code ec;
      const std::size_t got = co_await client->socket.async_read_some(
          asio::buffer(chunk), asio::redirect_error(asio::use_awaitable, ec));
      if (ec) co_return end(client);
      co_await agent_.type(std::string(chunk.data(), got));
    }
  }

  static void end(const Shared& client) {
    client->ending = true;
    client->wake.cancel();
  }

  // Who does not read is dropped: nobody holds the agent up.
  void printed(std::string_view bytes) {
    output_.add(bytes);
    for (const Shared& client : attached_) {
      if (client->pending.size() + bytes.size() > kMaxPending) {
        boost::system::error_code ignored;
        client->socket.close(ignored);
        end(client);
        continue;
      }
      client->pending += bytes;
      client->wake.cancel();
    }
  }

  asio::io_context& io_;
  RunFolder folder_;
  std::string name_;  // as a container's: agentmesh-NAME-RUN
  HolderLaunch launch_;
  asio::local::stream_protocol::acceptor acceptor_;
  asio::signal_set end_signals_;
  Waiters change_;  // in until_ended()
  OutputTail output_;
  std::list<Shared> attached_;
  std::size_t clients_ = 0;
  RunState state_ = RunState::created;
  int exit_code_ = 0;
  AgentProcess agent_;
};

Result<std::string> read_input() {
  std::string text;
  std::array<char, 16 * 1024> chunk{};
  while (text.size() <= kMaxLaunchBytes) {
    const ssize_t got = ::read(STDIN_FILENO, chunk.data(), chunk.size());
    if (got == 0) return text;
    if (got < 0) return pass(os_error("host", "cannot read the launch", errno));
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
  return fail(ErrorCode::exhausted, "host", "the launch is too large");
}

Result<void> hold(const std::filesystem::path& path) {
  const RunFolder folder(path.parent_path(), path.filename().string());
  const auto lock = folder.hold();
  if (!lock) return pass(lock.error());
  const auto text = read_input();
  if (!text) return pass(text.error());
  auto launch = launch_from(*text);
  if (!launch) return pass(launch.error());
  // The kernel keeps what is on standard input as long as somebody has it open.
  const UniqueFd nowhere(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (nowhere.valid()) ::dup2(nowhere.get(), STDIN_FILENO);
  const auto identity = folder.identity();
  if (!identity) return pass(identity.error());
  const auto agent = AgentName::parse(identity->agent);
  if (!agent) return pass(agent.error());
  asio::io_context io(1);
  Holder holder(io, folder, container_name(*agent, identity->run), std::move(*launch));
  if (auto listening = holder.listen(); !listening) return listening;
  io.run();
  return {};
}

}  // namespace

int run_holder(const std::filesystem::path& folder) {
  ::prctl(PR_SET_DUMPABLE, 0);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::signal(SIGPIPE, SIG_IGN);
  ::umask(0077);
  (void)::chdir("/");
  log_to_stderr(LogLevel::info);
  const auto done = hold(folder);
  if (done) return 0;
  log_error(done.error());
  return exit_code_of(done.error().code);
}

}  // namespace agentmesh::host
