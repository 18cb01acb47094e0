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

/// Ends a Poll at its deadline.
class Alarm final : public EventHandler {
 public:
  using EventHandler::EventHandler;
  void OnEvent(int /*fd*/) override {}
};

}  // namespace

HttpServer::HttpServer(ListenSocket socket, const Options& options, const Routes& routes, Log& log)
    : options_(options),
      port_(socket.port),
      access_log_(options.log_access ? &log : nullptr, options.metrics),
      log_(log),
      budget_(options.budget_bytes),
      waiting_budget_(options.budget_bytes / 4 * 3, budget_),
      arriving_(
          loop_, budget_, routes, options.arriving,
          [this](WatchedFd fd, std::unique_ptr<Request> request, bool may_still_send) {
            Enqueue(std::move(fd), std::move(request), may_still_send);
          },
          [this](WatchedFd fd, RequestRecord record, const Refusal& refusal) {
            Refuse(std::move(fd), std::move(record), refusal);
          }),
      waiting_(loop_, waiting_budget_,
               options.withdraw_clients_that_left
                   ? [this](const Request* request) { Withdraw(request); }
                   : WaitingClients::Left()),
      outgoing_(loop_, budget_, options.outgoing, log,
                [this](OutgoingResponses::Outgoing outgoing, bool is_whole) {
                  Finish(std::move(outgoing), is_whole);
                }),
      lingering_(loop_, budget_, options.lingering),
      listener_(std::make_unique<Listener>(
          loop_, std::move(socket),
          [this](WatchedFd fd, std::string client) { arriving_.Add(std::move(fd), std::move(client)); },
          [this] { return CloseOldest(); })),
      queue_(
          options.threads, [this](std::unique_ptr<Request> request) { Serve(std::move(request)); },
          options.metrics == nullptr ? Gauge() : options.metrics->Waiting()) {}

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
  for (auto& request : queue_.Stop()) {
    auto taken = waiting_.Take(*request->client);
    Refuse(std::move(taken.fd), std::move(request->record), {.status = kServiceUnavailable, .reason = kStopping});
  }
  EndResponses();
}

void HttpServer::EndResponses() {
  auto deadline = Clock::now();
  for (const auto time : {kGrace, kTimeToRefuse}) {
    deadline += time;
    Alarm alarm(loop_);
    alarm.SetDeadline(deadline);
    while ((!waiting_.IsEmpty() || !outgoing_.IsEmpty()) && Clock::now() < deadline) {
      loop_.Poll();
      BeginResponses();
    }
    cut_.request_stop();
  }
  {
    const std::lock_guard lock(served_mutex_);
    ended_ = true;
  }
  BeginResponses();
  outgoing_.CutOffAll();
  waiting_.CloseAll();
  lingering_.CloseAll();
}

void HttpServer::Enqueue(WatchedFd fd, std::unique_ptr<Request> request, bool may_still_send) {
  if (!listener_->HasSpare()) {
    Refuse(std::move(fd), std::move(request->record),
           {.status = kServiceUnavailable, .reason = "there is no free descriptor"});
    return;
  }
  WaitingClient& client = waiting_.Add(std::move(fd), *request, may_still_send);
  request->client = &client;
  if (!waiting_budget_.IsOver() && queue_.Submit(request)) return;
  auto taken = waiting_.Take(client);
  Refuse(std::move(taken.fd), std::move(request->record),
         {.status = kServiceUnavailable, .reason = "too many requests wait"});
}

void HttpServer::Refuse(WatchedFd fd, RequestRecord record, const Refusal& refusal) {
  if (!refusal.log.empty()) log_.Error("In a response: " + refusal.log);
  const bool is_head = record.request_line.starts_with("HEAD ");
  httplib::Response response;
  SetRefusal(response, refusal);
  // The client may still be sending, and would lose the response to a reset.
  outgoing_.Add({.fd = std::move(fd), .may_still_send = true, .record = std::move(record)}, std::move(response),
                is_head);
}

void HttpServer::Withdraw(const Request* request) {
  const auto withdrawn = queue_.Withdraw(request);
  if (!withdrawn) return;
  access_log_.Write(withdrawn->record);
  (void)waiting_.Take(*withdrawn->client);
}

void HttpServer::Serve(std::unique_ptr<Request> request) {
  RequestRecord& record = request->record;
  record.begun = Clock::now();
  httplib::Response response;
  try {
    record.route->HandlerFor(request->http.method)(request->http, response,
                                                   {.arrived = record.queued, .cut = cut_.get_token()});
  } catch (const std::exception& error) {
    log_.Error(std::string("In a response: ") + error.what());
    response = {};
    SetError(response, kInternalServerError, kFailed);
  }
  record.ready = Clock::now();
  bool is_first = false;
  {
    const std::lock_guard lock(served_mutex_);
    if (ended_) {
      access_log_.Write(record);
      return;
    }
    is_first = served_.empty();
    served_.push_back({.request = std::move(request), .response = std::move(response)});
  }
  if (is_first) loop_.Wake();
}

void HttpServer::BeginResponses() {
  std::vector<Served> served;
  {
    const std::lock_guard lock(served_mutex_);
    served.swap(served_);
  }
  for (auto& [request, response] : served) {
    auto taken = waiting_.Take(*request->client);
    outgoing_.Add({.fd = std::move(taken.fd),
                   .may_still_send = taken.may_still_send,
                   .record = std::move(request->record)},
                  std::move(response), request->http.method == "HEAD");
  }
}

void HttpServer::Finish(OutgoingResponses::Outgoing outgoing, bool is_whole) {
  access_log_.Write(outgoing.record);
  const bool may_reset = outgoing.may_still_send || HasUnreadInput(outgoing.fd.get());
  if (is_whole && may_reset) lingering_.Add(std::move(outgoing.fd));
}

void HttpServer::KeepToBudget() {
  while (budget_.IsOver() && (CloseOldest() || outgoing_.CutOffSlowest())) {
  }
}

}  // namespace dockercoins
