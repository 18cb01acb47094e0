#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
template <typename T>
class Family;
}  // namespace prometheus

namespace dockercoins {

// Each of these is a handle to a metric: copies count in the same place. They must not be used after their
// Metrics is gone. All are thread-safe; a reader may delay a count for microseconds.

/// Label names and their values. Use a bounded number of values.
using Labels = std::map<std::string, std::string>;

/// Counts events.
class Counter {
 public:
  void Increment(const Labels& labels = {}) const;

 private:
  friend class Metrics;
  explicit Counter(prometheus::Family<prometheus::Counter>& family) : family_(family) {}
  prometheus::Family<prometheus::Counter>& family_;
};

/// A number that goes up and down. One that no Metrics made shows nothing.
class Gauge {
 public:
  Gauge() = default;
  void Set(double value) const;

 private:
  friend class Metrics;
  explicit Gauge(prometheus::Gauge& gauge) : gauge_(&gauge) {}
  prometheus::Gauge* gauge_ = nullptr;
};

/// Durations, from 1 ms to 200 s and beyond.
class Histogram {
 public:
  void Observe(std::chrono::nanoseconds duration, const Labels& labels = {}) const;

 private:
  friend class Metrics;
  explicit Histogram(prometheus::Family<prometheus::Histogram>& family) : family_(family) {}
  prometheus::Family<prometheus::Histogram>& family_;
};

/// All metrics of a service and of its process, for Prometheus to read.
///
/// Hides the library, prometheus-cpp. A service makes one and passes it to its parts, which add their
/// metrics before there is a second thread. Names, units and texts follow Prometheus's conventions
/// (https://prometheus.io/docs/practices/naming/). Each name is added once.
class Metrics {
 public:
  /// The media type of Text().
  static constexpr std::string_view kMediaType = "text/plain; version=0.0.4; charset=utf-8";

  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // Those with the labels in `known` are there from the start; others appear when they are first counted.
  [[nodiscard]] Counter AddCounter(const std::string& name, const std::string& help,
                                   const std::vector<Labels>& known = {Labels()});
  [[nodiscard]] Gauge AddGauge(const std::string& name, const std::string& help, const Labels& labels = {});
  /// In seconds.
  [[nodiscard]] Histogram AddHistogram(const std::string& name, const std::string& help,
                                       const std::vector<Labels>& known = {Labels()});

  /// All metrics now, in Prometheus's text format (version 0.0.4), ordered by name and labels.
  /// Thread-safe.
  [[nodiscard]] std::string Text() const;

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace dockercoins
