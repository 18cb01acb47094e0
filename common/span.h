#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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

/// Something that took time. Names are those of OpenTelemetry's semantic conventions.
struct Span {
  using Clock = std::chrono::steady_clock;
  enum class Kind { kInternal = 1, kServer = 2, kClient = 3 };
  struct Attribute {
    const char* key;
    std::string value;
    bool is_number = false;
  };

  std::string name;
  Kind kind = Kind::kInternal;
  SpanContext context = {};
  uint64_t parent = 0;  ///< 0: none.
  Clock::time_point begun = {}, ended = {};
  std::chrono::system_clock::duration epoch = {};  ///< When Clock began; one for a trace in a process.
  std::vector<Attribute> attributes = {};
  std::optional<std::string> error = {};  ///< Why it failed, if it did.
};

}  // namespace dockercoins
