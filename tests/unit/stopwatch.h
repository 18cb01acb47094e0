#pragma once

#include <gtest/gtest.h>

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

/// Expects that `act` takes at least `least` in each of up to five tries, and less than `limit` in one of
/// them: a busy machine delays some tries, a wrong time in the product all of them.
template <typename Act>
void ExpectTime(Stopwatch::Clock::duration least, Stopwatch::Clock::duration limit, Act act) {
  for (int tries = 0; tries < 5; ++tries) {
    const Stopwatch watch;
    act();
    const auto elapsed = watch.Elapsed();
    EXPECT_GE(elapsed, least);
    if (elapsed < limit) return;
  }
  ADD_FAILURE() << "five times later than it may";
}

}  // namespace dockercoins
