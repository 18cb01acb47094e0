#include "common/http/waiting_clients.h"

#include <cstdint>
#include <utility>

#include "common/socket.h"

namespace dockercoins {

WaitingClient::WaitingClient(EventLoop& loop, Budget& budget, WatchedFd socket, const Request& of,
                             bool may_send, const Left& left)
    : Connection(loop, budget, std::move(socket)), may_still_send(may_send), request_(&of), left_(left) {
  Holds(sizeof(*this) + of.bytes);
  fd.Watch(EPOLLIN, *this);
}

void WaitingClient::OnEvent(int /*fd*/) {
  const auto count = DropInput(fd.get());
  may_still_send |= count.value_or(0) > 0;
  if (count) return;
  const bool is_reset = IsReset(fd.get());
  // There is nothing more to be read; but a reset is always reported.
  fd.Watch(is_reset ? static_cast<uint32_t>(EPOLLET) : 0U, *this);
  const bool half_closed = !is_reset && Clock::now() - since_ < kHalfCloseTime;
  if (!half_closed && left_) left_(request_);
}

}  // namespace dockercoins
