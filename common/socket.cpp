#include "common/socket.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <string_view>

namespace dockercoins {

std::optional<size_t> ReceiveNow(int fd, ReadBuffer& buffer) {
  const ssize_t count = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count > 0) return static_cast<size_t>(count);
  if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return 0;
  return std::nullopt;
}

std::optional<size_t> DropInput(int fd) {
  ReadBuffer buffer;  // NOLINT: 16 KiB need no zeroes
  return ReceiveNow(fd, buffer);
}

bool HasUnreadInput(int fd) {
  int bytes = 0;
  return ::ioctl(fd, FIONREAD, &bytes) != 0 || bytes > 0;
}

size_t UnacknowledgedBytes(int fd) {
  int bytes = 0;
  ::ioctl(fd, SIOCOUTQ, &bytes);
  return static_cast<size_t>(bytes);
}

bool IsReset(int fd) {
  pollfd state{.fd = fd, .events = 0, .revents = 0};
  return ::poll(&state, 1, 0) > 0;
}

void ResetOnClose(int fd) {
  const linger reset{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
}

std::string AddressText(const sockaddr_storage& address) {
  constexpr std::string_view kMapped = "::ffff:";
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = address.ss_family == AF_INET
                          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in&>(address).sin_addr)
                          : &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  ::inet_ntop(address.ss_family, bytes, text.data(), text.size());
  const std::string_view whole = text.data();
  const bool is_ipv4 = whole.starts_with(kMapped) && whole.find('.') != std::string_view::npos;
  return std::string(is_ipv4 ? whole.substr(kMapped.size()) : whole);
}

}  // namespace dockercoins
