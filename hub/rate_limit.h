#pragma once
// A token bucket per key. Pure: time is a parameter. A bucket that is full again is forgotten.

#include "base/clock.h"

#include <map>
#include <string>
#include <string_view>

namespace agentmesh::hub {

struct RateLimit {
  double per_second;
  double burst;
};

class RateLimiter {
 public:
  explicit RateLimiter(RateLimit limit) : limit_(limit) {}

  // Takes one token. Zero: taken. Else how long to wait for the next one.
  Millis take(std::string_view key, WallTime now);
  std::size_t size() const { return buckets_.size(); }

 private:
  struct Bucket {
    double tokens;
    WallTime at;
  };
  void forget_full(WallTime now);
  double filled(const Bucket& bucket, WallTime now) const;

  RateLimit limit_;
  std::map<std::string, Bucket, std::less<>> buckets_;
  WallTime swept_;
};

}  // namespace agentmesh::hub
