#include "webui/history.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "tests/unit/timing.h"

namespace dockercoins {
namespace {

constexpr auto kPeriod = std::chrono::milliseconds(20);

/// Each reading gives the next number; every third one fails.
class CountingReader final : public CountersReader {
 public:
  Counters Read(std::chrono::steady_clock::time_point /*asked*/) override {
    const int number = ++readings;
    if (number % 3 == 0) throw std::runtime_error("Redis is away");
    return {.hashes = std::to_string(number)};
  }
  std::atomic<int> readings = 0;
};

TEST(HistoryTest, EndsSomeTimeAfterItWasLastWantedAndBeginsAgain) {
  constexpr auto kKept = 10 * kPeriod;
  CountingReader counters;
  History history(counters, kPeriod, kKept);
  for (int round = 0; round < 2; ++round) {
    const auto wanted = History::Clock::now();
    const int before = counters.readings;
    history.Want();
    int seen = before;
    ASSERT_TRUE(Eventually([&] {
      std::this_thread::sleep_for(5 * kPeriod);
      return std::exchange(seen, counters.readings) == seen;
    }));
    EXPECT_GE(History::Clock::now() - wanted, kKept);
    EXPECT_GE(seen - before, 2);
    EXPECT_LE(seen - before, 12);
  }
  std::this_thread::sleep_for(kKept);
  EXPECT_LE(history.Read(History::Clock::now()).size(), 1U) << "the others are too old";
}

}  // namespace
}  // namespace dockercoins
