#include "common/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/exchange.h"
#include "common/settings.h"

namespace dockercoins {
namespace {

/// The contract: a request has 10 s to arrive.
constexpr auto kArrivalTime = std::chrono::seconds(10);
/// While a request stood in line, the rest of it could not be read: it has this long at least to go on.
constexpr auto kTimeToGoOn = std::chrono::seconds(1);
/// The contract: after a refusal, the rest of the request is read and dropped for up to a second.
constexpr auto kLingerTime = std::chrono::seconds(1);
/// The contract: a stop lets what is being served finish if that takes less than half a second.
constexpr auto kGrace = std::chrono::milliseconds(500);
/// What a stop interrupts has this long to tell its client, before the connection is cut.
constexpr auto kTimeToRefuse = std::chrono::milliseconds(100);
/// After the process ran out of descriptors or memory for connections.
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

/// Room for a thousand workers in line, and as many browsers; beyond it the oldest that is not complete must
/// go.
constexpr size_t kMaxParked = 2048;
constexpr size_t kMaxParkedBytes = size_t{2} * 1024 * 1024;
/// A request up to this size, body included, is complete before it is served; a larger one is read by a
/// server's thread.
constexpr size_t kMaxBufferedRequest = size_t{16} * 1024;

constexpr int kServiceUnavailable = 503;
constexpr int kRequestTimeout = 408;

UniqueFd Checked(int fd, const char* what) {
  if (fd < 0) throw StartError(std::string(what) + ": " + std::strerror(errno));
  return UniqueFd(fd);
}

std::string AddressText(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    const auto& ipv4 = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &ipv4.sin_addr, text.data(), text.size());
  } else {
    const auto& ipv6 = reinterpret_cast<const sockaddr_in6&>(address);
    if (IN6_IS_ADDR_V4MAPPED(&ipv6.sin6_addr)) {
      constexpr size_t kPrefix = 12;
      ::inet_ntop(AF_INET, ipv6.sin6_addr.s6_addr + kPrefix, text.data(), text.size());
    } else {
      ::inet_ntop(AF_INET6, &ipv6.sin6_addr, text.data(), text.size());
    }
  }
  return text.data();
}

void Watch(int epoll, int fd, void* whose) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = whose;
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

}  // namespace

HttpServer::HttpServer(ListenSocket socket, const Options& options, HttpHandler& handler, Log& log)
    : options_(options),
      socket_(std::move(socket)),
      access_log_(options.log_access ? &log : nullptr, options.metrics),
      epoll_(Checked(::epoll_create1(EPOLL_CLOEXEC), "epoll")),
      wake_(Checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      queue_(
          options.threads,
          [this, &handler, &log] {
            return [this, exchange = std::make_shared<Exchange>(handler, log, access_log_, cut_.get_token())](
                       Connection& connection) { Serve(*exchange, connection); };
          },
          [this](std::unique_ptr<Connection> connection) { GiveBack(std::move(connection)); },
          options.metrics == nullptr ? Gauge() : options.metrics->Waiting()) {
  Watch(epoll_.get(), socket_.fd.get(), &socket_);
  Watch(epoll_.get(), wake_.get(), &wake_);
}

HttpServer::~HttpServer() {
  if (thread_.joinable()) Stop();
}

void HttpServer::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void HttpServer::Stop() {
  const auto deadline = Clock::now() + kGrace;
  thread_.request_stop();
  ::eventfd_write(wake_.get(), 1);
  thread_.join();
  for (const auto& connection : queue_.Stop()) {
    Answer(*connection, kServiceUnavailable, "the service is stopping");
  }
  if (!queue_.AwaitIdle(deadline)) {
    cut_.request_stop();
    if (!queue_.AwaitIdle(Clock::now() + kTimeToRefuse)) queue_.CutOff();
  }
}

void HttpServer::Run(const std::stop_token& stop) {
  std::array<epoll_event, 64> events{};
  while (!stop.stop_requested()) {
    const int count =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), NextTimeoutMs());
    for (int i = 0; i < count; ++i) {
      void* whose = events.at(static_cast<size_t>(i)).data.ptr;
      if (whose == &socket_) {
        Accept();
      } else if (whose == &wake_) {
        TakeBackServed();
      } else if (auto& connection = *static_cast<Connection*>(whose); !connection.fd) {
        continue;  // Closed by an event before this one.
      } else if (connection.lingering) {
        DropInput(connection);
      } else {
        ReadRequest(connection);
      }
    }
    MakeRoom();
    CloseExpired();
    closed_.clear();
  }
  socket_.fd.Reset();
  parked_.clear();
  lingering_.clear();
  const std::lock_guard lock(served_mutex_);
  stopped_ = true;
  served_.clear();
}

