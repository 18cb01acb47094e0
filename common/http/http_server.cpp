#include "common/http/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "common/errors.h"
#include "common/http/exchange.h"

namespace dockercoins {
namespace {

/// The contract: a request has 10 s to arrive.
constexpr auto kArrivalTime = std::chrono::seconds(10);
/// While a request was in the queue, the rest of it could not be read: it has at least this long to continue.
constexpr auto kTimeToGoOn = std::chrono::seconds(1);
/// The contract: after a refusal, the rest of the request is read and dropped for up to a second.
constexpr auto kLingerTime = std::chrono::seconds(1);
/// The contract: a stop lets what is being served finish if that takes less than half a second.
constexpr auto kGrace = std::chrono::milliseconds(500);
/// What a stop interrupts has this long to tell its client, before the connection is cut.
constexpr auto kTimeToRefuse = std::chrono::milliseconds(100);
/// The contract: a client that takes nothing of its answer for a second is cut off, and it has so long in
/// all.
constexpr auto kReadingPause = std::chrono::seconds(1);
constexpr auto kAnswerTime = std::chrono::minutes(5);
/// A slow client frees less than what makes its socket writable again, so how much it took is looked up.
constexpr auto kLookAtReaders = std::chrono::milliseconds(100);
/// After the process ran out of descriptors or memory for connections.
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

/// Room for a thousand workers in the queue, and as many browsers; beyond it the oldest that is not complete
/// must go.
constexpr size_t kMaxParked = 2048;
/// At most so many clients may read slowly; beyond that the slowest is disconnected.
constexpr size_t kMaxWriting = 512;
/// For a slow reader the system keeps no more than this; it is memory of this process' container.
constexpr int kSendBufferBytes = 16 * 1024;
constexpr size_t kMaxParkedBytes = size_t{2} * 1024 * 1024;
/// A request up to this size, body included, is complete before it is served; a larger one is read by a
/// server's thread.
constexpr size_t kMaxBufferedRequest = size_t{16} * 1024;

UniqueFd Checked(int fd, const char* what) {
  if (fd < 0) throw StartError(std::string(what) + ": " + SystemText(errno));
  return UniqueFd(fd);
}

/// An IPv4 address without the prefix that it has on a socket for both.
std::string AddressText(const sockaddr_storage& address) {
  constexpr std::string_view kMapped = "::ffff:";
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = address.ss_family == AF_INET
                          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in&>(address).sin_addr)
                          : &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  ::inet_ntop(address.ss_family, bytes, text.data(), text.size());
  const std::string_view whole = text.data();
  const bool is_ipv4 = whole.starts_with(kMapped) && whole.find('.') != std::string_view::npos;
  return std::string(is_ipv4 ? whole.substr(kMapped.size()) : whole);
}

/// Asks for `events` of `fd`: of a connection once (EPOLLONESHOT), until it is asked for again.
void Watch(int epoll, int operation, int fd, uint32_t events, void* whose) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = whose;
  if (::epoll_ctl(epoll, operation, fd, &event) != 0 && errno == ENOENT)
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

void Unwatch(int epoll, int fd) { ::epoll_ctl(epoll, EPOLL_CTL_DEL, fd, nullptr); }

/// The client's whole request has been read, and nothing after it: a close resets nothing.
bool MayClose(const Connection& connection) { return connection.complete && !HasUnreadInput(connection); }

/// How many bytes the request has, body included.
uint64_t WholeBytes(const RequestHead& head) {
  return head.bytes + std::min<uint64_t>(head.content_length, UINT64_MAX - head.bytes);
}

/// Whether one of the serving threads reads the rest of the request.
bool IsReadWhileServed(const RequestHead& head) {
  return head.chunked || WholeBytes(head) > kMaxBufferedRequest || head.expects_continue;
}

}  // namespace

HttpServer::HttpServer(ListenSocket socket, const Options& options, const Routes& routes, Log& log)
    : options_(options),
      socket_(std::move(socket)),
      access_log_(options.log_access ? &log : nullptr, options.metrics),
      epoll_(Checked(::epoll_create1(EPOLL_CLOEXEC), "epoll")),
      wake_(Checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      routes_(routes),
      log_(log),
      exchanges_(options.threads),
      queue_(
          options.threads, [this](size_t thread, Connection& connection) { Serve(thread, connection); },
          [this](std::unique_ptr<Connection> connection) { BeginAnswer(std::move(connection)); },
          options.metrics == nullptr ? Gauge() : options.metrics->Waiting()) {
  Watch(epoll_.get(), EPOLL_CTL_ADD, socket_.fd.get(), EPOLLIN, &socket_);
  Watch(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), EPOLLIN, &wake_);
}

