#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "common/http/access_log.h"
#include "common/http/connection.h"
#include "common/http/http_handler.h"
#include "common/http/http_metrics.h"
#include "common/http/request_queue.h"
#include "common/listen.h"
#include "common/log.h"

namespace dockercoins {

class Exchange;

/// An HTTP server that keeps slow clients away from the threads that serve.
///
/// One thread parks every connection until its request is complete, puts it in a RequestQueue, and writes
/// what a client does not take at once. So idle, half-sent and dripping connections and slow readers cost the
/// others nothing, and requests are served in the order in which they became complete. Every answer closes
/// its connection.
///
/// The constructor, Start and Stop are for one thread.
class HttpServer {
 public:
  struct Options {
    size_t threads = 1;  ///< How many requests are served at a time.
    /// A client that closed its side before its turn is passed over when others wait.
    bool skip_clients_that_left = false;
    bool log_access = true;
    const HttpMetrics* metrics = nullptr;  ///< Counts what goes into the access log, if it is there.
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
  [[nodiscard]] uint16_t port() const { return socket_.port; }

 private:
  using Connections = std::list<std::unique_ptr<Connection>>;
  using Clock = std::chrono::steady_clock;

  void Run(const std::stop_token& stop);
  [[nodiscard]] int NextTimeoutMs() const;
  void Accept();
  void PauseAccepting();
  void CloseOne();
  void MakeRoom();
  void ReadRequest(Connection& connection);
  void Enqueue(std::unique_ptr<Connection> connection);
  void DropInput(Connection& connection);
  void CloseExpired();
  void TakeBackServed();
  void StopReading();
  void WriteOn(Connection& connection);
  void CutSlowReaders();
  void CutSlowestReader();
  void CutOff(Connection& connection);
  void Park(std::unique_ptr<Connection> connection, Connection::Stage stage);
  Connections& ListOf(Connection::Stage stage);
  std::unique_ptr<Connection> Unpark(Connection& connection);
  void Close(Connection& connection);
  void Refuse(std::unique_ptr<Connection> connection, int status, const std::string& reason);
  void Answer(Connection& connection, int status, const std::string& reason);
  void Serve(size_t thread, Connection& connection);
  void BeginAnswer(std::unique_ptr<Connection> connection);
  void Finish(Connection& connection);
  /// False when nothing is to be awaited of the client, so that the connection can be closed.
  bool FinishAndLinger(Connection& connection, WriteResult result);
  void Forget();
  bool AwaitAnswers(Clock::time_point deadline);

  const Options options_;
  ListenSocket socket_;
  const AccessLog access_log_;
  UniqueFd epoll_;
  UniqueFd wake_;  ///< An eventfd: served connections or a stop.

  // Of the parking thread. The first two lists are in the order of their deadlines.
  Connections parked_;
  Connections lingering_;
  Connections writing_;
  Connections closed_;  ///< Kept until the events at hand have been dealt with.
  size_t parked_bytes_ = 0;
  bool accepting_ = true;
  Clock::time_point resume_accepting_;
  Clock::time_point look_at_readers_;

  std::atomic<bool> stopping_ = false;
  std::mutex served_mutex_;
  std::condition_variable finished_;
  std::vector<std::unique_ptr<Connection>> served_;  ///< Whose turn is over, and who is not done with.
  size_t unfinished_ = 0;  ///< Under served_mutex_: in the queue, being served, or being written to.
  bool stopped_ = false;   ///< Under served_mutex_.

  std::stop_source cut_;
  const Routes& routes_;
  Log& log_;
  std::vector<std::unique_ptr<Exchange>> exchanges_;  ///< One for each thread that serves, made by it.
  RequestQueue queue_;
  std::jthread thread_;
};

}  // namespace dockercoins
