#pragma once

#include <poll.h>

#include <chrono>

namespace dockercoins {

/// Waits for `events` (poll(2)) of `fd`. Returns what has happened, errors and the end of the connection
/// included; 0 when the time is over.
short PollUntil(int fd, short events, std::chrono::steady_clock::time_point deadline);

}  // namespace dockercoins
