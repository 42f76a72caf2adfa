#pragma once
// What a program in the sandbox says about itself: one JSON datagram on hook.sock in its run folder, e.g.
// {"event":"busy"}, {"event":"permission_asked","id":"7","detail":"rm -rf build"}. The socket it came by is
// its identity, so one agent cannot speak for another. The format is in docs/runners.md.

#include "agents/adapter.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/any_io_executor.hpp>

namespace agentmesh::agents {

constexpr std::size_t kMaxHookBytes = 8 * 1024;  // of one datagram
// Of one agent. What is beyond stays with the kernel, which drops most of it; the Link throttles what is
// left.
constexpr int kMaxHooksPerSecond = 200;

// Errors: invalid, exhausted. Source is "hook".
Result<Signal> parse_hook(std::string_view datagram);

struct HookDatagram {
  std::string_view text;  // valid during the call
  std::string sender;     // the socket's name it came from, as the sender bound it; mostly empty
};
// False: not understood.
using HookSink = std::function<bool(const HookDatagram&)>;
// The sink of a program that speaks parse_hook's form.
HookSink as_signals(SignalSink sink);

// Lets any uid send to the socket `name` of the folder (a descriptor): the agent may run as another uid, and
// who may reach the socket is decided by the folder. Never follows a link, because the agent may put one
// there at any moment. Errors: not_found, denied (not a socket), internal.
Result<> open_to_agent(int folder, const std::string& name);

// Receives until it is destroyed. A datagram that cannot be understood is counted, nothing else.
class HookSocket {
 public:
  // Binds `path`, replacing what a dead daemon or the agent left (a folder that is not empty is renamed); the
  // folder around it decides who may send (0700). Any length of path will do. Errors: not_found (no folder),
  // denied, internal.
  static Result<std::unique_ptr<HookSocket>> open(boost::asio::any_io_executor executor,
                                                  const std::filesystem::path& path, HookSink sink);
  ~HookSocket();
  HookSocket(const HookSocket&) = delete;
  HookSocket& operator=(const HookSocket&) = delete;

  std::uint64_t refused() const;  // datagrams that were not understood

 private:
  class Receiver;
  explicit HookSocket(std::shared_ptr<Receiver> receiver);
  std::shared_ptr<Receiver> receiver_;
};

}  // namespace agentmesh::agents
