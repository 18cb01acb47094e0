#include "common/connection.h"

#include <poll.h>
#include <sys/socket.h>

namespace dockercoins {

bool HasLeft(const Connection& connection) {
  pollfd state{.fd = connection.fd.get(), .events = POLLRDHUP, .revents = 0};
  return ::poll(&state, 1, 0) > 0 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

bool SendNow(const Connection& connection, std::string_view text) {
  const ssize_t sent = ::send(connection.fd.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent == static_cast<ssize_t>(text.size());
}

}  // namespace dockercoins
