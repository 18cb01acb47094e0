#include "common/listen.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "common/errors.h"

namespace dockercoins {
namespace {

/// Room for a thousand workers that connect at the same moment.
constexpr int kBacklog = 1024;

[[noreturn]] void Fail(const std::string& address, uint16_t port) {
  const int error = errno;
  throw StartError("cannot listen on port " + std::to_string(port) + " of " + address + ": " +
                   std::strerror(error));
}

}  // namespace

ListenSocket Listen(const std::string& address, uint16_t port) {
  sockaddr_in6 ipv6{};
  sockaddr_in ipv4{};
  const bool is_ipv6 = ::inet_pton(AF_INET6, address.c_str(), &ipv6.sin6_addr) == 1;
  const int family = is_ipv6 ? AF_INET6 : AF_INET;

  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd && errno == EAFNOSUPPORT && address == "::") return Listen("0.0.0.0", port);
  if (!fd) Fail(address, port);

  // SO_REUSEADDR: a restart need not wait for old connections. Not SO_REUSEPORT: two processes would share.
  const int on = 1;
  const int off = 0;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));

  const sockaddr* bind_address = nullptr;
  socklen_t size = 0;
  if (is_ipv6) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    ipv6.sin6_family = AF_INET6;
    ipv6.sin6_port = htons(port);
    bind_address = reinterpret_cast<const sockaddr*>(&ipv6);
    size = sizeof(ipv6);
  } else {
    ::inet_pton(AF_INET, address.c_str(), &ipv4.sin_addr);
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = htons(port);
    bind_address = reinterpret_cast<const sockaddr*>(&ipv4);
    size = sizeof(ipv4);
  }
  if (::bind(fd.get(), bind_address, size) != 0) Fail(address, port);
  if (::listen(fd.get(), kBacklog) != 0) Fail(address, port);

  sockaddr_in6 bound{};  // sin_port and sin6_port are at the same place.
  socklen_t bound_size = sizeof(bound);
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &bound_size) != 0) Fail(address, port);
  return {.fd = std::move(fd), .port = ntohs(bound.sin6_port)};
}

}  // namespace dockercoins
