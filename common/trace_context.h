#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dockercoins {

/// 16 lower-case hexadecimal digits.
std::string IdText(uint64_t id);

/// Which span of which trace, as one service tells the next (https://www.w3.org/TR/trace-context/).
struct SpanContext {
  uint64_t trace_high = 0, trace_low = 0, span = 0;
  bool sampled = false;  ///< The trace is recorded.

  /// None if `traceparent` is malformed.
  static std::optional<SpanContext> Parse(std::string_view traceparent);
  [[nodiscard]] std::string Traceparent() const;
};

}  // namespace dockercoins
