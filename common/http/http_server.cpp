#include "common/http/http_server.h"

#include <exception>
#include <string>
#include <utility>

#include "common/socket.h"

namespace dockercoins {
namespace {

/// The contract: a stop lets what is being served finish if that takes less than half a second.
constexpr auto kGrace = std::chrono::milliseconds(500);
/// What a stop interrupts has this long to tell its client, before the connection is cut.
constexpr auto kTimeToRefuse = std::chrono::milliseconds(100);

}  // namespace

HttpServer::HttpServer(ListenSocket socket, const Options& options, const Routes& routes, Log& log)
    : port_(socket.port),
      record_(options.record),
      log_(log),
      budget_(options.budget_bytes),
      waiting_budget_(options.budget_bytes / 4 * 3, budget_),
      left_(options.withdraw_clients_that_left ? [this](const Request* request) { Withdraw(request); }
                                               : WaitingClient::Left()),
      arriving_(
          loop_, budget_, routes, options.arriving,
          [this](WatchedFd fd, std::unique_ptr<Request> request, bool may_still_send) {
            Enqueue(std::move(fd), std::move(request), may_still_send);
          },
          [this](WatchedFd fd, RequestRecord record, const Refusal& refusal) {
            Refuse(std::move(fd), std::move(record), refusal);
          }),
      outgoing_(loop_, budget_, options.outgoing, log,
                [this](OutgoingResponse& outgoing, bool is_whole) { Finish(outgoing, is_whole); }),
      lingering_(loop_, budget_, options.lingering),
      listener_(std::make_unique<Listener>(
          loop_, std::move(socket),
          [this](WatchedFd fd, std::string client) { arriving_.Add(std::move(fd), std::move(client)); },
          [this] { return CloseOldest(); })),
      queue_(
          options.threads, [this](std::unique_ptr<Request> request) { Serve(std::move(request)); },
          options.waiting) {}

HttpServer::~HttpServer() {
  if (thread_.joinable()) Stop();
}

void HttpServer::Start() {
  thread_ = std::jthread([this] { Run(); });
}

void HttpServer::Stop() {
  stopping_ = true;
  loop_.Wake();
  thread_.join();
}

void HttpServer::Run() {
  while (!stopping_) {
    loop_.Poll();
    BeginResponses();
    KeepToBudget();
  }
  listener_.reset();
  arriving_.CloseAll();
  for (auto& request : queue_.Stop()) RefuseWaiting(std::move(request), kStopping);
  EndResponses();
}

void HttpServer::EndResponses() {
  auto deadline = EventHandler::Clock::now();
  for (const auto time : {kGrace, kTimeToRefuse}) {
    deadline += time;
    while ((waiting_.size() > 0 || !outgoing_.IsEmpty()) && EventHandler::Clock::now() < deadline) {
      loop_.Poll(deadline);
      BeginResponses();
    }
    cut_.request_stop();
  }
  {
    const std::lock_guard lock(served_mutex_);
    ended_ = true;
  }
  BeginResponses();
  while (outgoing_.CutOffSlowest()) {
  }
  waiting_.CloseAll();
  lingering_.CloseAll();
}

void HttpServer::Enqueue(WatchedFd fd, std::unique_ptr<Request> request, bool may_still_send) {
  auto client =
      std::make_unique<WaitingClient>(loop_, waiting_budget_, std::move(fd), *request, may_still_send, left_);
  request->client = &waiting_.Add(std::move(client));
  request->record.queued = EventHandler::Clock::now();
  // W3C Trace Context: two of them count as none.
  if (request->http.get_header_value_count("traceparent") == 1)
    request->record.caller = SpanContext::Parse(request->http.get_header_value("traceparent"));
  if (!listener_->HasSpare()) return RefuseWaiting(std::move(request), "there is no free descriptor");
  if (waiting_budget_.IsOver() || !queue_.Submit(request))
    RefuseWaiting(std::move(request), "too many requests wait");
}

void HttpServer::RefuseWaiting(std::unique_ptr<Request> request, const char* reason) {
  const auto client = waiting_.Take(*request->client);
  Refuse(std::move(client->fd), std::move(request->record),
         {.status = httplib::ServiceUnavailable_503, .reason = reason});
}

void HttpServer::Refuse(WatchedFd fd, RequestRecord record, const Refusal& refusal) {
  if (!refusal.log.empty()) log_.Error("In a response: " + refusal.log);
  const bool is_head = record.request_line.starts_with("HEAD ");
  httplib::Response response;
  SetRefusal(response, refusal);
  // The client may still be sending, and would lose the response to a reset.
  outgoing_.Add(std::move(fd), std::move(record), std::move(response), /*may_still_send=*/true, is_head);
}

void HttpServer::Withdraw(const Request* request) {
  const auto withdrawn = queue_.Withdraw(request);
  if (!withdrawn) return;
  record_(withdrawn->record);
  waiting_.Take(*withdrawn->client);
}

void HttpServer::Serve(std::unique_ptr<Request> request) {
  RequestRecord& record = request->record;
  record.begun = EventHandler::Clock::now();
  try {
    const Handler& handler = record.route->HandlerFor(request->http.method);
    handler(request->http, request->response, {.arrived = record.queued, .cut = cut_.get_token()});
  } catch (const std::exception& error) {
    log_.Error(std::string("In a response: ") + error.what());
    request->response = {};
    SetError(request->response, httplib::InternalServerError_500, kFailed);
  }
  record.ready = EventHandler::Clock::now();
  {
    const std::lock_guard lock(served_mutex_);
    if (ended_) return record_(record);
    served_.push_back(std::move(request));
    if (served_.size() > 1) return;  // Whoever put the first there wakes the loop.
  }
  loop_.Wake();
}

void HttpServer::BeginResponses() {
  std::vector<std::unique_ptr<Request>> served;
  {
    const std::lock_guard lock(served_mutex_);
    served.swap(served_);
  }
  for (auto& request : served) {
    const auto client = waiting_.Take(*request->client);
    outgoing_.Add(std::move(client->fd), std::move(request->record), std::move(request->response),
                  client->may_still_send, request->http.method == "HEAD");
  }
}

void HttpServer::Finish(OutgoingResponse& outgoing, bool is_whole) {
  record_(outgoing.record);
  const bool may_reset = outgoing.may_still_send || HasUnreadInput(outgoing.fd.get());
  if (is_whole && may_reset) lingering_.Add(std::move(outgoing.fd));
}

void HttpServer::KeepToBudget() {
  while (budget_.IsOver() && (lingering_.CloseOldest() || arriving_.CloseOldestRequest() ||
                              outgoing_.CutOffSlowest() || arriving_.CloseOldest())) {
  }
}

}  // namespace dockercoins