HttpServer::~HttpServer() {
  if (thread_.joinable()) Stop();
}

void HttpServer::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void HttpServer::Stop() {
  const auto deadline = Clock::now() + kGrace;
  stopping_ = true;
  ::eventfd_write(wake_.get(), 1);
  for (auto& connection : queue_.Stop()) {
    Answer(*connection, kServiceUnavailable, kStopping);
    Forget();
  }
  if (!AwaitAnswers(deadline)) {
    cut_.request_stop();
    if (!AwaitAnswers(Clock::now() + kTimeToRefuse)) queue_.CutOff();
  }
  thread_.request_stop();
  ::eventfd_write(wake_.get(), 1);
  thread_.join();
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
      } else if (connection.stage == Connection::Stage::kLingering) {
        DropInput(connection);
      } else if (connection.stage == Connection::Stage::kWriting) {
        WriteOn(connection);
      } else {
        ReadRequest(connection);
      }
    }
    if (stopping_) StopReading();
    MakeRoom();
    CloseExpired();
    CutSlowReaders();
    closed_.clear();
  }
  {
    const std::lock_guard lock(served_mutex_);
    stopped_ = true;
  }
  TakeBackServed();
  for (const auto& connection : writing_) Finish(*connection);
  writing_.clear();
}

void HttpServer::StopReading() {
  socket_.fd.Reset();
  accepting_ = true;  // There is nothing to be resumed.
  parked_.clear();
  lingering_.clear();
  parked_bytes_ = 0;
}

int HttpServer::NextTimeoutMs() const {
  auto next = Clock::time_point::max();
  if (!parked_.empty()) next = std::min(next, parked_.front()->deadline);
  if (!lingering_.empty()) next = std::min(next, lingering_.front()->deadline);
  if (!writing_.empty()) next = std::min(next, look_at_readers_);
  if (!accepting_) next = std::min(next, resume_accepting_);
  if (next == Clock::time_point::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now());
  return static_cast<int>(std::max<int64_t>(left.count(), 0));
}

void HttpServer::Accept() {
  // Bounded, so that many new connections leave time for the existing ones.
  for (int i = 0; i < 64; ++i) {
    MakeRoom();
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    UniqueFd fd(::accept4(socket_.fd.get(), reinterpret_cast<sockaddr*>(&address), &size,
                          SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) {
      // Without a free descriptor accept4 fails even when nobody is waiting; only epoll says that somebody
      // is.
      const bool out_of_resources = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
      if (i == 0 && out_of_resources) PauseAccepting();
      return;
    }
    auto connection = std::make_unique<Connection>();
    connection->fd = std::move(fd);
    connection->record.client = AddressText(address);
    // Its bytes are not read here, though they may have come: epoll knows which connection's came first.
    Park(std::move(connection), Connection::Stage::kArriving);
  }
}

void HttpServer::PauseAccepting() {
  CloseOne();
  Unwatch(epoll_.get(), socket_.fd.get());
  accepting_ = false;
  resume_accepting_ = Clock::now() + kAcceptPause;
}

void HttpServer::CloseOne() {
  if (!lingering_.empty()) {
    Close(*lingering_.front());
  } else if (!parked_.empty()) {
    Close(*parked_.front());
  } else if (!writing_.empty()) {
    CutSlowestReader();
  }
}

void HttpServer::MakeRoom() {
  while (lingering_.size() >= kMaxParked) Close(*lingering_.front());
  while (parked_.size() >= kMaxParked || (parked_bytes_ > kMaxParkedBytes && !parked_.empty()))
    Close(*parked_.front());
  while (writing_.size() > kMaxWriting) CutSlowestReader();
}

void HttpServer::ReadRequest(Connection& connection) {
  ReadBuffer buffer;  // NOLINT: 16 KiB need no zeroes
  const auto count = ReceiveNow(connection, buffer);
  if (!count) {
    Close(connection);
    return;
  }
  connection.received.append(buffer.data(), *count);
  parked_bytes_ += *count;
  if (connection.head.bytes == 0) {
    const HeadProgress progress = InspectHead(connection.received);
    if (progress.refusal) {
      Refuse(Unpark(connection), progress.refusal->status, progress.refusal->reason);
      return;
    }
    if (progress.head) {
      connection.head = *progress.head;
      connection.record.request_line = RequestLine(connection.received);
    }
  }
  const RequestHead& head = connection.head;
  connection.complete = head.bytes > 0 && !head.chunked && connection.received.size() >= WholeBytes(head);
  if (connection.complete || IsReadWhileServed(head)) {
    Enqueue(Unpark(connection));
  } else {
    // Once: when it is complete, it goes to another thread, which may close it.
    Watch(epoll_.get(), EPOLL_CTL_MOD, connection.fd.get(), EPOLLIN | EPOLLONESHOT, &connection);
  }
}

void HttpServer::Enqueue(std::unique_ptr<Connection> connection) {
  {
    const std::lock_guard lock(served_mutex_);
    ++unfinished_;
  }
  if (queue_.Submit(connection)) return;
  Forget();
  Refuse(std::move(connection), kServiceUnavailable, stopping_ ? kStopping : "too many requests wait");
}

void HttpServer::DropInput(Connection& connection) {
  ReadBuffer buffer;  // NOLINT: 16 KiB need no zeroes
  if (!ReceiveNow(connection, buffer)) Close(connection);
}

void HttpServer::CloseExpired() {
  const auto now = Clock::now();
  while (!lingering_.empty() && lingering_.front()->deadline <= now) Close(*lingering_.front());
  while (!parked_.empty() && parked_.front()->deadline <= now) {
    Connection& connection = *parked_.front();
    if (HasUnreadInput(connection)) {
      // It arrived in time, and this thread is late. Its event must not come when another thread has it.
      Unwatch(epoll_.get(), connection.fd.get());
      ReadRequest(connection);
    } else if (connection.received.empty()) {
      Close(connection);
    } else {
      Refuse(Unpark(connection), kRequestTimeout, "the request did not arrive within 10 s");
    }
  }
  if (!accepting_ && resume_accepting_ <= now) {
    accepting_ = true;
    Watch(epoll_.get(), EPOLL_CTL_ADD, socket_.fd.get(), EPOLLIN, &socket_);
  }
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
    const Connection::Stage stage = connection->stage;
    Park(std::move(connection), stage);
  }
}

