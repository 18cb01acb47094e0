#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/listen.h"
#include "common/unique_fd.h"

namespace dockercoins {

// Sockets for tests, over loopback. A failure of these helpers is a std::runtime_error, which fails the test.
// Reading gives up when nothing comes for as long as kPatience.

/// A new TCP socket, not yet connected.
UniqueFd TcpSocket();
/// Connects `fd` to a port of 127.0.0.1; false if that is refused.
[[nodiscard]] bool Connect(const UniqueFd& fd, uint16_t port);
/// A connection to a port of 127.0.0.1.
UniqueFd ConnectTo(uint16_t port);

/// The next connection to it.
UniqueFd Accept(const ListenSocket& listener);

/// Sends all of `text`; false if the other side has closed the connection.
bool Send(const UniqueFd& fd, std::string_view text);
/// Sends all of `text`, and waits until the other side's kernel has it.
void Deliver(const UniqueFd& fd, std::string_view text);
/// Receives `size` bytes; fewer if the connection ends first.
std::string Receive(const UniqueFd& fd, size_t size);
/// Receives until the other side closes. None if it does not close, or resets the connection.
std::optional<std::string> ReceiveAll(const UniqueFd& fd);
/// How many packets with data have come.
[[nodiscard]] uint32_t PacketsReceived(const UniqueFd& fd);
/// Waits for the other side to close the connection; true if it does.
[[nodiscard]] bool AwaitClosed(const UniqueFd& fd);
/// True if there is something to read now (the end of the connection included).
[[nodiscard]] bool IsReadable(const UniqueFd& fd);

/// A port where nobody listens while this exists.
class ClosedPort {
 public:
  ClosedPort();
  [[nodiscard]] uint16_t port() const { return port_; }

 private:
  UniqueFd fd_;
  uint16_t port_ = 0;
};

/// A listener that never answers a connection attempt, because its queue is full.
class FullListener {
 public:
  FullListener();
  [[nodiscard]] uint16_t port() const { return socket_.port; }

 private:
  ListenSocket socket_;
  std::array<UniqueFd, 8> waiting_;
};

}  // namespace dockercoins
