#include "common/http/arriving_requests.h"

#include <sys/socket.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "common/socket.h"

namespace dockercoins {

ArrivingRequest::ArrivingRequest(ArrivingRequests& in, WatchedFd socket, std::string address)
    : Connection(in.loop_, in.budget_, std::move(socket)),
      stage(in),
      client(std::move(address)),
      deadline(Clock::now() + in.limits_.time) {
  Holds(sizeof(*this));
  SetDeadline(deadline);
  fd.Watch(EPOLLIN, *this);
}

ArrivingRequest::~ArrivingRequest() {
  if (has_body) --stage.bodies_;
}

void ArrivingRequest::OnEvent(int /*fd*/) { stage.Read(*this); }

void ArrivingRequest::OnDeadline() {
  const bool is_late = deadline <= Clock::now();
  // What arrived in time is read, though this thread is late.
  if (is_late && !HasUnreadInput(fd.get())) {
    return stage.Leave(
        *this, {.status = httplib::RequestTimeout_408, .reason = "the request did not arrive in time"});
  }
  // One read at a time: the loop has others to call.
  SetDeadline(std::max(deadline, Clock::now() + std::chrono::milliseconds(1)));
  if (is_late) stage.Read(*this);
}

ArrivingRequests::ArrivingRequests(EventLoop& loop, Budget& budget, const Routes& routes,
                                   const Limits& limits, Complete complete, Refuse refuse)
    : loop_(loop),
      budget_(budget),
      routes_(routes),
      limits_(limits),
      complete_(std::move(complete)),
      refuse_(std::move(refuse)) {}

void ArrivingRequests::Add(WatchedFd fd, std::string client) {
  // Its bytes are not read here, though they may have come: epoll knows which connection's came first.
  arriving_.Add(std::make_unique<ArrivingRequest>(*this, std::move(fd), std::move(client)));
  if (arriving_.size() > limits_.connections) CloseOldest();
}

bool ArrivingRequests::CloseOldestRequest() {
  const auto oldest = std::ranges::find_if(arriving_, [](const auto& one) { return one->parser != nullptr; });
  return oldest != arriving_.end() && arriving_.Take(**oldest);
}

void ArrivingRequests::Read(ArrivingRequest& arriving) {
  ReadBuffer buffer;  // NOLINT: 16 KiB need no zeroes
  const auto count = ReceiveNow(arriving.fd.get(), buffer);
  if (!count && arriving.has_body)
    return Leave(arriving, {.status = httplib::BadRequest_400, .reason = "the body did not arrive in full"});
  if (!count) arriving_.Take(arriving);
  const size_t size = count.value_or(0);
  if (size == 0) return;
  if (!arriving.parser) arriving.parser = std::make_unique<RequestParser>(routes_, limits_.answer_options);
  RequestParser& parser = *arriving.parser;
  if (const auto refusal = parser.Take({buffer.data(), size})) return Leave(arriving, *refusal);
  if (parser.stage() == RequestParser::Stage::kComplete) {
    const auto taken = arriving_.Take(arriving);
    auto request = parser.TakeRequest(std::move(taken->client));
    complete_(std::move(taken->fd), std::move(request), parser.leaves_body());
    return;
  }
  arriving.Holds(sizeof(arriving) + parser.Bytes());
  if (parser.stage() == RequestParser::Stage::kBody) TakeMore(arriving);
}

void ArrivingRequests::TakeMore(ArrivingRequest& arriving) {
  const RequestParser& parser = *arriving.parser;
  if (!arriving.has_body) {
    arriving.has_body = true;
    arriving.body_begun = EventHandler::Clock::now();
    if (parser.expects_continue() && parser.body_bytes() == 0) {
      constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      (void)::send(arriving.fd.get(), kContinue.data(), kContinue.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    if (++bodies_ > limits_.bodies) {
      // Another one: this one's caller goes on with it.
      const auto oldest = std::ranges::find_if(
          arriving_, [&](const auto& other) { return other->has_body && other.get() != &arriving; });
      Leave(**oldest, {.status = httplib::ServiceUnavailable_503, .reason = "too many bodies arrive"});
    }
  }
  arriving.deadline = arriving.body_begun + limits_.time +
                      std::chrono::milliseconds(parser.body_bytes() * 1000 / limits_.body_bytes_per_second);
}

void ArrivingRequests::Leave(ArrivingRequest& arriving, const Refusal& refusal) {
  const auto taken = arriving_.Take(arriving);
  if (taken->parser)
    refuse_(std::move(taken->fd), taken->parser->TakeRecord(std::move(taken->client)), refusal);
}

}  // namespace dockercoins
