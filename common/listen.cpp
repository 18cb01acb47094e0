#include "common/listen.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>

#include "common/errors.h"

namespace dockercoins {
namespace {

/// Room for a thousand workers that connect at the same moment.
constexpr int kBacklog = 1024;

[[noreturn]] void Fail(const std::string& address, uint16_t port) {
  const int error = errno;
  throw StartError("cannot listen on port " + std::to_string(port) + " of " + address + ": " +
                   SystemText(error));
}

}  // namespace

ListenSocket Listen(const std::string& address, uint16_t port) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int error = ::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &list);
      error != 0)
    throw StartError("cannot listen on " + address + ": " + ::gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> where(list, &::freeaddrinfo);

  UniqueFd fd(::socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd && errno == EAFNOSUPPORT && address == "::") return Listen("0.0.0.0", port);
  if (!fd) Fail(address, port);

  // SO_REUSEADDR: a restart need not wait for old connections. Not SO_REUSEPORT: two processes would share.
  const int on = 1;
  const int off = 0;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (where->ai_family == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  if (::bind(fd.get(), where->ai_addr, where->ai_addrlen) != 0) Fail(address, port);
  if (::listen(fd.get(), kBacklog) != 0) Fail(address, port);

  sockaddr_in6 bound{};  // sin_port and sin6_port are at the same place.
  socklen_t bound_size = sizeof(bound);
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &bound_size) != 0) Fail(address, port);
  return {.fd = std::move(fd), .port = ntohs(bound.sin6_port)};
}

}  // namespace dockercoins
