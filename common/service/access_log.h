#pragma once

#include <chrono>
#include <string>

#include "common/http/request.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/trace.h"

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
  const Histogram queue_, duration_, service_;
};

/// The record in Common Log Format (https://httpd.apache.org/docs/2.4/logs.html#common), time in UTC, without
/// a line end. Quotes and backslashes in the request line are escaped; Log::Line escapes the rest.
std::string FormatAccessLine(const RequestRecord& record, std::chrono::system_clock::time_point time);

/// Adds the spans of an ended request that was in the queue, if its client has traced it: one for the server,
/// from entering the queue until the response was ready, and below it `queue` and `work`.
void TraceRequest(const RequestRecord& record, Tracer& tracer);

/// Records each ended request: a line in the log and a count in the metrics, so that the two always agree.
/// The debug log has a second line with its times. Thread-safe.
class AccessLog {
 public:
  /// Both must outlive this.
  AccessLog(Log& log, const HttpMetrics& metrics) : log_(log), metrics_(metrics) {}

  void Write(const RequestRecord& record) const;

 private:
  Log& log_;
  const HttpMetrics& metrics_;
};

}  // namespace dockercoins
