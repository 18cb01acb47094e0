#include "common/connection_stream.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace dockercoins {
namespace {

using Clock = std::chrono::steady_clock;

/// A large body may take longer than a request's 10 s, as long as it comes at half a megabit a second.
constexpr uint64_t kMinBytesPerSecond = size_t{64} * 1024;
/// httplib reads lines byte by byte, which must not be a system call each.
constexpr size_t kLineBuffer = size_t{4} * 1024;

/// Waits for bytes on `fd`; false when the time is over.
bool AwaitInput(int fd, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd waiting{.fd = fd, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready >= 0) return ready > 0;
    if (errno != EINTR) return false;
  }
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
  connection_.received.resize(kLineBuffer);
  const ssize_t count = ReadSocket(connection_.received.data(), connection_.received.size());
  connection_.received.resize(static_cast<size_t>(std::max<ssize_t>(count, 0)));
  taken_ = 0;
  return count > 0 ? read(data, size) : count;
}

ssize_t ConnectionStream::ReadSocket(char* data, size_t size) {
  // "100 Continue" must be out before the client sends.
  if (!SendNow(connection_, std::exchange(connection_.answer.unsent, {}))) return -1;
  for (;;) {
    const ssize_t count = ::recv(connection_.fd.get(), data, size, MSG_DONTWAIT);
    if (count >= 0) {
      read_ += static_cast<uint64_t>(count);
      return count;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return -1;
    const auto deadline = connection_.deadline + std::chrono::milliseconds(read_ * 1000 / kMinBytesPerSecond);
    if (!AwaitInput(connection_.fd.get(), deadline)) return -1;
  }
}

ssize_t ConnectionStream::write(const char* data, size_t size) {
  connection_.answer.unsent.append(data, size);
  return static_cast<ssize_t>(size);
}

void ConnectionStream::get_remote_ip_and_port(std::string& ip, int& port) const {
  ip = connection_.record.client;
  port = 0;
}

void ConnectionStream::get_local_ip_and_port(std::string& ip, int& port) const {
  ip.clear();
  port = 0;
}

}  // namespace dockercoins
