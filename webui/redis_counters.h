#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

#include "common/metrics.h"
#include "common/redis_client.h"

namespace dockercoins {

/// The counters of all workers together.
struct Counters {
  int64_t coins = 0;                  ///< Coins in the wallet.
  std::optional<std::string> hashes;  ///< The counter as Redis has it; none before the first update.
};

/// Reads the counters. Thread-safe.
class CountersReader {
 public:
  virtual ~CountersReader() = default;
  /// The counters, read after `asked`. Throws std::runtime_error with the reason within a second after it.
  virtual Counters Read(std::chrono::steady_clock::time_point asked) = 0;
};

/// Reads them from Redis on its own thread: a Redis or a name server that hangs cannot be interrupted, and
/// must not hold the web UI's threads. A reading answers all requests from before it began, including those
/// that were in the queue meanwhile.
class RedisCounters final : public CountersReader {
 public:
  using Clock = std::chrono::steady_clock;

  /// Adds its metrics to `metrics`, which must outlive this.
  RedisCounters(RedisUrl url, Metrics& metrics);
  /// Waits for a reading in progress.
  ~RedisCounters() override;

  Counters Read(Clock::time_point asked) override;

 private:
  using Result = std::variant<Counters, std::string>;

  void Run(const std::stop_token& stop);
  Result ReadRedis();
  RedisReply Command(const std::vector<std::string_view>& arguments);

  RedisClient redis_;
  const Histogram round_trip_;
  const Counter failures_;
  std::mutex mutex_;
  std::condition_variable_any wanted_;  ///< Wakes the thread.
  std::condition_variable read_;        ///< Wakes the requests.
  Clock::time_point asked_;             ///< When the latest request asked.
  Clock::time_point begun_;             ///< When the reading behind result_ began.
  Result result_;
  std::jthread thread_;
};

}  // namespace dockercoins
