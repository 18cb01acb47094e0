#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <thread>

namespace dockercoins {

/// How long a test waits for an event: much longer than a slow machine under a sanitizer takes.
constexpr auto kPatience = std::chrono::seconds(20);

/// Measures the time since it was made.
class Stopwatch {
 public:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] Clock::duration Elapsed() const { return Clock::now() - begin_; }

 private:
  const Clock::time_point begin_ = Clock::now();
};

/// Waits until `condition` holds; false if it does not within kPatience.
template <typename Condition>
[[nodiscard]] bool Eventually(Condition condition) {
  const Stopwatch watch;
  while (!condition()) {
    if (watch.Elapsed() > kPatience) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

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

/// Stops threads until it is opened (or kPatience is over), and counts them. Thread-safe.
class Gate {
 public:
  void Pass() {
    ++arrived_;
    (void)Eventually([this] { return open_.load(); });
  }

  void Open() { open_ = true; }

  [[nodiscard]] size_t Arrived() const { return arrived_; }

  /// Waits until `count` threads in total have come to the gate.
  [[nodiscard]] bool AwaitArrived(size_t count) const {
    return Eventually([&] { return arrived_ >= count; });
  }

 private:
  std::atomic<size_t> arrived_ = 0;
  std::atomic<bool> open_ = false;
};

}  // namespace dockercoins
