#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

namespace dockercoins {

/// The number in decimal `digits`; none for other text. A number too large for 64 bits becomes the largest.
inline std::optional<uint64_t> ParseNumber(std::string_view digits) {
  uint64_t number = 0;
  const char* end = digits.data() + digits.size();
  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): the end is given, too.
  const auto [parsed, error] = std::from_chars(digits.data(), end, number);
  if (error == std::errc::invalid_argument || parsed != end) return std::nullopt;
  return error == std::errc::result_out_of_range ? UINT64_MAX : number;
}

}  // namespace dockercoins
