#pragma once

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "common/listen.h"
#include "common/unique_fd.h"
#include "common/wait.h"
#include "tests/unit/timing.h"

namespace dockercoins {

// Sockets for tests, over loopback. A failure of these helpers is a std::runtime_error, which fails the test.
// Reading gives up when nothing comes for as long as kPatience.

inline void Require(bool success, const char* what) {
  if (!success) throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
}

/// A new TCP socket, not yet connected.
inline UniqueFd TcpSocket(int flags = 0) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  Require(static_cast<bool>(fd), "socket");
  return fd;
}

/// Connects `fd` to a port of 127.0.0.1; false if that is refused.
[[nodiscard]] inline bool Connect(const UniqueFd& fd, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

/// A connection to a port of 127.0.0.1.
inline UniqueFd ConnectTo(uint16_t port) {
  UniqueFd fd = TcpSocket();
  Require(Connect(fd, port), "connect");
  return fd;
}

/// True if there is something to read within `time` (the end of the connection included).
[[nodiscard]] inline bool IsReadable(const UniqueFd& fd, Stopwatch::Clock::duration time = {}) {
  return PollUntil(fd.get(), POLLIN, Stopwatch::Clock::now() + time) != 0;
}

/// The next connection to it.
inline UniqueFd Accept(const ListenSocket& listener) {
  (void)IsReadable(listener.fd, kPatience);
  return UniqueFd(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
}

/// Sends all of `text`; false if the other side has closed the connection.
inline bool Send(const UniqueFd& fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    text.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

/// Sends all of `text`, and waits until the other side's kernel has it.
inline void Deliver(const UniqueFd& fd, std::string_view text) {
  Require(Send(fd, text), "send");
  const bool delivered = Eventually([&] {
    int on_the_way = 0;
    ::ioctl(fd.get(), SIOCOUTQ, &on_the_way);
    return on_the_way == 0;
  });
  Require(delivered, "deliver");
}

/// Receives `size` bytes; fewer if the connection ends first.
inline std::string Receive(const UniqueFd& fd, size_t size) {
  std::string text(size, '\0');
  size_t have = 0;
  while (have < size && IsReadable(fd, kPatience)) {
    const ssize_t count = ::recv(fd.get(), text.data() + have, size - have, 0);
    if (count <= 0) break;
    have += static_cast<size_t>(count);
  }
  text.resize(have);
  return text;
}

/// Receives until the other side closes. None if it does not close, or resets the connection.
inline std::optional<std::string> ReceiveAll(const UniqueFd& fd) {
  std::string text;
  std::array<char, size_t{64} * 1024> buffer{};
  while (IsReadable(fd, kPatience)) {
    const ssize_t count = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (count == 0) return text;
    if (count < 0) break;
    text.append(buffer.data(), static_cast<size_t>(count));
  }
  return std::nullopt;
}

/// How many packets with data have come: tcpi_data_segs_in of the kernel's tcp_info, which glibc's lacks.
[[nodiscard]] inline uint32_t PacketsReceived(const UniqueFd& fd) {
  std::array<uint32_t, 39> info{};
  socklen_t size = sizeof(info);
  Require(::getsockopt(fd.get(), IPPROTO_TCP, TCP_INFO, info.data(), &size) == 0, "getsockopt");
  return info.back();
}

/// Waits for the other side to close the connection, or to reset it; true if it does.
[[nodiscard]] inline bool AwaitClosed(const UniqueFd& fd) {
  std::array<char, 4096> buffer{};
  while (IsReadable(fd, kPatience)) {
    if (::recv(fd.get(), buffer.data(), buffer.size(), 0) <= 0) return true;
  }
  return false;
}

}  // namespace dockercoins
