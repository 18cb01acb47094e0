#pragma once

#include "common/http/request.h"
#include "common/metrics.h"

namespace dockercoins {

/// What an HTTP service measures: its requests, how long they waited in the queue and how long it took to
/// serve them. Thread-safe.
class HttpMetrics {
 public:
  /// `metrics` must outlive this.
  explicit HttpMetrics(Metrics& metrics);

  /// A request is over: counts it and, if it had its turn, its times.
  void Count(const RequestRecord& record) const;

  /// How many requests wait in the queue.
  [[nodiscard]] Gauge Waiting() const { return waiting_; }

 private:
  const Counter requests_;
  const Gauge waiting_;
  const Histogram queue_;
  const Histogram duration_;
  const Histogram service_;
};

}  // namespace dockercoins
