#pragma once

#include <chrono>

namespace dockercoins {

/// Measures the time since it was made.
class Stopwatch {
 public:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] Clock::duration Elapsed() const { return Clock::now() - begin_; }

 private:
  const Clock::time_point begin_ = Clock::now();
};

}  // namespace dockercoins
