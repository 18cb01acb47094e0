#include "common/http/connection.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace dockercoins {
namespace {

/// So much of an answer is in memory at a time.
constexpr size_t kPieceBytes = size_t{16} * 1024;

/// Makes the next piece of the body; false when the source does not give it.
bool Refill(OutgoingAnswer& answer) {
  const uint64_t left = answer.source_bytes - answer.source_from;
  const size_t before = answer.unsent.size();
  answer.unsent.resize(before + static_cast<size_t>(std::min<uint64_t>(left, kPieceBytes)));
  const size_t count =
      answer.source(answer.source_from, answer.unsent.data() + before, answer.unsent.size() - before);
  answer.unsent.resize(before + count);
  answer.source_from += count;
  return count > 0;
}

}  // namespace

bool HasLeft(const Connection& connection) {
  pollfd state{.fd = connection.fd.get(), .events = POLLRDHUP, .revents = 0};
  return ::poll(&state, 1, 0) > 0 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

std::optional<size_t> ReceiveNow(const Connection& connection, ReadBuffer& buffer) {
  const ssize_t count = ::recv(connection.fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count > 0) return static_cast<size_t>(count);
  if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return 0;
  return std::nullopt;
}

bool SendNow(const Connection& connection, std::string_view text) {
  const ssize_t sent = ::send(connection.fd.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent == static_cast<ssize_t>(text.size());
}

WriteResult WritePiece(Connection& connection) {
  OutgoingAnswer& answer = connection.answer;
  const auto more_to_come = [&] { return answer.source_from < answer.source_bytes; };
  if (more_to_come() && answer.unsent.size() < kPieceBytes && !Refill(answer)) return WriteResult::kBroken;
  // The end of the connection follows the last piece, in the same packet.
  const int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (more_to_come() ? 0 : MSG_MORE);
  const size_t size = answer.unsent.size() - answer.unsent_from;
  const ssize_t count = ::send(connection.fd.get(), answer.unsent.data() + answer.unsent_from, size, flags);
  if (count < 0) {
    const bool later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    return later ? WriteResult::kMore : WriteResult::kBroken;
  }
  answer.sent += static_cast<uint64_t>(count);
  answer.unsent_from += static_cast<size_t>(count);
  if (answer.unsent_from < answer.unsent.size()) return WriteResult::kMore;
  answer.unsent.clear();
  answer.unsent_from = 0;
  return more_to_come() ? WriteResult::kMore : WriteResult::kDone;
}

uint64_t AcknowledgedBytes(const Connection& connection) {
  int queued = 0;
  ::ioctl(connection.fd.get(), SIOCOUTQ, &queued);
  return connection.answer.sent - std::min(connection.answer.sent, static_cast<uint64_t>(queued));
}

bool HasUnreadInput(const Connection& connection) {
  int bytes = 0;
  return ::ioctl(connection.fd.get(), FIONREAD, &bytes) != 0 || bytes > 0;
}

}  // namespace dockercoins
