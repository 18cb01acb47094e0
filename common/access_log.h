#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/connection.h"
#include "common/http_metrics.h"
#include "common/log.h"

namespace dockercoins {

/// A request and its answer, for one line of the access log; what is not known stays empty.
struct AccessRecord {
  std::string_view client;        ///< The client's address.
  std::string_view request_line;  ///< As it came, without its line end.
  std::optional<int> status;
  std::optional<uint64_t> body_bytes;  ///< Sent, without the head.
};

/// The record in Common Log Format (https://httpd.apache.org/docs/2.4/logs.html#common), time in UTC, without
/// a line end. Quotes and backslashes in the request line are escaped; Log::Line escapes the rest.
std::string FormatAccessLine(const AccessRecord& record, std::chrono::system_clock::time_point time);

/// Keeps account of requests that are over: for each a line in the log and one more in the counters, so that
/// the two always agree; in the debug log a second line with its times. Thread-safe.
class AccessLog {
 public:
  /// What is known of such a request besides its connection.
  struct Entry {
    std::string_view request_line;
    std::string_view path = {};  ///< As HttpRequest has it; empty when the request has not been parsed.
    std::optional<int> status = {};
    std::optional<uint64_t> body_bytes = {};
    std::optional<std::chrono::steady_clock::time_point> begun =
        {};  ///< When its turn came, if it was served.
  };

  /// Without `log` no account is kept; without `metrics` only in the log. They must outlive this.
  AccessLog(Log* log, const HttpMetrics* metrics) : log_(log), metrics_(metrics) {}

  void Write(const Connection& connection, const Entry& entry) const;

 private:
  Log* const log_;
  const HttpMetrics* const metrics_;
};

}  // namespace dockercoins
