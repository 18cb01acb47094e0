#include "common/http/arriving_requests.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "common/socket.h"

namespace dockercoins {
namespace {

/// The memory of one connection besides its request: this stage's object, and what the loop keeps.
constexpr size_t kConnectionBytes = 320;

}  // namespace

/// One connection of this stage.
class ArrivingRequests::Arrival final : public EventHandler {
 public:
  Arrival(ArrivingRequests& stage, WatchedFd socket, std::string address)
      : EventHandler(stage.loop_),
        fd(std::move(socket)),
        client(std::move(address)),
        share(stage.budget_),
        deadline(Clock::now() + stage.limits_.time),
        stage_(stage) {}
  ~Arrival() override {
    if (has_body) --stage_.bodies_;
  }

  void OnEvent(int /*fd*/) override { stage_.Read(*this); }
  void OnDeadline() override {
    if (deadline > Clock::now()) {
      SetDeadline(deadline);
    } else if (HasUnreadInput(fd.get())) {
      // It arrived in time, and this thread is late.
      SetDeadline(deadline);
      stage_.Read(*this);
    } else {
      stage_.GiveUp(*this);
    }
  }

  WatchedFd fd;
  const std::string client;
  std::unique_ptr<RequestParser> parser;  ///< None before the first bytes.
  Budget::Share share;
  Clock::time_point deadline;  ///< May be later than the one that is set.
  bool has_body = false;       ///< Its body is arriving.
  Clock::time_point body_begun;
  Arrivals::iterator place;

 private:
  ArrivingRequests& stage_;
};

ArrivingRequests::ArrivingRequests(EventLoop& loop, Budget& budget, const Routes& routes, const Limits& limits,
                                   Complete complete, Refuse refuse)
    : loop_(loop),
      budget_(budget),
      routes_(routes),
      limits_(limits),
      complete_(std::move(complete)),
      refuse_(std::move(refuse)) {}

ArrivingRequests::~ArrivingRequests() = default;

void ArrivingRequests::CloseAll() { arrivals_.clear(); }

void ArrivingRequests::Add(WatchedFd fd, std::string client) {
  // Its bytes are not read here, though they may have come: epoll knows which connection's came first.
  auto& added = *arrivals_.emplace_back(std::make_unique<Arrival>(*this, std::move(fd), std::move(client)));
  added.place = std::prev(arrivals_.end());
  added.share.Set(kConnectionBytes);
  added.SetDeadline(added.deadline);
  added.fd.Watch(EPOLLIN, added);
  if (arrivals_.size() > limits_.connections) CloseOldest();
}

bool ArrivingRequests::CloseOldest() {
  if (arrivals_.empty()) return false;
  arrivals_.pop_front();
  return true;
}

void ArrivingRequests::Read(Arrival& arrival) {
  ReadBuffer buffer;  // NOLINT: 16 KiB need no zeroes
  const auto count = ReceiveNow(arrival.fd.get(), buffer);
  if (!count && arrival.has_body) {
    Leave(arrival, {.status = kBadRequest, .reason = "the body did not arrive in full"});
  } else if (!count) {
    Take(arrival);
  }
  if (count.value_or(0) == 0) return;
  if (!arrival.parser) arrival.parser = std::make_unique<RequestParser>(routes_, limits_.answer_options);
  RequestParser& parser = *arrival.parser;
  if (const auto refusal = parser.Take({buffer.data(), *count})) {
    Leave(arrival, *refusal);
  } else if (parser.stage() == RequestParser::Stage::kComplete) {
    auto request = std::make_unique<Request>();
    request->bytes = parser.Bytes();
    request->http = parser.TakeRequest();
    request->http.remote_addr = arrival.client;
    request->record = parser.TakeRecord();
    request->record.client = arrival.client;
    auto taken = Take(arrival);
    complete_(std::move(taken->fd), std::move(request), parser.leaves_body());
  } else {
    arrival.share.Set(kConnectionBytes + parser.Bytes());
    if (parser.stage() == RequestParser::Stage::kBody) TakeMore(arrival);
  }
}

void ArrivingRequests::TakeMore(Arrival& arrival) {
  const RequestParser& parser = *arrival.parser;
  if (!arrival.has_body) {
    arrival.has_body = true;
    arrival.body_begun = EventHandler::Clock::now();
    if (parser.expects_continue() && parser.body_bytes() == 0) {
      constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      (void)::send(arrival.fd.get(), kContinue.data(), kContinue.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    if (++bodies_ > limits_.bodies) RefuseOldestBody();
  }
  arrival.deadline = arrival.body_begun + limits_.time +
                     std::chrono::milliseconds(parser.body_bytes() * 1000 / limits_.body_bytes_per_second);
}

void ArrivingRequests::RefuseOldestBody() {
  const auto oldest = std::ranges::find_if(arrivals_, [](const auto& arrival) { return arrival->has_body; });
  Leave(**oldest, {.status = kServiceUnavailable, .reason = "too many bodies arrive"});
}

void ArrivingRequests::GiveUp(Arrival& arrival) {
  if (arrival.parser) {
    Leave(arrival, {.status = kRequestTimeout, .reason = "the request did not arrive in time"});
  } else {
    Take(arrival);
  }
}

void ArrivingRequests::Leave(Arrival& arrival, const Refusal& refusal) {
  RequestRecord record = arrival.parser->TakeRecord();
  record.client = arrival.client;
  auto taken = Take(arrival);
  refuse_(std::move(taken->fd), std::move(record), refusal);
}

std::unique_ptr<ArrivingRequests::Arrival> ArrivingRequests::Take(Arrival& arrival) {
  auto taken = std::move(*arrival.place);
  arrivals_.erase(taken->place);
  return taken;
}

}  // namespace dockercoins
