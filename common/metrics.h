#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
}  // namespace prometheus

namespace dockercoins {

// What a service measures. Each of these is a handle: copies count into the same place, and one that no
// Metrics made counts nothing. They must not be used after their Metrics is gone. All are thread-safe and
// lock-free: who counts waits neither for another nor for somebody who reads.

/// How often something has happened.
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

/// How long something took, from 1 ms to 100 s and beyond; the number of observations and their sum are
/// exact.
class Histogram {
 public:
  struct Cells;

  Histogram() = default;
  void Observe(std::chrono::nanoseconds duration) const;

 private:
  friend class Metrics;
  explicit Histogram(Cells& cells) : cells_(&cells) {}
  Cells* cells_ = nullptr;
};

/// A counter for every combination of some labels' values, which are known beforehand: so there is a bound to
/// them, and no lock is needed to make one.
class CounterTable {
 public:
  class Cells;

  CounterTable() = default;
  /// A value for each label, in their order. One that is not known counts as "other".
  void Increment(std::initializer_list<std::string_view> values) const;

 private:
  friend class Metrics;
  explicit CounterTable(Cells& cells) : cells_(&cells) {}
  Cells* cells_ = nullptr;
};

/// All that a service measures, for Prometheus to read; what every process has to tell is among it.
///
/// It hides the library, prometheus-cpp. A service makes one and hands it to its parts, which add what they
/// measure before there is a second thread. Names, units and texts follow Prometheus's conventions
/// (https://prometheus.io/docs/practices/naming/). Each name is added once, or once for each set of labels,
/// with the same `help`.
class Metrics {
 public:
  using Labels = std::map<std::string, std::string>;
  /// A label and the values that it has besides "other".
  struct Label {
    std::string name;
    std::vector<std::string> values;
  };
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
  /// A combination appears when it is first counted.
  [[nodiscard]] CounterTable AddCounterTable(const std::string& name, const std::string& help,
                                             std::vector<Label> labels);

  /// Everything as it is now, in Prometheus's text format (version 0.0.4), ordered by name and labels.
  /// Thread-safe; takes no lock that anybody who counts waits for.
  [[nodiscard]] std::string Text() const;

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace dockercoins
