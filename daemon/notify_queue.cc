#include "daemon/notify_queue.h"

#include "daemon/notice_gate.h"

#include <algorithm>
#include <utility>

namespace agentmesh::daemon {

bool NotifyQueue::add(Notice notice, WallTime now) {
  if (const auto same = waiting_like(notice); same != places_.end()) {
    same->notice = std::move(notice);  // it is due when the older one was
    same->tries = 0;
    return true;
  }
  const bool full = places_.size() >= policy_.depth;
  if (full) ++dropped_;
  if (full && (is_chatter(notice.kind) || !make_room())) return false;
  places_.push_back({std::move(notice), now, Backoff(policy_.backoff_first, policy_.backoff_most)});
  return !full;
}

// The newest chatter of the agent that has the most places goes.
bool NotifyQueue::make_room() {
  std::map<std::string, std::size_t> held;
  for (const Place& place : places_) ++held[place.notice.agent];
  auto victim = places_.end();
  for (auto it = places_.begin(); it != places_.end(); ++it) {
    if (it->sending || !is_chatter(it->notice.kind)) continue;
    if (victim == places_.end() || held[it->notice.agent] >= held[victim->notice.agent]) victim = it;
  }
  if (victim == places_.end()) return false;
  places_.erase(victim);
  return true;
}

std::optional<Notice> NotifyQueue::next(WallTime now) {
  if (sending() >= policy_.at_once) return std::nullopt;
  auto chosen = places_.end();
  for (auto it = places_.begin(); it != places_.end(); ++it) {
    if (may_go(*it, now) && (chosen == places_.end() || before(*it, *chosen))) chosen = it;
  }
  if (chosen == places_.end()) return std::nullopt;
  chosen->sending = true;
  ++chosen->tries;
  served_[chosen->notice.agent] = ++turn_;
  return chosen->notice;
}

bool NotifyQueue::may_go(const Place& place, WallTime now) const {
  return !place.sending && place.due <= now && !agent_sends(place.notice.agent);
}

bool NotifyQueue::before(const Place& left, const Place& right) const {
  const bool left_waits = is_chatter(left.notice.kind);
  const bool right_waits = is_chatter(right.notice.kind);
  if (left_waits != right_waits) return right_waits;
  return served(left.notice.agent) < served(right.notice.agent);
}

std::uint64_t NotifyQueue::served(const std::string& agent) const {
  const auto found = served_.find(agent);
  return found == served_.end() ? 0 : found->second;
}

bool NotifyQueue::agent_sends(const std::string& agent) const {
  return std::ranges::any_of(
      places_, [&](const Place& place) { return place.sending && place.notice.agent == agent; });
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
  if (const auto newer = waiting_like(found->notice); newer != places_.end()) {
    found->notice = std::move(newer->notice);
    found->tries = 0;
    places_.erase(newer);
  }
  found->sending = false;
  found->due = now + found->backoff.next();
  return std::nullopt;
}

std::optional<WallTime> NotifyQueue::next_wake() const {
  if (sending() >= policy_.at_once) return std::nullopt;
  std::optional<WallTime> wake;
  for (const Place& place : places_) {
    if (!place.sending && !agent_sends(place.notice.agent) && (!wake || place.due < *wake)) wake = place.due;
  }
  return wake;
}

std::uint64_t NotifyQueue::take_dropped() {
  return places_.size() > policy_.depth / 2 ? 0 : std::exchange(dropped_, 0);
}

NotifyQueue::Places::iterator NotifyQueue::find(const std::string& id) {
  return std::ranges::find_if(places_, [&](const Place& place) { return place.notice.id == id; });
}

NotifyQueue::Places::iterator NotifyQueue::waiting_like(const Notice& notice) {
  return std::ranges::find_if(places_, [&](const Place& place) {
    return !place.sending && place.notice.agent == notice.agent && place.notice.kind == notice.kind;
  });
}

std::size_t NotifyQueue::sending() const {
  return static_cast<std::size_t>(std::ranges::count_if(places_, &Place::sending));
}

}  // namespace agentmesh::daemon
