#include "common/dial.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace dockercoins {
namespace {

using Clock = std::chrono::steady_clock;

/// A resolved address, ready for connect().
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

/// A lookup under way, shared with the thread that does it.
struct Lookup {
  std::mutex mutex;
  std::condition_variable_any finished;
  bool done = false;
  int error = 0;
  std::vector<SocketAddress> addresses;
};

std::string LowerCaseFirst(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

std::vector<SocketAddress> ToAddresses(const addrinfo* list) {
  std::vector<SocketAddress> addresses;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    SocketAddress address;
    address.size = entry->ai_addrlen;
    std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
    addresses.push_back(address);
  }
  return addresses;
}

/// getaddrinfo; returns its error code.
int LookUp(const Endpoint& server, int flags, std::vector<SocketAddress>& addresses) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(server.host.c_str(), std::to_string(server.port).c_str(), &hints, &list);
  if (error != 0) return error;
  addresses = ToAddresses(list);
  ::freeaddrinfo(list);
  return 0;
}

/// Waits until the connection attempt on `fd` is over; returns its errno, 0 for success.
int AwaitConnection(int fd, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd waiting{.fd = fd, .events = POLLOUT, .revents = 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return errno;
    if (ready == 0) return ETIMEDOUT;
    int error = 0;
    socklen_t size = sizeof(error);
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    // A stop shuts the socket down: ready, without an error, and not connected.
    if (error == 0 && (waiting.revents & POLLHUP) != 0) error = ECONNABORTED;
    return error;
  }
}

/// Connects to one address; returns no descriptor and sets `error` on failure.
UniqueFd Connect(const SocketAddress& address, Clock::time_point deadline, const std::stop_token& stop,
                 int& error) {
  UniqueFd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) {
    error = errno;
    return {};
  }
  error = 0;
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0)
    error = errno;
  if (error == EINPROGRESS) {
    const std::stop_callback interrupt(stop, [&fd] { ::shutdown(fd.get(), SHUT_RDWR); });
    error = AwaitConnection(fd.get(), deadline);
  }
  if (error != 0) return {};
  const int flags = ::fcntl(fd.get(), F_GETFL);
  ::fcntl(fd.get(), F_SETFL, flags & ~O_NONBLOCK);
  return fd;
}

/// The addresses of `server`, asked anew each time, in getaddrinfo's order.
std::vector<SocketAddress> Resolve(const Endpoint& server, Clock::time_point deadline,
                                   const std::stop_token& stop) {
  std::vector<SocketAddress> addresses;
  // An address needs no name server, and no thread.
  if (LookUp(server, AI_NUMERICHOST, addresses) == 0) return addresses;

  const auto lookup = std::make_shared<Lookup>();
  std::thread([lookup, server] {
    std::vector<SocketAddress> found;
    const int error = LookUp(server, 0, found);
    const std::lock_guard lock(lookup->mutex);
    lookup->done = true;
    lookup->error = error;
    lookup->addresses = std::move(found);
    lookup->finished.notify_all();
  }).detach();
  std::unique_lock lock(lookup->mutex);
  lookup->finished.wait_until(lock, stop, deadline, [&] { return lookup->done; });
  if (stop.stop_requested()) throw UnreachableError(server, "interrupted");
  if (!lookup->done) throw UnreachableError(server, "name resolution timed out");
  if (lookup->error != 0) throw UnreachableError(server, LowerCaseFirst(::gai_strerror(lookup->error)));
  return std::move(lookup->addresses);
}

}  // namespace

UniqueFd Dial(const Endpoint& server, std::chrono::milliseconds timeout, std::stop_token stop) {
  const auto deadline = Clock::now() + timeout;
  std::vector<SocketAddress> addresses = Resolve(server, deadline, stop);
  std::shuffle(addresses.begin(), addresses.end(), std::minstd_rand(std::random_device()()));
  int error = EADDRNOTAVAIL;
  for (size_t i = 0; i < addresses.size() && !stop.stop_requested(); ++i) {
    // One dead replica must not use up the time of the others.
    const auto now = Clock::now();
    const auto share = (deadline - now) / static_cast<int>(addresses.size() - i);
    UniqueFd fd = Connect(addresses[i], now + share, stop, error);
    if (fd) return fd;
  }
  throw UnreachableError(server, stop.stop_requested() ? "interrupted" : ErrorText(error));
}

std::string ErrorText(int error) { return LowerCaseFirst(std::strerror(error)); }

}  // namespace dockercoins
