#pragma once

#include <chrono>
#include <stop_token>

namespace dockercoins {

/// Sleeps for `duration`, or until `stop` is requested. Returns true when it slept to the end. Thread-safe.
bool SleepFor(std::chrono::steady_clock::duration duration, std::stop_token stop);

}  // namespace dockercoins
