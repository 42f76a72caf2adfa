#include "hub/rate_limit.h"

#include <algorithm>
#include <cmath>

namespace agentmesh::hub {
namespace {

constexpr Millis kSweep{60'000};

}  // namespace

double RateLimiter::filled(const Bucket& bucket, WallTime now) const {
  const double seconds = static_cast<double>(std::max<std::int64_t>(0, (now - bucket.at).count())) / 1000.0;
  return std::min(limit_.burst, bucket.tokens + seconds * limit_.per_second);
}

void RateLimiter::forget_full(WallTime now) {
  if (now - swept_ < kSweep) return;
  swept_ = now;
  std::erase_if(buckets_, [&](const auto& row) { return filled(row.second, now) >= limit_.burst; });
}

Millis RateLimiter::take(std::string_view key, WallTime now) {
  forget_full(now);
  auto found = buckets_.find(key);
  if (found == buckets_.end()) found = buckets_.emplace(key, Bucket{limit_.burst, now}).first;
  Bucket& bucket = found->second;
  bucket.tokens = filled(bucket, now);
  bucket.at = now;
  if (bucket.tokens >= 1) {
    bucket.tokens -= 1;
    return Millis{0};
  }
  return Millis{static_cast<std::int64_t>(std::ceil((1 - bucket.tokens) / limit_.per_second * 1000))};
}

}  // namespace agentmesh::hub
