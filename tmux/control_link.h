#pragma once
// One living control-mode client of tmux: the child process, its socket, and the queue of commands that wait
// for their replies. Owned by ControlTmux through a shared pointer; once ended it is never used again. It
// knows the protocol, not what the commands mean.

#include "base/clock.h"
#include "base/task.h"
#include "tmux/control_parser.h"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>

namespace agentmesh::tmux {

constexpr std::size_t kMaxWaitingCommands = 4096;
constexpr std::size_t kMaxUnsentBytes = 8 * 1024 * 1024;

struct ClientProcess {
  std::vector<std::string> argv;
  std::map<std::string, std::string> env;
};

enum class ReplyHolds {
  tmux_words,    // ids, numbers, records that begin with our own text
  painted_text,  // what an agent may have painted: the reply is guarded (see control_parser.h)
};

struct Request {
  std::vector<std::string> words;
  ReplyHolds holds = ReplyHolds::tmux_words;
  int replies = 1;  // a command that runs another (if-shell) gives two; the last one is the answer
  // Called in the order of the stream, before any later notification; may be empty.
  std::function<void(const Reply&)> at_once;
};

class ControlLink : public std::enable_shared_from_this<ControlLink> {
 public:
  struct Listener {
    std::function<void(const Notice&)> notice;
    std::function<void(std::string reason)> ended;  // once; never called after close()
  };
  // Errors: unavailable (the program is missing or cannot be started).
  static Result<std::shared_ptr<ControlLink>> start(boost::asio::any_io_executor executor,
                                                    ClientProcess process, Listener listener);
  ~ControlLink();
  ControlLink(const ControlLink&) = delete;
  ControlLink& operator=(const ControlLink&) = delete;

  // The reply's text. Errors: tmux's own as not_found, conflict or internal; timeout: sent but not answered,
  // and then the link has ended; unavailable: not sent; exhausted: too much is waiting.
  Task<std::string> ask(Request request, Millis deadline);
  void close();

 private:
  struct Waiting;
  ControlLink(boost::asio::any_io_executor executor, Listener listener);
  void read_next();
  void take(const Message& message);
  void answer(const Reply& reply);
  void expect(const Request& request, std::string& line);
  void send(std::string line);
  void write_next();
  void end(std::string reason);
  void stop();

  boost::asio::any_io_executor executor_;
  Listener listener_;
  pid_t pid_ = -1;
  boost::asio::local::stream_protocol::socket socket_;  // the client's input, output and complaints
  ControlParser parser_;
  std::deque<std::shared_ptr<Waiting>> waiting_;
  std::string unsent_;
  std::string writing_;
  std::string complaint_;  // the last line that is not of the protocol, or the reason of %exit
  std::vector<char> chunk_;
  bool open_ = false;
  bool attached_ = false;  // the client has its session; commands are sent from then on
};

}  // namespace agentmesh::tmux
