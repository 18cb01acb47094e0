#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <optional>
#include <string>

namespace dockercoins {

/// Room for what one read takes.
using ReadBuffer = std::array<char, size_t{16} * 1024>;

/// Reads into `buffer` without waiting. Returns how many bytes came, 0 if none has yet; nothing when the
/// connection has ended.
[[nodiscard]] std::optional<size_t> ReceiveNow(int fd, ReadBuffer& buffer);

/// Reads what has come, and drops it. Returns as ReceiveNow.
std::optional<size_t> DropInput(int fd);

/// True when bytes have arrived that nobody has read: closing now would reset the connection.
[[nodiscard]] bool HasUnreadInput(int fd);

/// How many of the bytes that were written the other side has not acknowledged.
[[nodiscard]] size_t UnacknowledgedBytes(int fd);

/// True when the connection has been reset.
[[nodiscard]] bool IsReset(int fd);

/// Makes the close that follows a reset: otherwise the kernel keeps what the client has not taken for
/// minutes.
void ResetOnClose(int fd);

/// An IPv4 address without the prefix that it has on a socket for both.
[[nodiscard]] std::string AddressText(const sockaddr_storage& address);

}  // namespace dockercoins
