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

// Sockets for tests, over loopback. A failure of the machinery itself is a std::runtime_error, which fails
// the test that it happens in. Reading gives up when nothing comes for as long as a test has patience.

/// A new TCP socket, not yet connected.
UniqueFd TcpSocket();
/// Connects `fd` to a port of 127.0.0.1; false when that is refused.
[[nodiscard]] bool Connect(const UniqueFd& fd, uint16_t port);
/// A connection to a port of 127.0.0.1.
UniqueFd ConnectTo(uint16_t port);

/// The next connection that somebody makes to it.
UniqueFd Accept(const ListenSocket& listener);

/// Sends all of `text`; false when the other side has closed the connection.
bool Send(const UniqueFd& fd, std::string_view text);
/// Sends all of `text`, and waits until the other side's kernel has it.
void Deliver(const UniqueFd& fd, std::string_view text);
/// Receives exactly `size` bytes; fewer when the connection ends before.
std::string Receive(const UniqueFd& fd, size_t size);
/// Receives what comes until the other side closes. Nothing when it does not close, or resets the connection.
std::optional<std::string> ReceiveAll(const UniqueFd& fd);
/// True when the other side has closed the connection, after waiting for that.
[[nodiscard]] bool AwaitClosed(const UniqueFd& fd);
/// True when there is something to read now (the other side's closing is, too).
[[nodiscard]] bool IsReadable(const UniqueFd& fd);

/// A port where nobody listens, and nobody will as long as this lives.
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
