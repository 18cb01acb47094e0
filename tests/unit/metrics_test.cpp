#include "common/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/samples.h"

namespace dockercoins {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;

TEST(MetricsTest, WritesPrometheusTextFormat) {
  Metrics metrics;
  metrics.AddCounter("b_total", "What b is.", {{"step", "one"}}).Increment();
  metrics.AddGauge("a", "What a is.").Set(2.5);
  EXPECT_THAT(metrics.Text(), HasSubstr("# HELP a What a is.\n"
                                        "# TYPE a gauge\n"
                                        "a 2.5\n"
                                        "# HELP b_total What b is.\n"
                                        "# TYPE b_total counter\n"
                                        "b_total{step=\"one\"} 1\n"))
      << "ordered by name";
}

TEST(MetricsTest, OrdersSeriesByTheirLabels) {
  Metrics metrics;
  for (const char* step : {"c", "a", "b"}) {
    EXPECT_FALSE(metrics.Text().empty());
    (void)metrics.AddCounter("x_total", "X.", {{"step", step}});
  }
  EXPECT_THAT(metrics.Text(),
              HasSubstr("x_total{step=\"a\"} 0\nx_total{step=\"b\"} 0\nx_total{step=\"c\"} 0\n"));
}

TEST(MetricsTest, TellsOfTheProgramAndItsProcess) {
  const Metrics metrics;
  const auto samples = Samples(metrics);
  EXPECT_THAT(metrics.Text(), HasSubstr("dockercoins_build_info{compiler=\""));
  EXPECT_THAT(metrics.Text(), HasSubstr("version=\"" DOCKERCOINS_VERSION "\"} 1\n"));
  EXPECT_GT(samples.at("process_resident_memory_bytes"), 100'000);
  EXPECT_GE(samples.at("process_open_fds"), 3);
  EXPECT_GT(samples.at("process_cpu_seconds_total"), 0);
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  EXPECT_NEAR(samples.at("process_start_time_seconds"), now.count(), 60);
}

TEST(MetricsTest, HistogramsCountUpToAndIncludingEachBound) {
  Metrics metrics;
  const Histogram histogram = metrics.AddHistogram("wait_seconds", "Waits.");
  for (const auto wait : {milliseconds(1), milliseconds(100), milliseconds(150), milliseconds(151)}) {
    histogram.Observe(wait);
  }
  histogram.Observe(seconds(1000));
  const auto samples = Samples(metrics);
  EXPECT_EQ(samples.at(R"(wait_seconds_bucket{le="0.001"})"), 1);
  EXPECT_EQ(samples.at(R"(wait_seconds_bucket{le="0.05"})"), 1);
  EXPECT_EQ(samples.at(R"(wait_seconds_bucket{le="0.15"})"), 3);
  EXPECT_EQ(samples.at(R"(wait_seconds_bucket{le="0.25"})"), 4);
  EXPECT_EQ(samples.at(R"(wait_seconds_bucket{le="200"})"), 4);
  EXPECT_EQ(samples.at(R"(wait_seconds_bucket{le="+Inf"})"), 5);
  EXPECT_EQ(samples.at("wait_seconds_count"), 5);
  EXPECT_DOUBLE_EQ(samples.at("wait_seconds_sum"), 1000.402);
}

TEST(MetricsTest, HistogramsTellTheMultiplesOfAHundredMillisecondsApart) {
  for (int before = 0; before < 9; ++before) {
    Metrics metrics;
    const Histogram histogram = metrics.AddHistogram("wait_seconds", "Waits.");
    histogram.Observe(milliseconds(100 * before) + microseconds(900));
    histogram.Observe(milliseconds(100 * (before + 1)) + microseconds(900));
    int buckets_with_one = 0;
    for (const auto& [name, value] : Samples(metrics)) {
      if (name.find("_bucket") != std::string::npos && value == 1) ++buckets_with_one;
    }
    EXPECT_GE(buckets_with_one, 1) << before;
  }
}

TEST(MetricsTest, ALabelledHistogramAppearsWithItsFirstObservation) {
  Metrics metrics;
  (void)metrics.AddHistogram("x_seconds", "X.", {{"route", "/1"}});
  const Histogram histogram = metrics.AddHistogram("x_seconds", "X.", {{"route", "/2"}});
  histogram.Observe(seconds(3));
  const auto samples = Samples(metrics);
  EXPECT_THAT(samples, Not(Contains(Key(HasSubstr("/1")))));
  EXPECT_EQ(samples.at(R"(x_seconds_sum{route="/2"})"), 3);
  EXPECT_EQ(samples.at(R"(x_seconds_bucket{route="/2",le="5"})"), 1);
}

TEST(MetricsTest, ATableCountsByLabelsOfWhichThereIsABound) {
  Metrics metrics;
  const CounterTable table = metrics.AddCounterTable(
      "x_total", "X.",
      {{.name = "route", .values = {"/", "/N"}}, {.name = "status", .values = {"200", "404"}}});
  EXPECT_THAT(Samples(metrics), Not(Contains(Key(HasSubstr("x_total"))))) << "nothing is counted yet";
  table.Increment({"/", "200"});
  table.Increment({"/N", "404"});
  table.Increment({"/N", "404"});
  for (int i = 0; i < 1000; ++i) table.Increment({"/" + std::to_string(i), "200"});
  table.Increment({"/", "999"});
  auto samples = Samples(metrics);
  std::erase_if(samples, [](const auto& sample) { return !sample.first.starts_with("x_total"); });
  EXPECT_THAT(samples, ::testing::UnorderedElementsAre(Pair(R"(x_total{route="/",status="200"})", 1),
                                                       Pair(R"(x_total{route="/N",status="404"})", 2),
                                                       Pair(R"(x_total{route="other",status="200"})", 1000),
                                                       Pair(R"(x_total{route="/",status="other"})", 1)));
}

TEST(MetricsTest, CountsExactlyWhileItIsRead) {
  constexpr int kThreads = 4;
  constexpr int kTimes = 5000;
  Metrics metrics;
  const Counter counter = metrics.AddCounter("x_total", "X.");
  const Histogram histogram = metrics.AddHistogram("x_seconds", "X.");
  const CounterTable table = metrics.AddCounterTable("y_total", "Y.", {{.name = "step", .values = {"one"}}});
  std::atomic<int> running = kThreads;
  std::vector<std::jthread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < kTimes; ++n) {
        counter.Increment();
        histogram.Observe(milliseconds(1));
        table.Increment({"one"});
      }
      --running;
    });
  }
  while (running > 0) {
    const auto samples = Samples(metrics);
    EXPECT_EQ(samples.at("x_seconds_count"), samples.at(R"(x_seconds_bucket{le="+Inf"})"));
  }
  threads.clear();
  const auto samples = Samples(metrics);
  EXPECT_EQ(samples.at("x_total"), kThreads * kTimes);
  EXPECT_EQ(samples.at("x_seconds_count"), kThreads * kTimes);
  EXPECT_DOUBLE_EQ(samples.at("x_seconds_sum"), kThreads * kTimes * 0.001);
  EXPECT_EQ(samples.at(R"(y_total{step="one"})"), kThreads * kTimes);
}

TEST(MetricsTest, CountsBeyondThirtyTwoBitsToTheLast) {
  Metrics metrics;
  metrics.AddGauge("x", "X.").Set(9'007'199'254'740'991.0);
  EXPECT_THAT(metrics.Text(), HasSubstr("\nx 9007199254740991\n"));
}

TEST(MetricsTest, WhatNoMetricsMadeMeasuresNothing) {
  Counter().Increment();
  Gauge().Set(1);
  Histogram().Observe(seconds(1));
  CounterTable().Increment({"x"});
}

}  // namespace
}  // namespace dockercoins
