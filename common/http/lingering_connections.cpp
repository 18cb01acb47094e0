#include "common/http/lingering_connections.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <memory>
#include <utility>

#include "common/socket.h"

namespace dockercoins {

LingeringConnection::LingeringConnection(LingeringConnections& in, WatchedFd socket)
    : Connection(in.loop_, in.budget_, std::move(socket)), stage(in) {
  ::shutdown(fd.get(), SHUT_WR);
  SetDeadline(Clock::now() + in.limits_.time);
  fd.Watch(EPOLLIN, *this);
}

void LingeringConnection::OnEvent(int /*fd*/) {
  ReadBuffer buffer;  // NOLINT: 16 KiB need no zeroes
  if (!ReceiveNow(fd.get(), buffer)) OnDeadline();
}

void LingeringConnection::OnDeadline() { stage.lingering_.Take(*this); }

void LingeringConnections::Add(WatchedFd fd) {
  lingering_.Add(std::make_unique<LingeringConnection>(*this, std::move(fd)));
  if (lingering_.size() > limits_.connections) CloseOldest();
}

}  // namespace dockercoins
