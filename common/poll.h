#pragma once

#include <poll.h>

#include <chrono>

namespace dockercoins {

/// Waits for `events` (poll(2)) of `fd`. Returns what has happened, errors and the end of the connection
/// included. Returns 0, and says why in errno, when nothing has: ETIMEDOUT when the time is over.
short PollUntil(int fd, short events, std::chrono::steady_clock::time_point deadline);

}  // namespace dockercoins
