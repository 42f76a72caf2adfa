#include "agents/hook.h"

#include "agents/fields.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/json.h"
#include "base/socket_address.h"
#include "base/unique_fd.h"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/local/datagram_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {

using boost::asio::local::datagram_protocol;
using Steady = std::chrono::steady_clock;

namespace {

constexpr std::array kHookKinds = {
    SignalKind::ready,
    SignalKind::activity,
    SignalKind::busy,
    SignalKind::idle,
    SignalKind::permission_asked,
    SignalKind::permission_closed,
    SignalKind::question_asked,
    SignalKind::question_closed,
    SignalKind::turn_ended,
    SignalKind::turn_failed,
    SignalKind::rate_limited,
    SignalKind::auth_required,
    SignalKind::session_learned,
    SignalKind::tool_called,
};

std::optional<SignalKind> kind_from(std::string_view event) {
  for (const SignalKind kind : kHookKinds) {
    if (to_string(kind) == event) return kind;
  }
  return std::nullopt;
}

// Takes away what bears the name, whatever an agent left there; the folder is the agent's to write in.
void clear_name(int folder, const std::string& name) {
  if (::unlinkat(folder, name.c_str(), 0) == 0 || errno == ENOENT) return;
  if (::unlinkat(folder, name.c_str(), AT_REMOVEDIR) == 0) return;
  ::renameat(folder, name.c_str(), folder, (name + "." + random_hex(8)).c_str());
}

// A bound datagram socket.
Result<UniqueFd> bind_datagram(const std::filesystem::path& path) {
  UniqueFd folder(::open(path.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid()) return std::unexpected(os_error("hook", path.parent_path().string(), errno));
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return std::unexpected(os_error("hook", "cannot make a socket", errno));
  const std::string name = path.filename().string();
  const auto address = SocketAddress::in(folder.get(), name);
  if (!address) return fail(ErrorCode::invalid, "hook", "the name is too long");
  clear_name(folder.get(), name);
  if (::bind(socket.get(), address->get(), address->size()) != 0) {
    return std::unexpected(os_error("hook", "cannot bind " + path.string(), errno));
  }
  if (auto opened = open_to_agent(folder.get(), name); !opened) return pass(opened.error());
  return socket;
}

}  // namespace

Result<> open_to_agent(int folder, const std::string& name) {
  const UniqueFd entry(::openat(folder, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status{};
  if (!entry.valid() || ::fstat(entry.get(), &status) != 0) {
    return std::unexpected(os_error("hook", "cannot look at " + name, errno));
  }
  if (!S_ISSOCK(status.st_mode)) {
    return fail(ErrorCode::denied, "hook", name + " was replaced by something that is no socket");
  }
  if (::chmod(fmt::format("/proc/self/fd/{}", entry.get()).c_str(), 0666) != 0) {
    return std::unexpected(os_error("hook", "cannot open " + name + " to the agent", errno));
  }
  return {};
}

Result<Signal> parse_hook(std::string_view datagram) {
  const auto parsed = parse_json(datagram, "hook", JsonLimits{.bytes = kMaxHookBytes, .depth = 8});
  if (!parsed) return pass(parsed.error());
  const std::string event = text_at(*parsed, "event");
  const auto kind = kind_from(event);
  if (!kind) return fail(ErrorCode::invalid, "hook", fmt::format("no such event: '{}'", one_line(event)));
  const std::string detail = text_at(*parsed, "detail");
  const bool asks = *kind == SignalKind::permission_asked || *kind == SignalKind::question_asked;
  Signal signal{*kind, "hook", asks ? asked_line(detail) : one_line(detail), id_at(*parsed, "id")};
  signal.until = from_rfc3339(text_at(*parsed, "until"));
  const bool needs_id = *kind == SignalKind::session_learned || *kind == SignalKind::tool_called;
  if (needs_id && signal.id.empty()) return fail(ErrorCode::invalid, "hook", event + " needs an id");
  return signal;
}

HookSink as_signals(SignalSink sink) {
  return [sink = std::move(sink)](const HookDatagram& datagram) {
    auto signal = parse_hook(datagram.text);
    if (signal) sink(std::move(*signal));
    return signal.has_value();
  };
}

class HookSocket::Receiver : public std::enable_shared_from_this<Receiver> {
 public:
  Receiver(boost::asio::any_io_executor executor, UniqueFd socket, HookSink sink)
      : socket_(executor, datagram_protocol(), socket.release()), pause_(executor), sink_(std::move(sink)) {}

  void receive() {
    if (over_the_rate()) return pause();
    socket_.async_wait(datagram_protocol::socket::wait_read,
                       [self = shared_from_this()](boost::system::error_code ec) {
                         if (ec == boost::asio::error::operation_aborted || self->closed_) return;
                         if (!ec) self->read();
                         if (!self->closed_) self->receive();
                       });
  }

  void close() {
    closed_ = true;
    pause_.cancel();
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

  std::uint64_t refused = 0;

 private:
  // The buffer lives for one datagram: a hundred sockets that wait should not hold one each.
  void read() {
    std::array<char, kMaxHookBytes + 1> buffer;  // one more: a longer datagram is seen to be too long
    sockaddr_un from{};
    socklen_t length = sizeof from;
    const ssize_t bytes = ::recvfrom(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT,
                                     reinterpret_cast<sockaddr*>(&from), &length);
    if (bytes < 0) return;
    const std::size_t named =
        length > offsetof(sockaddr_un, sun_path) ? length - offsetof(sockaddr_un, sun_path) : 0;
    take({std::string_view(buffer.data(), static_cast<std::size_t>(bytes)),
          std::string(from.sun_path, ::strnlen(from.sun_path, named))});
  }

  void take(const HookDatagram& datagram) {
    const bool fits = datagram.text.size() <= kMaxHookBytes;
    ++in_this_second_;
    if (!fits || !sink_(datagram)) ++refused;
  }

  bool over_the_rate() {
    const auto now = Steady::now();
    if (now - second_began_ >= std::chrono::seconds(1)) {
      second_began_ = now;
      in_this_second_ = 0;
    }
    return in_this_second_ >= kMaxHooksPerSecond;
  }

  // For the rest of the second nothing is read: the kernel holds a few datagrams and refuses the others.
  void pause() {
    pause_.expires_at(second_began_ + std::chrono::seconds(1));
    pause_.async_wait([self = shared_from_this()](boost::system::error_code) {
      if (!self->closed_) self->receive();
    });
  }

  datagram_protocol::socket socket_;
  boost::asio::steady_timer pause_;
  HookSink sink_;
  Steady::time_point second_began_{};
  int in_this_second_ = 0;
  bool closed_ = false;
};

HookSocket::HookSocket(std::shared_ptr<Receiver> receiver) : receiver_(std::move(receiver)) {}

HookSocket::~HookSocket() { receiver_->close(); }

Result<std::unique_ptr<HookSocket>> HookSocket::open(boost::asio::any_io_executor executor,
                                                     const std::filesystem::path& path, HookSink sink) {
  auto socket = bind_datagram(path);
  if (!socket) return pass(socket.error());
  auto receiver = std::make_shared<Receiver>(executor, std::move(*socket), std::move(sink));
  receiver->receive();
  return std::unique_ptr<HookSocket>(new HookSocket(std::move(receiver)));
}

std::uint64_t HookSocket::refused() const { return receiver_->refused; }

}  // namespace agentmesh::agents
