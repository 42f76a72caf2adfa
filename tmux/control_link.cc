#include "tmux/control_link.h"

#include "base/ids.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "tmux/command.h"

#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace agentmesh::tmux {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kReadChunk = 64 * 1024;

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> raw;
  for (std::string& word : words) raw.push_back(word.data());
  raw.push_back(nullptr);
  return raw;
}

// The child gets descriptors 0, 1 and 2 only, its own session, no blocked or ignored signal, and "/" as its
// folder: the server it starts inherits all that and must hold nothing of ours.
int spawn(ClientProcess& process, int stream, pid_t& pid) {
  std::vector<std::string> lines;
  for (const auto& [key, value] : process.env) lines.push_back(key + "=" + value);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  for (const int standard : {0, 1, 2}) posix_spawn_file_actions_adddup2(&files, stream, standard);
  posix_spawn_file_actions_addclosefrom_np(&files, 3);
  posix_spawn_file_actions_addchdir_np(&files, "/");
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const int error = ::posix_spawnp(&pid, process.argv.front().c_str(), &files, &attributes,
                                   pointers(process.argv).data(), pointers(lines).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  return error;
}

std::unexpected<Error> cannot_start(const std::string& program, int error) {
  return fail(ErrorCode::unavailable, "tmux",
              fmt::format("cannot start {}: {}", program, std::system_category().message(error)),
              error == ENOENT ? "install tmux 3.3 or newer (Debian: apt-get install tmux)" : "");
}

Error tmux_error(std::string text) {
  ErrorCode code = ErrorCode::internal;
  if (text.starts_with("can't find") || text.starts_with("no such")) code = ErrorCode::not_found;
  if (text.starts_with("duplicate") || text.ends_with("exited")) code = ErrorCode::conflict;
  return Error{code, "tmux", plain_text(text.substr(0, 500)), ""};
}

}  // namespace

struct ControlLink::Waiting {
  explicit Waiting(const asio::any_io_executor& executor) : until(executor) {}
  asio::steady_timer until;
  int replies = 1;
  std::function<void(const Reply&)> at_once;
  std::optional<Result<std::string>> result;
};

ControlLink::ControlLink(asio::any_io_executor executor, Listener listener)
    : executor_(executor), listener_(std::move(listener)), socket_(executor), chunk_(kReadChunk) {}

ControlLink::~ControlLink() { stop(); }

Result<std::shared_ptr<ControlLink>> ControlLink::start(asio::any_io_executor executor, ClientProcess process,
                                                        Listener listener) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return cannot_start(process.argv.front(), errno);
  }
  UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  std::shared_ptr<ControlLink> link(new ControlLink(std::move(executor), std::move(listener)));
  const std::string program = process.argv.front();
  const int error = spawn(process, theirs.get(), link->pid_);
  if (error != 0) return cannot_start(program, error);
  link->socket_.assign(asio::local::stream_protocol{}, ours.release());
  link->open_ = true;
  link->read_next();
  return link;
}

Task<std::string> ControlLink::ask(Request request, Millis deadline) {
  if (!open_) co_return fail(ErrorCode::unavailable, "tmux", "the tmux server is gone", "try again");
  std::string line = command_line(request.words) + "\n";
  if (waiting_.size() >= kMaxWaitingCommands || unsent_.size() + line.size() > kMaxUnsentBytes) {
    co_return fail(ErrorCode::exhausted, "tmux", "too many commands wait for tmux", "try again later");
  }
  const auto self = shared_from_this();
  const auto waiting = std::make_shared<Waiting>(executor_);
  waiting->until.expires_after(deadline);
  waiting->at_once = std::move(request.at_once);
  waiting_.push_back(waiting);
  waiting->replies = request.replies;
  expect(request, line);
  send(std::move(line));
  boost::system::error_code cancelled;
  if (!waiting->result) {
    co_await waiting->until.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
  }
  if (!waiting->result) end(fmt::format("tmux did not answer within {}", format_duration(deadline)));
  co_return std::move(*waiting->result);
}

void ControlLink::expect(const Request& request, std::string& line) {
  if (request.holds == ReplyHolds::painted_text) {
    const std::string word = random_hex(16);
    parser_.expect_guarded_reply(word);
    line += command_line({"display-message", "-p", word}) + "\n";
    return;
  }
  for (int i = 0; i < request.replies; ++i) parser_.expect_reply();
}

void ControlLink::close() {
  listener_ = {};
  end("the connection to tmux was closed");
}

void ControlLink::read_next() {
  socket_.async_read_some(asio::buffer(chunk_),
                          [self = shared_from_this()](boost::system::error_code error, std::size_t size) {
                            if (!self->open_) return;
                            if (error) return self->end("");
                            for (const Message& message : self->parser_.feed({self->chunk_.data(), size})) {
                              self->take(message);
                            }
                            if (self->open_) self->read_next();
                          });
}

void ControlLink::take(const Message& message) {
  if (!open_) return;
  if (const auto* reply = std::get_if<Reply>(&message)) return answer(*reply);
  if (const auto* broken = std::get_if<Broken>(&message)) return end(broken->reason);
  const auto& notice = std::get<Notice>(message);
  // Only now: tmux may read a command before it has attached the client, and then knows no current client.
  if (notice.name == "session-changed" && !std::exchange(attached_, true) && !unsent_.empty()) write_next();
  const bool about_end = notice.name.empty() || notice.name == "exit";
  if (about_end && !notice.rest.empty()) complaint_ = plain_text(notice.rest.substr(0, 500));
  if (!about_end && listener_.notice) listener_.notice(notice);
}

void ControlLink::answer(const Reply& reply) {
  if (waiting_.empty() || --waiting_.front()->replies > 0) return;
  const auto waiting = std::move(waiting_.front());
  waiting_.pop_front();
  if (waiting->at_once) waiting->at_once(reply);
  if (reply.too_long) {
    waiting->result = fail(ErrorCode::exhausted, "tmux", "tmux's answer is too long");
  } else {
    waiting->result = reply.ok ? Result<std::string>(reply.text) : pass(tmux_error(reply.text));
  }
  waiting->until.cancel();
}

void ControlLink::send(std::string line) {
  unsent_ += line;
  if (attached_ && writing_.empty()) write_next();
}

void ControlLink::write_next() {
  writing_ = std::exchange(unsent_, {});
  asio::async_write(socket_, asio::buffer(writing_),
                    [self = shared_from_this()](boost::system::error_code error, std::size_t) {
                      self->writing_.clear();
                      // An error here is the client's end, which the reader reports with its reason.
                      if (!error && self->open_ && !self->unsent_.empty()) self->write_next();
                    });
}

void ControlLink::end(std::string reason) {
  if (!open_) return;
  const auto self = weak_from_this().lock();
  stop();
  if (reason.empty()) reason = complaint_.empty() ? "the tmux server ended" : complaint_;
  for (const auto& waiting : std::exchange(waiting_, {})) {
    waiting->result = fail(ErrorCode::timeout, "tmux", "no answer: " + reason);
    waiting->until.cancel();
  }
  if (const auto ended = std::exchange(listener_, {}).ended) ended(reason);
}

// The client is killed, never the server: that is another process in a session of its own.
void ControlLink::stop() {
  open_ = false;
  boost::system::error_code ignored;
  socket_.close(ignored);
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
  pid_ = -1;
}

}  // namespace agentmesh::tmux
