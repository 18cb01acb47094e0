#pragma once

#include <poll.h>

#include <chrono>

namespace dockercoins {

/// Waits for `events` (poll(2)) of `fd`. Returns the events, including errors and the end of the connection.
/// Returns 0 if there was none, with the reason in errno: ETIMEDOUT when the time is over.
short PollUntil(int fd, short events, std::chrono::steady_clock::time_point deadline);

}  // namespace dockercoins
