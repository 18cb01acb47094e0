#pragma once

#include <chrono>
#include <thread>

namespace dockercoins {

/// How long a test waits for an event: much longer than a slow machine under a sanitizer takes.
constexpr auto kPatience = std::chrono::seconds(20);

/// Waits until `condition` holds; false if it does not within kPatience.
template <typename Condition>
[[nodiscard]] bool Eventually(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace dockercoins
