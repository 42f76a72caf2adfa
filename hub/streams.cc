#include "hub/streams.h"

#include "base/json.h"
#include "base/spawn_logged.h"

#include <algorithm>
#include <chrono>
#include <tuple>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

namespace agentmesh::hub {
namespace {

namespace asio = boost::asio;
constexpr std::size_t kPage = 50;  // changes read and items pushed at once; the next when the peer took these

std::unexpected<Error> closing() { return fail(ErrorCode::unavailable, "hub", "the hub stops"); }

}  // namespace

struct Streams::Feed {
  StreamQuery query;
  std::shared_ptr<net::WebSocket> peer;
  std::int64_t cursor = 0;
  std::int64_t waiting_until = 0;  // assignments up to here were pushed as waiting ones
};

Task<> Streams::serve(StreamQuery query, std::shared_ptr<net::WebSocket> peer) {
  const auto self = shared_from_this();
  if (closed_) co_return closing();
  const auto wake = std::make_shared<asio::steady_timer>(executor_);
  struct Place {
    std::list<std::shared_ptr<asio::steady_timer>>& all;
    std::list<std::shared_ptr<asio::steady_timer>>::iterator mine;
    ~Place() { all.erase(mine); }
  } place{wakes_, wakes_.insert(wakes_.end(), wake)};
  spawn_logged(executor_, "hub", listen(peer, wake));
  Feed feed{.query = std::move(query), .peer = peer};
  if (auto greeted = co_await greet(feed); !greeted) co_return greeted;
  if (auto pushed = co_await push_waiting(feed); !pushed) co_return pushed;
  while (!closed_ && peer->is_open()) {
    // Armed before the store is read: what changes meanwhile is seen.
    wake->expires_at(std::chrono::steady_clock::time_point::max());
    if (auto pushed = co_await push_changes(feed); !pushed) co_return pushed;
    if (closed_ || !peer->is_open()) break;
    co_await wake->async_wait(asio::as_tuple(asio::use_awaitable));
  }
  co_return Result<void>{};
}

// A peer says nothing on a stream; its end is the news.
asio::awaitable<void> Streams::listen(std::shared_ptr<net::WebSocket> peer,
                                      std::shared_ptr<asio::steady_timer> wake) {
  if (const auto text = co_await peer->receive()) {
    peer->close(1008, "nothing is read here");
    co_await peer->ended();
  }
  wake->expires_at({});
}

Task<> Streams::greet(Feed& feed) {
  const auto last = store_.last_change();
  if (!last) co_return pass(last.error());
  const bool fresh = feed.query.after.value_or(0) > *last;
  feed.cursor = fresh ? 0 : feed.query.after.value_or(*last);
  feed.waiting_until = *last;
  const Hello hello{.hub_id = store_.hub_id(), .seq = *last, .fresh = fresh};
  // The client's cursor is what it has seen; a hello is not a change.
  co_return feed.peer->send(frame_text(
      {.seq = feed.cursor, .type = "hello", .at = clock_.now(), .data = dump_json(to_json(hello))}));
}

Task<> Streams::push_waiting(Feed& feed) {
  if (feed.query.host.empty()) co_return Result<void>{};
  ItemFilter filter{.host = feed.query.host, .state = ItemState::queued, .limit = kPage};
  while (true) {
    if (closed_) co_return closing();
    auto items = store_.list_items(feed.query.tenant, filter);
    if (!items) co_return pass(items.error());
    if (items->empty()) co_return Result<void>{};
    filter.after_seq = items->back().seq;
    std::ranges::sort(*items, [](const InboxItem& a, const InboxItem& b) {
      return std::tie(b.priority, a.seq) < std::tie(a.priority, b.seq);
    });
    for (const auto& item : *items) {
      const Frame frame{.seq = 0, .type = "assignment", .at = clock_.now(), .data = dump_json(to_json(item))};
      if (auto sent = feed.peer->send(frame_text(frame)); !sent) co_return sent;
      if (auto flushed = co_await feed.peer->flush(); !flushed) co_return flushed;
    }
  }
}

Task<> Streams::push_changes(Feed& feed) {
  while (true) {
    if (closed_) co_return closing();
    const auto page = store_.changes_after(feed.query.tenant, feed.query.host, feed.cursor, kPage);
    if (!page) co_return pass(page.error());
    feed.cursor = page->cursor;
    for (const auto& frame : page->frames) {
      const bool told =
          !feed.query.host.empty() && frame.type == "assignment" && frame.seq <= feed.waiting_until;
      if (told) continue;
      if (auto sent = feed.peer->send(frame_text(frame)); !sent) co_return sent;
      if (auto flushed = co_await feed.peer->flush(); !flushed) co_return flushed;
    }
    if (!page->more) co_return Result<void>{};
  }
}

void Streams::notify() {
  for (const auto& wake : wakes_) wake->expires_at({});
}

void Streams::close() {
  closed_ = true;
  notify();
}

}  // namespace agentmesh::hub
