#pragma once

#include <cstdint>
#include <string>

#include "common/unique_fd.h"

namespace dockercoins {

/// A TCP socket that listens, non-blocking, and its port.
struct ListenSocket {
  UniqueFd fd;
  uint16_t port = 0;
};

/// Listens on `address` (IPv6 or IPv4; `::` is both, and 0.0.0.0 where there is no IPv6) and `port`
/// (0: a free one). Never shares a port with another process. Throws StartError.
[[nodiscard]] ListenSocket Listen(const std::string& address, uint16_t port);

}  // namespace dockercoins
