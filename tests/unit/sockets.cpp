#include "tests/unit/sockets.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "tests/unit/eventually.h"

namespace dockercoins {
namespace {

constexpr int kPatienceMs = static_cast<int>(std::chrono::milliseconds(kPatience).count());

void Check(bool success, const char* what) {
  if (!success) throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
}

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

bool AwaitReadable(int fd, int timeout_ms) {
  pollfd waiting{.fd = fd, .events = POLLIN, .revents = 0};
  int ready = 0;
  do {
    ready = ::poll(&waiting, 1, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

/// Receives up to `size` bytes; 0 at the end of the connection, negative if it was reset or nothing came.
ssize_t ReceiveSome(int fd, char* data, size_t size) {
  if (!AwaitReadable(fd, kPatienceMs)) return -1;
  return ::recv(fd, data, size, 0);
}

}  // namespace

UniqueFd TcpSocket() {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Check(static_cast<bool>(fd), "socket");
  return fd;
}

bool Connect(const UniqueFd& fd, uint16_t port) {
  const sockaddr_in address = Loopback(port);
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

UniqueFd ConnectTo(uint16_t port) {
  UniqueFd fd = TcpSocket();
  Check(Connect(fd, port), "connect");
  return fd;
}

UniqueFd Accept(const ListenSocket& listener) {
  AwaitReadable(listener.fd.get(), kPatienceMs);
  return UniqueFd(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
}

bool Send(const UniqueFd& fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    text.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

void Deliver(const UniqueFd& fd, std::string_view text) {
  Check(Send(fd, text), "send");
  const bool delivered = Eventually([&] {
    int on_the_way = 0;
    ::ioctl(fd.get(), SIOCOUTQ, &on_the_way);
    return on_the_way == 0;
  });
  Check(delivered, "deliver");
}

std::string Receive(const UniqueFd& fd, size_t size) {
  std::string text(size, '\0');
  size_t have = 0;
  while (have < size) {
    const ssize_t count = ReceiveSome(fd.get(), text.data() + have, size - have);
    if (count <= 0) break;
    have += static_cast<size_t>(count);
  }
  text.resize(have);
  return text;
}

std::optional<std::string> ReceiveAll(const UniqueFd& fd) {
  std::string text;
  std::array<char, size_t{64} * 1024> buffer{};
  ssize_t count = 0;
  while ((count = ReceiveSome(fd.get(), buffer.data(), buffer.size())) > 0) {
    text.append(buffer.data(), static_cast<size_t>(count));
  }
  if (count < 0) return std::nullopt;
  return text;
}

uint32_t PacketsReceived(const UniqueFd& fd) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  Check(::getsockopt(fd.get(), IPPROTO_TCP, TCP_INFO, &info, &size) == 0, "getsockopt");
  return info.tcpi_data_segs_in;
}

bool AwaitClosed(const UniqueFd& fd) {
  std::array<char, 4096> buffer{};
  for (;;) {
    if (!AwaitReadable(fd.get(), kPatienceMs)) return false;
    if (::recv(fd.get(), buffer.data(), buffer.size(), 0) <= 0) return true;
  }
}

bool IsReadable(const UniqueFd& fd) { return AwaitReadable(fd.get(), 0); }

ClosedPort::ClosedPort() : fd_(TcpSocket()) {
  sockaddr_in bound = Loopback(0);
  socklen_t size = sizeof(bound);
  Check(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&bound), size) == 0, "bind");
  Check(::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&bound), &size) == 0, "getsockname");
  port_ = ntohs(bound.sin_port);
}

FullListener::FullListener() : socket_(Listen("127.0.0.1", 0)) {
  Check(::listen(socket_.fd.get(), 0) == 0, "listen");
  const sockaddr_in bound = Loopback(port());
  for (UniqueFd& fd : waiting_) {
    fd = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&bound), sizeof(bound));
    // Wait for the kernel's reply. A connection without one by then gets none.
    pollfd waiting{.fd = fd.get(), .events = POLLOUT, .revents = 0};
    ::poll(&waiting, 1, 20);
  }
}

}  // namespace dockercoins
