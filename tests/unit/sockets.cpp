#include "tests/unit/sockets.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>
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

/// Receives up to `size` bytes; 0 at the end of the connection, negative when it was reset or nothing came.
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

bool AwaitClosed(const UniqueFd& fd) {
  std::array<char, 4096> buffer{};
  for (;;) {
    if (!AwaitReadable(fd.get(), kPatienceMs)) return false;
    if (::recv(fd.get(), buffer.data(), buffer.size(), 0) <= 0) return true;
  }
}

bool IsReadable(const UniqueFd& fd) { return AwaitReadable(fd.get(), 0); }

ClosedPort::ClosedPort(const std::string& address, uint16_t port) : fd_(TcpSocket()) {
  sockaddr_in bound = Loopback(port);
  socklen_t size = sizeof(bound);
  Check(::inet_pton(AF_INET, address.c_str(), &bound.sin_addr) == 1, "inet_pton");
  Check(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&bound), size) == 0, "bind");
  Check(::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&bound), &size) == 0, "getsockname");
  port_ = ntohs(bound.sin_port);
}

FullListener::FullListener(const std::string& address, uint16_t port) : socket_(Listen(address, port)) {
  Check(::listen(socket_.fd.get(), 0) == 0, "listen");
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  Check(::getsockname(socket_.fd.get(), reinterpret_cast<sockaddr*>(&bound), &size) == 0, "getsockname");
  for (UniqueFd& fd : waiting_) {
    fd = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&bound), size);
    // The kernel answers in its own time; one that is still unanswered by then stays so.
    pollfd waiting{.fd = fd.get(), .events = POLLOUT, .revents = 0};
    ::poll(&waiting, 1, 20);
  }
}

FakeServer::FakeServer(std::function<void(const UniqueFd&)> serve, const std::string& address, uint16_t port)
    : serve_(std::move(serve)),
      socket_(Listen(address, port)),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {}

FakeServer::~FakeServer() {
  thread_.request_stop();
  ::shutdown(socket_.fd.get(), SHUT_RDWR);
}

void FakeServer::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    AwaitReadable(socket_.fd.get(), kPatienceMs);
    const UniqueFd connection(::accept4(socket_.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection) serve_(connection);
  }
}

std::string ReceiveRequest(const UniqueFd& fd) {
  constexpr std::string_view kHeadEnd = "\r\n\r\n";
  constexpr std::string_view kLength = "Content-Length: ";
  std::string request;
  while (!request.ends_with(kHeadEnd)) {
    const std::string byte = Receive(fd, 1);
    if (byte.empty()) return request;
    request += byte;
  }
  const size_t length = request.find(kLength);
  if (length == std::string::npos) return request;
  return request + Receive(fd, std::strtoull(request.c_str() + length + kLength.size(), nullptr, 10));
}

}  // namespace dockercoins
