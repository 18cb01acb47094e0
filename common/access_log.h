#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

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

}  // namespace dockercoins
