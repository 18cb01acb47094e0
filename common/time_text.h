#pragma once

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <string>

namespace dockercoins {

/// `time` in UTC as strftime's `format` says, in at most 63 characters. No locale is ever set: names are
/// English.
inline std::string UtcText(std::chrono::system_clock::time_point time, const char* format) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), format, &utc);
  return text.data();
}

/// `time` in milliseconds: "650.1".
inline std::string MillisecondsText(std::chrono::steady_clock::duration time) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", std::chrono::duration<double, std::milli>(time).count());
  return text.data();
}

}  // namespace dockercoins
