#pragma once

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace dockercoins {

// Two bytes have a meaning in the inputs, so that seeds can be written by hand.
constexpr char kCut = '\x1f';       ///< What follows arrives in a later packet.
constexpr char kNextPart = '\x1e';  ///< What follows is the next connection's.

/// What libFuzzer gives, as text.
inline std::string_view Text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// The parts of `text` between separators; empty ones, too.
inline std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

inline std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower;
}

/// What the servers say that every Dialer of this program reaches (fake_dialer.cpp): one text per connection,
/// its packets separated by kCut. Further connections are refused. Each ends after what it says. Thread-safe.
void SetConnections(std::vector<std::string> connections);

/// Ends the process, and so the run, when a promise is broken.
inline void Require(bool kept, const char* promise, std::string_view seen = {}) {
  if (kept) return;
  std::fprintf(stderr, "BROKEN PROMISE: %s: %.*s\n", promise, static_cast<int>(seen.size()), seen.data());
  std::abort();
}

}  // namespace dockercoins
