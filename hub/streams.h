#pragma once
// The open streams of the hub: each reads the store's changes from its own cursor, so that a slow one holds
// nobody and a lost one resumes. For hub/server.cc alone.

#include "base/clock.h"
#include "base/task.h"
#include "hub/store.h"
#include "net/websocket.h"

#include <list>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

namespace agentmesh::hub {

struct StreamQuery {
  std::string tenant;
  std::string host;                   // empty: everything of the tenant
  std::optional<std::int64_t> after;  // absent: from now on
};

class Streams : public std::enable_shared_from_this<Streams> {
 public:
  Streams(boost::asio::any_io_executor executor, Store& store, const Clock& clock)
      : executor_(std::move(executor)), store_(store), clock_(clock) {}

  // Feeds the peer until it leaves or the streams are closed.
  Task<> serve(StreamQuery query, std::shared_ptr<net::WebSocket> peer);
  // The store has something new.
  void notify();
  // The store is not touched any more.
  void close();

 private:
  struct Feed;
  static boost::asio::awaitable<void> listen(std::shared_ptr<net::WebSocket> peer,
                                             std::shared_ptr<boost::asio::steady_timer> wake);
  Task<> greet(Feed& feed);
  Task<> push_waiting(Feed& feed);
  Task<> push_changes(Feed& feed);

  boost::asio::any_io_executor executor_;
  Store& store_;
  const Clock& clock_;
  std::list<std::shared_ptr<boost::asio::steady_timer>> wakes_;
  bool closed_ = false;
};

}  // namespace agentmesh::hub