void HttpServer::WriteOn(Connection& connection) {
  const WriteResult result = WritePiece(connection);
  if (result == WriteResult::kMore) return;
  if (FinishAndLinger(connection, result)) {
    Park(Unpark(connection), Connection::Stage::kLingering);
  } else {
    Close(connection);
  }
}

void HttpServer::CutSlowReaders() {
  const auto now = Clock::now();
  if (writing_.empty() || now < look_at_readers_) return;
  look_at_readers_ = now + kLookAtReaders;
  for (auto next = writing_.begin(); next != writing_.end();) {
    Connection& connection = **next++;
    Reading& reading = connection.reading;
    const uint64_t taken = AcknowledgedBytes(connection);
    if (taken > reading.taken) reading.progress = now;
    reading.taken = taken;
    if (now - reading.marked >= kReadingPause) {
      reading.in_last_second = taken - reading.taken_at_mark;
      reading.taken_at_mark = taken;
      reading.marked = now;
    }
    if (now - reading.progress >= kReadingPause || now >= reading.deadline) CutOff(connection);
  }
}

void HttpServer::CutSlowestReader() {
  CutOff(**std::ranges::min_element(
      writing_, {}, [](const auto& connection) { return connection->reading.in_last_second; }));
}

void HttpServer::CutOff(Connection& connection) {
  Finish(connection);
  // With a reset: otherwise the kernel keeps what the client has not taken for minutes.
  const linger reset{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(connection.fd.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  Close(connection);
}

void HttpServer::Park(std::unique_ptr<Connection> connection, Connection::Stage stage) {
  const auto now = Clock::now();
  Connection& parked = *connection;
  parked.stage = stage;
  Connections& list = ListOf(stage);
  list.push_back(std::move(connection));
  parked.place = std::prev(list.end());
  switch (stage) {
    case Connection::Stage::kArriving:
      parked.deadline = now + kArrivalTime;
      Watch(epoll_.get(), EPOLL_CTL_ADD, parked.fd.get(), EPOLLIN | EPOLLONESHOT, &parked);
      break;
    case Connection::Stage::kWriting:
      if (writing_.size() == 1) look_at_readers_ = now + kLookAtReaders;
      parked.reading = {.deadline = now + kAnswerTime, .progress = now, .marked = now};
      ::setsockopt(parked.fd.get(), SOL_SOCKET, SO_SNDBUF, &kSendBufferBytes, sizeof(kSendBufferBytes));
      Watch(epoll_.get(), EPOLL_CTL_MOD, parked.fd.get(), EPOLLOUT, &parked);
      break;
    case Connection::Stage::kLingering:
      parked.deadline = now + kLingerTime;
      Watch(epoll_.get(), EPOLL_CTL_MOD, parked.fd.get(), EPOLLIN, &parked);
      break;
  }
}

HttpServer::Connections& HttpServer::ListOf(Connection::Stage stage) {
  if (stage == Connection::Stage::kArriving) return parked_;
  return stage == Connection::Stage::kWriting ? writing_ : lingering_;
}

std::unique_ptr<Connection> HttpServer::Unpark(Connection& connection) {
  auto unparked = std::move(*connection.place);
  ListOf(unparked->stage).erase(unparked->place);
  if (unparked->stage == Connection::Stage::kArriving) parked_bytes_ -= unparked->received.size();
  return unparked;
}

void HttpServer::Close(Connection& connection) {
  auto closed = Unpark(connection);
  // Closing does it only if no other process has the descriptor, such as one that was just forked.
  Unwatch(epoll_.get(), closed->fd.get());
  closed->fd.Reset();
  closed_.push_back(std::move(closed));
}

void HttpServer::Refuse(std::unique_ptr<Connection> connection, int status, const std::string& reason) {
  Answer(*connection, status, reason);
  // The client may still be sending, and would lose the answer to a reset.
  connection->received = {};
  Park(std::move(connection), Connection::Stage::kLingering);
}

void HttpServer::Answer(Connection& connection, int status, const std::string& reason) {
  RequestRecord& record = connection.record;
  if (record.request_line.empty()) record.request_line = RequestLine(connection.received);
  const bool without_body = connection.received.starts_with("HEAD ");
  const std::string text = RefusalText(status, reason);
  const bool sent =
      SendNow(connection, "HTTP/1.1 " + std::to_string(status) + " " + StatusText(status) +
                              "\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8" +
                              "\r\nContent-Length: " + std::to_string(text.size()) + "\r\n\r\n" +
                              (without_body ? "" : text));
  ::shutdown(connection.fd.get(), SHUT_WR);
  if (sent) {
    record.status = status;
    record.body_bytes = without_body ? 0 : text.size();
  }
  access_log_.Write(record);
}

void HttpServer::Serve(size_t thread, Connection& connection) {
  if (options_.skip_clients_that_left && queue_.SomebodyWaits() && HasLeft(connection)) return;
  const auto now = Clock::now();
  connection.record.begun = now;
  connection.deadline = std::max(connection.deadline, now + kTimeToGoOn);
  auto& exchange = exchanges_.at(thread);
  if (!exchange) exchange = std::make_unique<Exchange>(routes_, log_, cut_.get_token());
  exchange->Serve(connection);
  connection.record.ready = Clock::now();
}

void HttpServer::BeginAnswer(std::unique_ptr<Connection> connection) {
  connection->received = {};
  const WriteResult result = connection->record.status ? WritePiece(*connection) : WriteResult::kBroken;
  if (result == WriteResult::kMore) {
    connection->stage = Connection::Stage::kWriting;
  } else if (FinishAndLinger(*connection, result)) {
    connection->stage = Connection::Stage::kLingering;
  } else {
    return;
  }
  {
    const std::lock_guard lock(served_mutex_);
    if (!stopped_) {
      served_.push_back(std::move(connection));
      ::eventfd_write(wake_.get(), 1);
      return;
    }
  }
  if (connection->stage == Connection::Stage::kWriting) Finish(*connection);
}

void HttpServer::Finish(Connection& connection) {
  RequestRecord& record = connection.record;
  const OutgoingAnswer& answer = connection.answer;
  if (record.status) record.body_bytes = answer.sent - std::min(answer.sent, answer.head_bytes);
  access_log_.Write(record);
  Forget();
}

bool HttpServer::FinishAndLinger(Connection& connection, WriteResult result) {
  Finish(connection);
  if (result == WriteResult::kBroken || MayClose(connection)) return false;
  ::shutdown(connection.fd.get(), SHUT_WR);
  return true;
}

void HttpServer::Forget() {
  const std::lock_guard lock(served_mutex_);
  if (--unfinished_ == 0) finished_.notify_all();
}

bool HttpServer::AwaitAnswers(Clock::time_point deadline) {
  std::unique_lock lock(served_mutex_);
  return finished_.wait_until(lock, deadline, [this] { return unfinished_ == 0; });
}

}  // namespace dockercoins
