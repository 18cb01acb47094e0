#pragma once

#include <chrono>
#include <string>

#include "common/http/http_metrics.h"
#include "common/http/request.h"
#include "common/log.h"

namespace dockercoins {

/// The record in Common Log Format (https://httpd.apache.org/docs/2.4/logs.html#common), time in UTC, without
/// a line end. Quotes and backslashes in the request line are escaped; Log::Line escapes the rest.
std::string FormatAccessLine(const RequestRecord& record, std::chrono::system_clock::time_point time);

/// Records each ended request: a line in the log and a count in the metrics, so that the two always agree.
/// The debug log has a second line with its times. Thread-safe.
class AccessLog {
 public:
  /// Without `log` nothing is recorded; without `metrics` only the log is. Both must outlive this.
  AccessLog(Log* log, const HttpMetrics* metrics) : log_(log), metrics_(metrics) {}

  void Write(const RequestRecord& record) const;

 private:
  Log* const log_;
  const HttpMetrics* const metrics_;
};

}  // namespace dockercoins
