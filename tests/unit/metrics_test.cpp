#include "common/metrics.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <ctime>
#include <string>
#include <vector>

#include "tests/unit/samples.h"

namespace dockercoins {
namespace {

using std::chrono::nanoseconds;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

/// The text of the tests' own metrics, whose names begin with x: it is the end.
std::string OwnText(const Metrics& metrics) {
  const std::string text = metrics.Text();
  return text.substr(text.find("# HELP x"));
}

TEST(MetricsTest, WritesPrometheusTextFormatOrderedByNameAndLabels) {
  Metrics metrics;
  metrics.AddCounter("x_b_total", "What b is.", {{{"step", "three"}}, {{"step", "two"}}, {{"step", "one"}}})
      .Increment({{"step", "two"}});
  metrics.AddGauge("x_a", "What a is.").Set(2.5);
  EXPECT_EQ(OwnText(metrics),
            "# HELP x_a What a is.\n# TYPE x_a gauge\nx_a 2.5\n"
            "# HELP x_b_total What b is.\n# TYPE x_b_total counter\n"
            "x_b_total{step=\"one\"} 0\nx_b_total{step=\"three\"} 0\nx_b_total{step=\"two\"} 1\n");
}

TEST(MetricsTest, DescribesTheProgramAndItsProcess) {
  const Metrics metrics;
  EXPECT_THAT(
      metrics.Text(),
      ContainsRegex("\ndockercoins_build_info\\{compiler=\"[^\"]+ [0-9.]+\",version=\"" DOCKERCOINS_VERSION
                    "\"\\} 1\n"));
  EXPECT_THAT(metrics.Text(), HasSubstr("# TYPE process_cpu_seconds_total counter\n"));
  EXPECT_THAT(metrics.Text(), HasSubstr("# TYPE process_open_fds gauge\n"));
  while (Samples(metrics).at("process_cpu_seconds_total") < 0.02) {
  }
  const auto samples = Samples(metrics);
  int open_fds = 0;
  for (int fd = 0; fd < 4096; ++fd) open_fds += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  EXPECT_EQ(samples.at("process_open_fds"), open_fds);
  EXPECT_NEAR(samples.at("process_cpu_seconds_total"), static_cast<double>(std::clock()) / CLOCKS_PER_SEC,
              0.5);
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  EXPECT_NEAR(samples.at("process_start_time_seconds"), now.count(), 60);
  constexpr size_t kBytes = size_t{64} * 1024 * 1024;
  const std::vector<char> memory(kBytes, 'x');
  const double grown =
      Samples(metrics).at("process_resident_memory_bytes") - samples.at("process_resident_memory_bytes");
  EXPECT_GE(grown, kBytes / 2) << "a sanitizer may take some for itself";
}

TEST(MetricsTest, HistogramsCountUpToAndIncludingEachBound) {
  Metrics metrics;
  const Histogram histogram = metrics.AddHistogram("x_seconds", "Waits.");
  std::string buckets;
  int count = 0;
  for (const char* bound :
       {"0.001", "0.002", "0.005", "0.01", "0.02", "0.05", "0.15", "0.25", "0.35", "0.45", "0.55", "0.65",
        "0.75",  "0.85",  "0.95",  "1.5",  "2.5",  "5",    "10",   "20",   "50",   "100",  "200"}) {
    const nanoseconds time(std::llround(std::stod(bound) * 1e9));
    histogram.Observe(time);
    histogram.Observe(time + nanoseconds(1));  // Beyond the bound.
    buckets += "x_seconds_bucket{le=\"" + std::string(bound) + "\"} " + std::to_string(count + 1) + "\n";
    count += 2;
  }
  EXPECT_EQ(OwnText(metrics),
            "# HELP x_seconds Waits.\n# TYPE x_seconds histogram\nx_seconds_count 46\nx_seconds_sum "
            "788.076000023\n" +
                buckets + "x_seconds_bucket{le=\"+Inf\"} 46\n");
}

}  // namespace
}  // namespace dockercoins