int HttpServer::NextTimeoutMs() const {
  auto next = Clock::time_point::max();
  if (!parked_.empty()) next = std::min(next, parked_.front()->deadline);
  if (!lingering_.empty()) next = std::min(next, lingering_.front()->deadline);
  if (!accepting_) next = std::min(next, resume_accepting_);
  if (next == Clock::time_point::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now());
  return static_cast<int>(std::max<int64_t>(left.count(), 0));
}

void HttpServer::Accept() {
  // Bounded, so that a storm of connections leaves time for those that are here.
  for (int i = 0; i < 64; ++i) {
    MakeRoom();
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    UniqueFd fd(::accept4(socket_.fd.get(), reinterpret_cast<sockaddr*>(&address), &size,
                          SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) {
      // Without a free descriptor accept4 fails even when nobody is waiting; that somebody is, only epoll has
      // said.
      const bool out_of_resources = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
      if (i == 0 && out_of_resources) PauseAccepting();
      return;
    }
    auto connection = std::make_unique<Connection>();
    connection->fd = std::move(fd);
    connection->client = AddressText(address);
    // Its bytes are not read here, though they may have come: epoll knows which connection's came first.
    Park(std::move(connection), parked_, kArrivalTime);
  }
}

void HttpServer::PauseAccepting() {
  if (!lingering_.empty()) {
    Close(*lingering_.front());
  } else if (!parked_.empty()) {
    Close(*parked_.front());
  }
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, socket_.fd.get(), nullptr);
  accepting_ = false;
  resume_accepting_ = Clock::now() + kAcceptPause;
}

void HttpServer::ResumeAccepting() {
  accepting_ = true;
  Watch(epoll_.get(), socket_.fd.get(), &socket_);
}

void HttpServer::MakeRoom() {
  while (lingering_.size() >= kMaxParked) Close(*lingering_.front());
  while (parked_.size() >= kMaxParked || (parked_bytes_ > kMaxParkedBytes && !parked_.empty()))
    Close(*parked_.front());
}

