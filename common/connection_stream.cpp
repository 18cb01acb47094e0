#include "common/connection_stream.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace dockercoins {
namespace {

using Clock = std::chrono::steady_clock;

/// The contract: a client that takes nothing of its answer for a second is cut off.
constexpr auto kWriteTimeout = std::chrono::seconds(1);
constexpr auto kProgressInterval = std::chrono::milliseconds(50);
/// A large body may take longer than a request's 10 s, as long as it comes at half a megabit a second.
constexpr uint64_t kMinBytesPerSecond = size_t{64} * 1024;
constexpr size_t kWriteSize = size_t{64} * 1024;

/// Waits for `events` on `fd`; false when the time is over.
bool Await(int fd, short events, Clock::duration timeout) {
  const auto deadline = Clock::now() + timeout;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd waiting{.fd = fd, .events = events, .revents = 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready >= 0) return ready > 0;
    if (errno != EINTR) return false;
  }
}

/// The bytes that the client's side has not acknowledged.
int Unacknowledged(int fd) {
  int bytes = 0;
  ::ioctl(fd, SIOCOUTQ, &bytes);
  return bytes;
}

/// Waits until the socket takes more; false when the client took nothing for kWriteTimeout.
bool AwaitWritable(int fd) {
  // A slow client frees less than what makes the socket writable again, so that poll alone would judge it
  // dead.
  int left = Unacknowledged(fd);
  for (auto progress = Clock::now(); Clock::now() - progress < kWriteTimeout;) {
    if (Await(fd, POLLOUT, kProgressInterval)) return true;
    if (const int now_left = Unacknowledged(fd); now_left < left) {
      left = now_left;
      progress = Clock::now();
    }
  }
  return false;
}

}  // namespace

ssize_t ConnectionStream::read(char* data, size_t size) {
  const std::string& received = connection_.received;
  if (taken_ < received.size()) {
    const size_t count = std::min(size, received.size() - taken_);
    std::copy_n(received.data() + taken_, count, data);
    taken_ += count;
    return static_cast<ssize_t>(count);
  }
  if (size > 1) return ReadSocket(data, size);
  // httplib reads lines byte by byte, which must not be a system call each.
  connection_.received.resize(kWriteSize / 16);
  const ssize_t count = ReadSocket(connection_.received.data(), connection_.received.size());
  connection_.received.resize(static_cast<size_t>(std::max<ssize_t>(count, 0)));
  taken_ = 0;
  return count > 0 ? read(data, size) : count;
}

ssize_t ConnectionStream::ReadSocket(char* data, size_t size) {
  // "100 Continue" must be out before the client sends.
  if (!Flush()) return -1;
  for (;;) {
    const ssize_t count = ::recv(connection_.fd.get(), data, size, MSG_DONTWAIT);
    if (count >= 0) {
      read_ += static_cast<uint64_t>(count);
      return count;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return -1;
    const auto deadline = connection_.deadline + std::chrono::milliseconds(read_ * 1000 / kMinBytesPerSecond);
    if (!Await(connection_.fd.get(), POLLIN, deadline - Clock::now())) return -1;
  }
}

ssize_t ConnectionStream::write(const char* data, size_t size) {
  if (failed_) return -1;
  constexpr std::string_view kVersion = "HTTP/1.1 ";
  const std::string_view text(data, size);
  if (!status_ && text.starts_with(kVersion)) {
    // httplib writes an answer's head as one piece, and the status line alone when it is "100 Continue".
    int status = 0;
    std::from_chars(text.data() + kVersion.size(), text.data() + text.size(), status);
    if (status >= 200) {
      status_ = status;
      head_bytes_ = sent_ + unsent_.size() + size;
    }
  }
  if (unsent_.size() + size > kWriteSize && !Flush()) return -1;
  if (size > kWriteSize) {
    if (!Send(data, size)) return -1;
  } else {
    unsent_.append(data, size);
  }
  return static_cast<ssize_t>(size);
}

bool ConnectionStream::Flush() {
  const std::string unsent = std::exchange(unsent_, {});
  return !failed_ && Send(unsent.data(), unsent.size());
}

bool ConnectionStream::Send(const char* data, size_t size) {
  while (size > 0) {
    const ssize_t count = ::send(connection_.fd.get(), data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count >= 0) {
      data += count;
      size -= static_cast<size_t>(count);
      sent_ += static_cast<uint64_t>(count);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      failed_ = !AwaitWritable(connection_.fd.get());
    } else if (errno != EINTR) {
      failed_ = true;
    }
    if (failed_) return false;
  }
  return true;
}

void ConnectionStream::get_remote_ip_and_port(std::string& ip, int& port) const {
  ip = connection_.client;
  port = 0;
}

void ConnectionStream::get_local_ip_and_port(std::string& ip, int& port) const {
  ip.clear();
  port = 0;
}

}  // namespace dockercoins
