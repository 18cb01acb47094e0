#include "common/sleep.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/unit/stopwatch.h"

namespace dockercoins {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

TEST(SleepForTest, SleepsToTheEnd) {
  const Stopwatch watch;
  EXPECT_TRUE(SleepFor(milliseconds(30), {}));
  EXPECT_GE(watch.Elapsed(), milliseconds(30));
}

TEST(SleepForTest, EndsWhenItIsStopped) {
  std::stop_source stop;
  const std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_FALSE(SleepFor(hours(1), stop.get_token()));
}

TEST(SleepForTest, DoesNotBeginOnceStopped) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_FALSE(SleepFor(hours(1), stop.get_token()));
  EXPECT_FALSE(SleepFor(milliseconds(0), stop.get_token()));
}

TEST(SleepForTest, NoTimeIsNoSleep) { EXPECT_TRUE(SleepFor(milliseconds(0), {})); }

}  // namespace
}  // namespace dockercoins