void HttpServer::ReadRequest(Connection& connection) {
  std::array<char, kMaxBufferedRequest> buffer;  // NOLINT: 16 KiB need no zeroes
  const ssize_t count = ::recv(connection.fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
  if (count <= 0) {
    Close(connection);
    return;
  }
  connection.received.append(buffer.data(), static_cast<size_t>(count));
  parked_bytes_ += static_cast<size_t>(count);

  if (connection.head.bytes == 0) {
    const HeadProgress progress = InspectHead(connection.received);
    if (progress.refusal) {
      Refuse(Unpark(connection), progress.refusal->status, progress.refusal->reason);
      return;
    }
    if (!progress.head) return;
    connection.head = *progress.head;
  }
  const RequestHead& head = connection.head;
  const uint64_t whole = head.bytes + std::min<uint64_t>(head.content_length, UINT64_MAX - head.bytes);
  connection.complete = !head.chunked && connection.received.size() >= whole;
  const bool for_a_server = head.chunked || whole > kMaxBufferedRequest || head.expects_continue;
  if (connection.complete || for_a_server) Enqueue(Unpark(connection));
}

void HttpServer::Enqueue(std::unique_ptr<Connection> connection) {
  if (!queue_.Submit(connection))
    Refuse(std::move(connection), kServiceUnavailable, "too many requests wait");
}

void HttpServer::DropInput(Connection& connection) {
  std::array<char, kMaxBufferedRequest> buffer;  // NOLINT: 16 KiB need no zeroes
  const ssize_t count = ::recv(connection.fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count == 0 || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
    Close(connection);
}

void HttpServer::CloseExpired() {
  const auto now = Clock::now();
  while (!lingering_.empty() && lingering_.front()->deadline <= now) Close(*lingering_.front());
  while (!parked_.empty() && parked_.front()->deadline <= now) {
    Connection& connection = *parked_.front();
    if (connection.received.empty()) {
      Close(connection);
    } else {
      Refuse(Unpark(connection), kRequestTimeout, "the request did not arrive within 10 s");
    }
  }
  if (!accepting_ && resume_accepting_ <= now) ResumeAccepting();
}

void HttpServer::TakeBackServed() {
  eventfd_t count = 0;
  ::eventfd_read(wake_.get(), &count);
  std::vector<std::unique_ptr<Connection>> served;
  {
    const std::lock_guard lock(served_mutex_);
    served.swap(served_);
  }
  for (auto& connection : served) {
    connection->lingering = true;
    Park(std::move(connection), lingering_, kLingerTime);
  }
}

void HttpServer::Park(std::unique_ptr<Connection> connection, Connections& where, Clock::duration time) {
  connection->deadline = Clock::now() + time;
  Connection& parked = *connection;
  where.push_back(std::move(connection));
  parked.place = std::prev(where.end());
  Watch(epoll_.get(), parked.fd.get(), &parked);
}

std::unique_ptr<Connection> HttpServer::Unpark(Connection& connection) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.fd.get(), nullptr);
  auto unparked = std::move(*connection.place);
  (unparked->lingering ? lingering_ : parked_).erase(unparked->place);
  if (!unparked->lingering) parked_bytes_ -= unparked->received.size();
  return unparked;
}

void HttpServer::Close(Connection& connection) {
  auto closed = Unpark(connection);
  closed->fd.Reset();
  closed_.push_back(std::move(closed));
}

void HttpServer::Refuse(std::unique_ptr<Connection> connection, int status, const std::string& reason) {
  Answer(*connection, status, reason);
  // The client may still be sending, and would lose the answer to a reset.
  connection->lingering = true;
  connection->received = {};
  Park(std::move(connection), lingering_, kLingerTime);
}

void HttpServer::Answer(const Connection& connection, int status, const std::string& reason) {
  const bool without_body = RequestLine(connection.received).starts_with("HEAD ");
  const std::string text = RefusalText(status, reason);
  const bool sent =
      SendNow(connection, "HTTP/1.1 " + std::to_string(status) + " " + StatusText(status) +
                              "\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8" +
                              "\r\nContent-Length: " + std::to_string(text.size()) + "\r\n\r\n" +
                              (without_body ? "" : text));
  ::shutdown(connection.fd.get(), SHUT_WR);
  AccessLog::Entry entry{.request_line = RequestLine(connection.received)};
  if (sent) {
    entry.status = status;
    entry.body_bytes = without_body ? 0 : text.size();
  }
  access_log_.Write(connection, entry);
}

void HttpServer::Serve(Exchange& exchange, Connection& connection) {
  if (options_.skip_clients_that_left && HasLeft(connection)) {
    access_log_.Write(connection, {.request_line = RequestLine(connection.received)});
    return;
  }
  connection.deadline = std::max(connection.deadline, Clock::now() + kTimeToGoOn);
  exchange.Serve(connection);
  connection.received = {};
}

void HttpServer::GiveBack(std::unique_ptr<Connection> connection) {
  const std::lock_guard lock(served_mutex_);
  if (stopped_) return;
  served_.push_back(std::move(connection));
  ::eventfd_write(wake_.get(), 1);
}

}  // namespace dockercoins
