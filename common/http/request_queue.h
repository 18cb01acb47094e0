#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "common/http/request.h"
#include "common/metrics.h"

namespace dockercoins {

/// Serves complete requests in the order in which they arrived, at most `threads` at a time.
///
/// With one thread this is DockerCoins' bottleneck, on purpose: the scaling lesson is about finding it.
/// Threads are started when they are first needed.
class RequestQueue {
 public:
  /// Serves a request, on one of the threads. Its turn ends when this returns.
  using Serve = std::function<void(std::unique_ptr<Request>)>;

  /// `waiting` shows how many requests wait.
  RequestQueue(size_t threads, Serve serve, Gauge waiting = {});
  /// Waits for what is being served.
  ~RequestQueue();
  RequestQueue(const RequestQueue&) = delete;
  RequestQueue& operator=(const RequestQueue&) = delete;

  /// Puts `request` at the end of the queue. Returns false when the system has no thread to serve it, or after
  /// Stop: `request` stays the caller's, who refuses it. Thread-safe.
  [[nodiscard]] bool Submit(std::unique_ptr<Request>& request);

  /// Takes `request` out of the queue. Returns null when it does not wait there any more. Thread-safe.
  [[nodiscard]] std::unique_ptr<Request> Withdraw(const Request* request);

  /// Serves nothing more, and returns the requests that wait. Thread-safe.
  [[nodiscard]] std::deque<std::unique_ptr<Request>> Stop();

 private:
  /// True when one more request needs one more thread.
  [[nodiscard]] bool NeedsThread() const;
  /// False when the system gives no more threads.
  bool StartThread();
  void Run();
  void ShowWaiting() const { waiting_.Set(static_cast<double>(queue_.size())); }

  const size_t max_threads_;
  const Serve serve_;
  const Gauge waiting_;
  std::mutex mutex_;
  std::condition_variable submitted_;
  std::deque<std::unique_ptr<Request>> queue_;
  size_t in_service_ = 0;
  bool stopped_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace dockercoins
