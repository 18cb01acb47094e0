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
template <typename T>
class Family;
}  // namespace prometheus

namespace dockercoins {

// Each of these is a handle to a metric: copies count in the same place, and a default-constructed one counts
// nothing. They must not be used after their Metrics is gone. All are thread-safe; a reader may delay a count
// for microseconds.

/// Label names and their values.
using Labels = std::map<std::string, std::string>;

/// Counts events.
class Counter {
 public:
  Counter() = default;
  void Increment() const;

 private:
  friend class Metrics;
  explicit Counter(prometheus::Counter& counter) : counter_(&counter) {}
  prometheus::Counter* counter_ = nullptr;
};

/// A number that goes up and down.
class Gauge {
 public:
  Gauge() = default;
  void Set(double value) const;

 private:
  friend class Metrics;
  explicit Gauge(prometheus::Gauge& gauge) : gauge_(&gauge) {}
  prometheus::Gauge* gauge_ = nullptr;
};

/// Counts events by labels. The caller must use a bounded number of label values.
class CounterFamily {
 public:
  CounterFamily() = default;
  void Increment(const Labels& labels) const;

 private:
  friend class Metrics;
  explicit CounterFamily(prometheus::Family<prometheus::Counter>& family) : family_(&family) {}
  prometheus::Family<prometheus::Counter>* family_ = nullptr;
};

/// Durations, from 1 ms to 200 s and beyond.
class Histogram {
 public:
  struct Lazy;

  Histogram() = default;
  void Observe(std::chrono::nanoseconds duration) const;

 private:
  friend class Metrics;
  explicit Histogram(Lazy& lazy) : lazy_(&lazy) {}
  Lazy* lazy_ = nullptr;
};

/// All metrics of a service and of its process, for Prometheus to read.
///
/// Hides the library, prometheus-cpp. A service makes one and passes it to its parts, which add their metrics
/// before there is a second thread. Names, units and texts follow Prometheus's conventions
/// (https://prometheus.io/docs/practices/naming/). Each name is added once, or once for each set of labels,
/// with the same `help`.
class Metrics {
 public:
  /// The media type of Text().
  static constexpr std::string_view kMediaType = "text/plain; version=0.0.4; charset=utf-8";

  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  [[nodiscard]] Counter AddCounter(const std::string& name, const std::string& help,
                                   const Labels& labels = {});
  [[nodiscard]] Gauge AddGauge(const std::string& name, const std::string& help, const Labels& labels = {});
  /// In seconds. One with labels appears with its first observation.
  [[nodiscard]] Histogram AddHistogram(const std::string& name, const std::string& help,
                                       const Labels& labels = {});
  /// Labels appear with their first count.
  [[nodiscard]] CounterFamily AddCounterFamily(const std::string& name, const std::string& help);

  /// All metrics now, in Prometheus's text format (version 0.0.4), ordered by name and labels.
  /// Thread-safe.
  [[nodiscard]] std::string Text() const;

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace dockercoins
