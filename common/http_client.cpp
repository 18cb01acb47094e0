#include "common/http_client.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "common/wait.h"

namespace dockercoins {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kConnectTimeout = std::chrono::seconds(10);  // In all; one address gets at most one second.
constexpr size_t kMaxHead = size_t{16} * 1024;
constexpr uint16_t kHttpPort = 80;

/// A connection as httplib sees it: what it writes is sent when it begins to read, head and body in one
/// packet, so that the server wakes up once. It reads only heads that are complete, final and small enough.
class Connection final : public httplib::Stream {
 public:
  /// Does not own `fd`.
  Connection(int fd, Clock::time_point deadline, size_t max_body)
      : fd_(fd), deadline_(deadline), left_(kMaxHead + kMaxBytesPerByte * max_body) {}

  ssize_t write(const char* data, size_t size) override {
    unsent_.append(data, size);
    return static_cast<ssize_t>(size);
  }

  ssize_t read(char* data, size_t size) override {
    if (!has_head_) {
      if (!SendRequest() || !ReceiveHead()) return -1;
      has_head_ = true;
    }
    if (read_ == received_.size()) {
      received_.clear();
      read_ = 0;
      const ssize_t count = Receive();
      if (count <= 0) return count;
    }
    const size_t count = std::min({size, received_.size() - read_, left_});
    if (count == 0) {
      Fail("its response is too large");
      return -1;
    }
    received_.copy(data, count, read_);
    read_ += count;
    left_ -= count;
    return static_cast<ssize_t>(count);
  }

  /// Why it could not be written or read.
  [[nodiscard]] const char* failure() const { return failure_; }

  [[nodiscard]] bool is_readable() const override { return true; }
  [[nodiscard]] bool is_writable() const override { return true; }
  void get_remote_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  void get_local_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  [[nodiscard]] socket_t socket() const override { return fd_; }

 private:
  static constexpr size_t kMaxBytesPerByte = 8;  // In a chunk of its own, a byte takes six.

  bool Fail(const char* reason) {
    failure_ = reason;
    return false;
  }

  bool Await(short events) {
    // Not PollUntil alone: what is always ready would have no deadline.
    if (Clock::now() < deadline_ && PollUntil(fd_, events, deadline_) != 0) return true;
    return Fail("no complete response in time");
  }

  bool SendRequest() {
    for (std::string_view rest = unsent_; !rest.empty();) {
      const ssize_t count = ::send(fd_, rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count >= 0) {
        rest.remove_prefix(static_cast<size_t>(count));
      } else if (errno != EAGAIN) {
        return Fail("the connection broke while the request was sent");
      } else if (!Await(POLLOUT)) {
        return false;
      }
    }
    return true;
  }

  /// Receives until there is the head of a response that is not an interim one.
  bool ReceiveHead() {
    constexpr std::string_view kProtocol = "HTTP/1.";
    constexpr std::string_view kEnd = "\r\n\r\n";
    constexpr size_t kStatusAt = std::string_view("HTTP/1.1 ").size();
    for (;;) {
      const size_t end = received_.find(kEnd);
      const size_t size = end == std::string::npos ? received_.size() : end + kEnd.size();
      if (size > kMaxHead) return Fail("its response's head is larger than 16 KiB");
      if (!received_.starts_with(kProtocol.substr(0, size))) return Fail("its response is not HTTP/1");
      if (end == std::string::npos) {
        if (Receive() <= 0) return false;
      } else if (received_[kStatusAt] == '1' && received_.compare(kStatusAt, 3, "101") != 0) {
        received_.erase(0, size);
      } else {
        return true;
      }
    }
  }

  /// Appends to what is received. Returns how many bytes, 0 at the end, or negative.
  ssize_t Receive() {
    if (!Await(POLLIN)) return -1;
    std::array<char, 4096> piece{};
    const ssize_t count = ::recv(fd_, piece.data(), piece.size(), MSG_DONTWAIT);
    if (count > 0) {
      received_.append(piece.data(), static_cast<size_t>(count));
    } else {
      Fail("the connection broke before the response was complete");
    }
    return count;
  }

  const int fd_;
  const Clock::time_point deadline_;
  std::string unsent_;
  std::string received_;
  size_t read_ = 0;  ///< So many bytes of received_.
  size_t left_;      ///< How much httplib may still read.
  bool has_head_ = false;
  const char* failure_ = "its response could not be read";
};

/// httplib's client for a connection that it has not made; its public functions make their own.
struct ConnectedClient : httplib::ClientImpl {
  using ClientImpl::ClientImpl;
  using ClientImpl::process_request;
};

}  // namespace

httplib::Response HttpClient::Get(std::string path, const Limits& limits, const std::stop_token& stop) {
  httplib::Request request;
  request.method = "GET";
  request.path = std::move(path);
  return Send(std::move(request), limits, stop);
}

httplib::Response HttpClient::Send(httplib::Request request, const Limits& limits,
                                   const std::stop_token& stop) {
  const Endpoint& server = Server();
  const auto deadline = Clock::now() + limits.time;
  // One that has something to say is being closed.
  UniqueFd fd = kept_ && PollUntil(kept_.get(), POLLIN, Clock::now()) == 0
                    ? std::exchange(kept_, {})
                    : dialer_.Dial(std::min<std::chrono::milliseconds>(limits.time, kConnectTimeout), stop);
  const std::stop_callback interrupt(stop, [raw = fd.get()] { ::shutdown(raw, SHUT_RDWR); });
  Connection connection(fd.get(), deadline, limits.body);

  httplib::Response response;
  // httplib would leave out the brackets of an IPv6 address.
  request.set_header("Host", server.port == kHttpPort ? server.HostText() : server.ToString());
  request.response_handler = [&](const auto&) { return limits.body > 0 && response.status / 100 == 2; };
  request.content_receiver = [&](const char* data, size_t count, auto&&...) {
    response.body.append(data, std::min(count, limits.body + 1 - response.body.size()));
    return response.body.size() <= limits.body;
  };
  ConnectedClient client(server.host, server.port);
  client.set_url_encode(false);
  auto error = httplib::Error::Success;
  const bool complete = client.process_request(connection, request, response, !limits.keep, error);

  const auto fail = [&](const std::string& reason) {
    throw std::runtime_error(server.ToString() + ": " + reason);
  };
  if (response.body.size() > limits.body)
    fail("it responded with more than " + std::to_string(limits.body) + " bytes");
  if (!complete && error != httplib::Error::Canceled) fail(connection.failure());
  if (limits.keep && complete && !response.has_header("Connection")) kept_ = std::move(fd);
  return response;
}

}  // namespace dockercoins
