#pragma once

#include <poll.h>

#include <chrono>
#include <stop_token>

namespace dockercoins {

/// Waits for `events` (poll(2)) of `fd`. Returns the events, including errors and the end of the connection.
/// Returns 0 if there was none, with the reason in errno: ETIMEDOUT when the time is over.
[[nodiscard]] short PollUntil(int fd, short events, std::chrono::steady_clock::time_point deadline);

/// Sleeps for `duration`, or until `stop` is requested. Returns true when it slept to the end. Thread-safe.
[[nodiscard]] bool SleepFor(std::chrono::steady_clock::duration duration, std::stop_token stop);

}  // namespace dockercoins
