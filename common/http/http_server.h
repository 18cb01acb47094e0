#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "common/http/arriving_requests.h"
#include "common/http/lingering_connections.h"
#include "common/http/outgoing_responses.h"
#include "common/http/waiting_clients.h"
#include "common/listen.h"
#include "common/listener.h"
#include "common/log.h"
#include "common/request_queue.h"

namespace dockercoins {

/// An HTTP server that keeps slow clients away from the threads that serve.
///
/// One loop owns every connection, which goes through four stages: ArrivingRequests, WaitingClient,
/// OutgoingResponses, LingeringConnections. A request enters the RequestQueue when it is complete, and leaves
/// it when its response is ready. So idle, half-sent and dripping connections and slow readers cost the
/// others nothing. What is refused gets no turn. Every response closes its connection.
///
/// The constructor, Start and Stop are for one thread.
class HttpServer {
 public:
  struct Options {
    size_t threads = 1;  ///< How many requests are served at a time.
    /// A client that closes its side while it waits leaves the queue; otherwise it is served.
    bool withdraw_clients_that_left = false;
    std::function<void(const RequestRecord&)> record = [](const RequestRecord&) {};  ///< Called at each end.
    Gauge waiting = {};                              ///< Shows how many requests wait.
    size_t budget_bytes = size_t{12} * 1024 * 1024;  ///< For all that is held of clients.
    ArrivingRequests::Limits arriving = {};
    OutgoingResponses::Limits outgoing = {};
    LingeringConnections::Limits lingering = {};
  };

  /// Serves what arrives at `socket` by `routes`. `routes`, `log` and the metrics must outlive this.
  HttpServer(ListenSocket socket, const Options& options, const Routes& routes, Log& log);
  /// Stops, if that has not been done.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Begins to accept.
  void Start();

  /// Ends within little more than half a second: closes what is not complete, refuses what waits with 503,
  /// lets what is being served finish for half a second, then cuts it off.
  void Stop();

  /// Where it listens.
  [[nodiscard]] uint16_t port() const { return port_; }

 private:
  // On the loop's thread.
  void Run();
  void EndResponses();
  void Enqueue(WatchedFd fd, std::unique_ptr<Request> request, bool may_still_send);
  void RefuseWaiting(std::unique_ptr<Request> request, const char* reason);
  void Refuse(WatchedFd fd, RequestRecord record, const Refusal& refusal);
  void Withdraw(const Request* request);
  void BeginResponses();
  void Finish(OutgoingResponse& outgoing, bool is_whole);
  bool CloseOldest() { return lingering_.CloseOldest() || arriving_.CloseOldest(); }
  void KeepToBudget();

  // On a serving thread.
  void Serve(std::unique_ptr<Request> request);

  const uint16_t port_;
  const std::function<void(const RequestRecord&)> record_;
  Log& log_;
  EventLoop loop_;
  Budget budget_;
  Budget waiting_budget_;  ///< The rest is for those that come while the queue is full, until they get their
                           ///< 503.
  const WaitingClient::Left left_;
  ArrivingRequests arriving_;
  Stage<WaitingClient> waiting_;
  OutgoingResponses outgoing_;
  LingeringConnections lingering_;
  std::unique_ptr<Listener> listener_;  ///< Null while it stops.
  std::atomic<bool> stopping_ = false;
  std::stop_source cut_;  ///< Ends what is being served.
  std::mutex served_mutex_;
  std::vector<std::unique_ptr<Request>> served_;  ///< Whose turns are over. Under served_mutex_, as is:
  bool ended_ = false;                            ///< The loop takes no more of them.
  RequestQueue<Request> queue_;
  std::jthread thread_;
};

}  // namespace dockercoins
