#include "common/http/waiting_clients.h"

#include <sys/epoll.h>

#include <cerrno>
#include <iterator>
#include <utility>

#include "common/socket.h"

namespace dockercoins {
namespace {

/// The memory of one waiting client besides its request: this stage's object, and what the loop keeps.
constexpr size_t kConnectionBytes = 320;

}  // namespace

WaitingClient::WaitingClient(WaitingClients& clients, EventLoop& loop, Budget& budget, WatchedFd fd,
                             const Request& request, bool may_still_send)
    : EventHandler(loop),
      clients_(clients),
      fd_(std::move(fd)),
      request_(&request),
      may_still_send_(may_still_send),
      share_(budget) {
  share_.Set(kConnectionBytes + request.bytes);
  fd_.Watch(EPOLLIN, *this);
}

void WaitingClient::OnEvent(int fd) {
  ReadBuffer buffer;  // NOLINT: 16 KiB need no zeroes
  const auto count = ReceiveNow(fd, buffer);
  if (count) {
    if (*count > 0) may_still_send_ = true;
    return;
  }
  const bool is_reset = IsReset(fd);
  // There is nothing more to be read; a reset is always reported.
  fd_.Watch(is_reset ? static_cast<uint32_t>(EPOLLET) : 0U, *this);
  const bool half_closed = !is_reset && Clock::now() - since_ < WaitingClients::kHalfCloseTime;
  if (!half_closed && clients_.left_) clients_.left_(request_);
}

WaitingClients::WaitingClients(EventLoop& loop, Budget& budget, Left left)
    : loop_(loop), budget_(budget), left_(std::move(left)) {}

WaitingClient& WaitingClients::Add(WatchedFd fd, const Request& request, bool may_still_send) {
  auto& added = *clients_.emplace_back(
      std::make_unique<WaitingClient>(*this, loop_, budget_, std::move(fd), request, may_still_send));
  added.place_ = std::prev(clients_.end());
  return added;
}

WaitingClients::Taken WaitingClients::Take(WaitingClient& client) {
  Taken taken{.fd = std::move(client.fd_), .may_still_send = client.may_still_send_};
  clients_.erase(client.place_);
  return taken;
}

}  // namespace dockercoins
