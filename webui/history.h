#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "webui/redis_counters.h"

namespace dockercoins {

/// The counter of the last minutes, for a page that has just been opened.
///
/// From the first Want until `kept` after the last, its own thread takes a reading every `period`. A reading
/// that fails is left out. Thread-safe.
class History {
 public:
  using Clock = std::chrono::steady_clock;

  struct Reading {
    Clock::time_point time;
    std::optional<std::string> hashes;  ///< None before the first update.
  };

  /// `counters` must outlive this. The page shows 250 s, and reads once a second.
  explicit History(CountersReader& counters, std::chrono::milliseconds period = std::chrono::seconds(1),
                   std::chrono::milliseconds kept = std::chrono::seconds(250));
  /// Waits for a reading in progress.
  ~History();

  /// Somebody looks at the counter.
  void Want();

  /// Wants, and returns the readings, oldest first, at least half a `period` apart. The last was made after
  /// `asked`, so the caller knows how old the others are, unless it failed.
  [[nodiscard]] std::vector<Reading> Read(Clock::time_point asked);

 private:
  void Run(const std::stop_token& stop);
  [[nodiscard]] std::optional<Reading> ReadNow(Clock::time_point asked);
  void Forget();

  CountersReader& counters_;
  const std::chrono::milliseconds period_;
  const std::chrono::milliseconds kept_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<Clock::time_point> wanted_;  ///< Under mutex_, as is the next: when it was last wanted.
  std::deque<Reading> readings_;
  std::jthread thread_;
};

}  // namespace dockercoins
