#include "daemon/notify_queue.h"

#include <algorithm>
#include <utility>

namespace agentmesh::daemon {

bool NotifyQueue::add(Notice notice, WallTime now) {
  if (places_.size() >= policy_.depth) {
    ++dropped_;
    return false;
  }
  places_.push_back({std::move(notice), now, Backoff(policy_.backoff_first, policy_.backoff_most)});
  return true;
}

std::optional<Notice> NotifyQueue::next(WallTime now) {
  if (sending() >= policy_.at_once) return std::nullopt;
  const auto found =
      std::ranges::find_if(places_, [&](const Place& place) { return !place.sending && place.due <= now; });
  if (found == places_.end()) return std::nullopt;
  found->sending = true;
  ++found->tries;
  return found->notice;
}

void NotifyQueue::done(const std::string& id) {
  if (const auto found = find(id); found != places_.end()) places_.erase(found);
}

std::optional<int> NotifyQueue::failed(const std::string& id, Again again, WallTime now) {
  const auto found = find(id);
  if (found == places_.end()) return std::nullopt;
  const int tries = found->tries;
  if (again == Again::never || tries >= policy_.tries) {
    places_.erase(found);
    return tries;
  }
  found->sending = false;
  found->due = now + found->backoff.next();
  return std::nullopt;
}

std::optional<WallTime> NotifyQueue::next_wake() const {
  if (sending() >= policy_.at_once) return std::nullopt;
  std::optional<WallTime> wake;
  for (const Place& place : places_) {
    if (!place.sending && (!wake || place.due < *wake)) wake = place.due;
  }
  return wake;
}

std::uint64_t NotifyQueue::take_dropped() {
  return places_.size() > policy_.depth / 2 ? 0 : std::exchange(dropped_, 0);
}

std::list<NotifyQueue::Place>::iterator NotifyQueue::find(const std::string& id) {
  return std::ranges::find_if(places_, [&](const Place& place) { return place.notice.id == id; });
}

std::size_t NotifyQueue::sending() const {
  return static_cast<std::size_t>(std::ranges::count_if(places_, &Place::sending));
}

}  // namespace agentmesh::daemon
