#include "common/listener.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "common/socket.h"

namespace dockercoins {
namespace {

/// After the process ran out of descriptors or memory, and nothing could be closed.
constexpr auto kPause = std::chrono::milliseconds(20);
/// Bounded, so that many new connections leave time for the existing ones.
constexpr int kAtOnce = 64;

bool IsOutOfResources(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

Listener::Listener(EventLoop& loop, ListenSocket socket, Accepted accepted, CloseOne close_one)
    : EventHandler(loop),
      loop_(loop),
      socket_(std::move(socket.fd)),
      accepted_(std::move(accepted)),
      close_one_(std::move(close_one)) {
  loop_.Watch(socket_.get(), EPOLLIN, *this);
}

Listener::~Listener() { loop_.Unwatch(socket_.get()); }

bool Listener::HasSpare() {
  if (!spare_) spare_ = UniqueFd(::eventfd(0, EFD_CLOEXEC));
  return static_cast<bool>(spare_);
}

void Listener::OnEvent(int /*fd*/) {
  (void)HasSpare();
  for (int i = 0; i < kAtOnce; ++i) {
    std::string client;
    UniqueFd fd = Accept(client);
    // Without a free descriptor accept4 fails even when nobody waits; only epoll says that somebody does.
    if (!fd && i == 0 && IsOutOfResources(errno)) {
      if (FreeOne()) fd = Accept(client);
      if (!fd && IsOutOfResources(errno)) {
        loop_.Unwatch(socket_.get());
        SetDeadline(Clock::now() + kPause);
      }
    }
    if (!fd) return;
    accepted_(WatchedFd(loop_, std::move(fd)), std::move(client));
  }
}

void Listener::OnDeadline() { loop_.Watch(socket_.get(), EPOLLIN, *this); }

UniqueFd Listener::Accept(std::string& client) const {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  UniqueFd fd(
      ::accept4(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (fd) client = AddressText(address);
  return fd;
}

bool Listener::FreeOne() {
  if (close_one_()) return true;
  const bool had_spare = static_cast<bool>(spare_);
  spare_.Reset();
  return had_spare;
}

}  // namespace dockercoins
