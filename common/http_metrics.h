#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/http_handler.h"
#include "common/metrics.h"

namespace dockercoins {

/// What an HTTP service measures: its requests, how long they waited in line and how long it took to serve
/// them. Thread-safe.
class HttpMetrics {
 public:
  /// Both must outlive this.
  HttpMetrics(Metrics& metrics, const Routes& routes);

  /// A request is over. `path`: decoded, without the query; no `status`: it got no answer.
  void Count(std::string_view method, std::string_view path, std::optional<int> status) const;

  /// A request has waited in line and then been served, until its answer was ready to be written; all in all,
  /// from the end of the line to the end of the answer, it took `total`.
  void ObserveTimes(std::string_view path, std::chrono::nanoseconds waited, std::chrono::nanoseconds served,
                    std::chrono::nanoseconds total) const;

  /// How many requests wait in line.
  [[nodiscard]] Gauge Waiting() const { return waiting_; }

 private:
  struct Times {
    std::string route;
    Histogram duration;
    Histogram service;
  };

  [[nodiscard]] std::string_view NameOf(std::string_view path) const;

  const Routes& routes_;
  const CounterTable requests_;
  const Gauge waiting_;
  const Histogram queue_;
  std::vector<Times> times_;  ///< The last are those of all other paths.
};

}  // namespace dockercoins
