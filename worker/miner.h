#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>

#include "common/log.h"
#include "common/metrics.h"
#include "worker/loop_trace.h"

namespace dockercoins {

/// rng and hasher. An exception from its methods ends the loop that called them.
class Services {
 public:
  virtual ~Services() = default;
  /// 32 random bytes; throws std::runtime_error (UnreachableError when there was no connection).
  virtual std::string Draw() = 0;
  /// The SHA-256 of `bytes` in 64 lower-case hexadecimal digits; throws as Draw does.
  virtual std::string Hash(const std::string& bytes) = 0;
};

/// Counts loops and stores coins. Both methods return when that is certain; otherwise they throw as Draw
/// does, ReplicaError when there is another ledger now, or RefusedError.
class Ledger {
 public:
  virtual ~Ledger() = default;
  /// Raises the number of hashes by `loops`.
  virtual void AddLoops(uint64_t loops) = 0;
  /// Stores a coin; false if it was already there.
  virtual bool AddCoin(const std::string& digest, const std::string& bytes) = 0;
};

/// The miner's clock and sleep.
class Timer {
 public:
  virtual ~Timer() = default;
  virtual std::chrono::steady_clock::time_point Now() = 0;
  /// See dockercoins::SleepFor.
  virtual bool Sleep(std::chrono::steady_clock::duration duration, std::stop_token stop) = 0;
};

/// The system's clock.
class SystemTimer final : public Timer {
 public:
  std::chrono::steady_clock::time_point Now() override;
  bool Sleep(std::chrono::steady_clock::duration duration, std::stop_token stop) override;
};

/// Mines: draws bytes, gets their digest, keeps the digests that begin with 0, and counts the loops.
///
/// Loses nothing: loops done and coins found stay here until the ledger has taken them, across errors and at
/// a stop. The one exception: of coins that the ledger refuses, which ends no loop, it keeps the latest
/// thousand. For one thread, but for HasUnstored. Its parts must outlive it.
class Miner {
 public:
  Miner(Services& services, Ledger& ledger, Timer& timer, Metrics& metrics, Log& log, LoopTrace& trace,
        std::chrono::milliseconds delay);

  /// Mines until `stop` is requested, and stores what is left then. Handles every error of its parts.
  void Run(const std::stop_token& stop);

  /// Whether there are loops or coins that the ledger has not taken. Thread-safe.
  [[nodiscard]] bool HasUnstored() const { return has_unstored_; }

 private:
  struct Coin {
    std::string digest;
    std::string bytes;
  };

  void Call(const std::string& upstream, const std::function<void()>& call);
  void MineOnce(const std::stop_token& stop);
  void StoreWhenDue();
  void StoreLoops();
  void StoreCoins();
  void Keep(Coin coin);
  void ShowUnstored();
  void StoreWhatIsLeft();
  bool TryToStore(void (Miner::*store)());
  [[nodiscard]] bool IsNotThereYet(const std::exception& error) const;
  void WaitForUpstream(const std::exception& error, const std::stop_token& stop);
  void WaitAfterError(const std::exception& error, const std::stop_token& stop);

  Services& services_;
  Ledger& ledger_;
  Timer& timer_;
  Log& log_;
  LoopTrace& trace_;
  const std::chrono::milliseconds delay_;

  uint64_t loops_ = 0;                                            ///< Done, and not yet in the ledger.
  std::deque<Coin> coins_;                                        ///< Found, and not yet in the ledger.
  std::atomic<bool> has_unstored_ = false;                        ///< Whether there are any of these.
  std::set<std::string> refusals_;                                ///< Why the ledger takes no coins now.
  std::optional<std::chrono::steady_clock::time_point> updated_;  ///< When the ledger last took loops.

  std::chrono::milliseconds error_wait_;
  std::chrono::milliseconds start_wait_;
  const Histogram step_duration_;
  const Counter errors_;
  const Counter loops_done_;
  const Counter coins_found_;
  const Counter coins_dropped_;
  const Gauge loops_unstored_;

  std::string in_use_;             ///< The upstream that was called last: the one that an error is about.
  std::set<std::string> reached_;  ///< Upstreams that have answered.
  std::set<std::pair<std::string, std::string>> announced_;  ///< Upstreams, and why they were waited for.
};

}  // namespace dockercoins
