#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "common/http/connection.h"
#include "common/metrics.h"

namespace dockercoins {

/// Serves complete requests in the order in which they arrived, at most `threads` at a time. A turn ends when
/// the answer is ready, before it is written.
///
/// With one thread this is DockerCoins' bottleneck, on purpose: the scaling lesson is about finding it.
/// Requests whose body is still arriving wait in a second queue. It gets at most half of the threads, so that
/// slow senders cannot take them all, and, while complete requests wait, one turn after ten of theirs.
/// Threads are started when they are first needed.
class RequestQueue {
 public:
  /// Serves a connection on thread number `thread`, from 0.
  using Serve = std::function<void(size_t thread, Connection& connection)>;
  /// Takes a connection whose turn is over; called by any of the threads; must not block.
  using Done = std::function<void(std::unique_ptr<Connection>)>;

  /// `waiting` shows how many connections wait.
  RequestQueue(size_t threads, Serve serve, Done done, Gauge waiting = {});
  /// Waits for what is being served.
  ~RequestQueue();
  RequestQueue(const RequestQueue&) = delete;
  RequestQueue& operator=(const RequestQueue&) = delete;

  /// Puts a connection at the end of its queue. Returns false when that is full, when the system has no
  /// thread to serve it, or after Stop: `connection` stays the caller's, who refuses it. Thread-safe.
  [[nodiscard]] bool Submit(std::unique_ptr<Connection>& connection);

  /// Serves nothing more, and returns the connections that wait. Call it once.
  [[nodiscard]] std::vector<std::unique_ptr<Connection>> Stop();

  /// Whether a request waits for its turn. Thread-safe.
  [[nodiscard]] bool SomebodyWaits() const;

  /// Shuts down the sockets of what is being served, which ends its reads. Thread-safe.
  void CutOff();

 private:
  using Queue = std::deque<std::unique_ptr<Connection>>;

  [[nodiscard]] bool HasRoomFor(const Connection& connection) const;
  /// True when one more request needs one more thread.
  [[nodiscard]] bool NeedsThread() const;
  /// False when the system gives no more threads.
  bool StartThread();
  void Run(size_t thread);
  /// The queue whose first connection is next; null when none is.
  Queue* NextQueue();
  std::unique_ptr<Connection> TakeFrom(Queue& queue);
  void ShowWaiting() const;

  const size_t max_threads_;
  const Serve serve_;
  const Done done_;
  const Gauge waiting_;
  mutable std::mutex mutex_;
  std::condition_variable submitted_;
  Queue complete_;
  Queue arriving_;
  std::vector<const Connection*> in_service_;
  size_t arriving_in_service_ = 0;
  size_t turns_of_complete_ = 0;  ///< In a row, while others waited in arriving_.
  size_t complete_bytes_ = 0;     ///< Received of what is in complete_.
  bool stopped_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace dockercoins
