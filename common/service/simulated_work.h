#pragma once

#include <chrono>
#include <stop_token>

#include "common/http/routes.h"
#include "common/log.h"

namespace dockercoins {

/// The simulated work of rng and hasher: it takes DELAY_MS, and FAIL_PERCENT of 100 requests fail.
/// Thread-safe.
class SimulatedWork {
 public:
  /// Warns in `log` when requests are to fail.
  SimulatedWork(std::chrono::milliseconds delay, unsigned fail_percent, Log& log);

  /// Works. Returns false, and sets `response`, when `cut` was requested or the request is one of those that
  /// fail.
  [[nodiscard]] bool Do(httplib::Response& response, const std::stop_token& cut) const;

 private:
  const std::chrono::milliseconds delay_;
  const unsigned fail_percent_;
};

}  // namespace dockercoins
