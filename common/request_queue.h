#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "common/metrics.h"

namespace dockercoins {

/// Serves complete requests in the order in which they arrived, at most `threads` at a time.
///
/// With one thread this is DockerCoins' bottleneck, on purpose: the scaling lesson is about finding it.
/// Threads are started when they are first needed. Thread-safe.
template <typename Request>
class RequestQueue {
 public:
  using Requests = std::deque<std::unique_ptr<Request>>;
  /// Serves a request, on one of the threads. Its turn ends when this returns.
  using Serve = std::function<void(std::unique_ptr<Request>)>;

  /// `waiting` shows how many requests wait.
  RequestQueue(size_t threads, Serve serve, Gauge waiting)
      : max_threads_(threads), serve_(std::move(serve)), waiting_(waiting) {}
  /// Waits for what is being served.
  ~RequestQueue() { (void)Stop(); }
  RequestQueue(const RequestQueue&) = delete;
  RequestQueue& operator=(const RequestQueue&) = delete;

  /// Puts `request` at the end of the queue. Returns false when the system has no thread to serve it, or
  /// after Stop: `request` stays the caller's, who refuses it.
  [[nodiscard]] bool Submit(std::unique_ptr<Request>& request) {
    {
      const std::lock_guard lock(mutex_);
      if (stopped_ || !HasThread()) return false;
      queue_.push_back(std::move(request));
      ShowWaiting();
    }
    // One request wakes one thread; a thread that has served takes the next itself.
    submitted_.notify_one();
    return true;
  }

  /// Takes `request` out of the queue. Returns null when it does not wait there any more.
  [[nodiscard]] std::unique_ptr<Request> Withdraw(const Request* request) {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(queue_, request, &std::unique_ptr<Request>::get);
    if (found == queue_.end()) return nullptr;
    auto withdrawn = std::move(*found);
    queue_.erase(found);
    ShowWaiting();
    return withdrawn;
  }

  /// Serves nothing more, and returns the requests that wait.
  [[nodiscard]] Requests Stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    submitted_.notify_all();
    auto waiting = std::exchange(queue_, {});
    ShowWaiting();
    return waiting;
  }

 private:
  /// Starts a thread if one more request needs one. Returns false when there is none at all.
  bool HasThread() {
    // The request that asks is not in the queue yet.
    const size_t idle = threads_.size() - in_service_;
    if (threads_.size() == max_threads_ || idle > queue_.size()) return true;
    try {
      threads_.emplace_back([this] { Run(); });
      return true;
    } catch (const std::system_error&) {
      // The system gives no more threads. The running ones serve the queue, more slowly.
      return !threads_.empty();
    }
  }

  void Run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      submitted_.wait(lock, [this] { return stopped_ || !queue_.empty(); });
      if (stopped_) return;
      auto request = std::move(queue_.front());
      queue_.pop_front();
      ++in_service_;
      ShowWaiting();
      lock.unlock();
      serve_(std::move(request));
      lock.lock();
      --in_service_;
    }
  }

  void ShowWaiting() const { waiting_.Set(static_cast<double>(queue_.size())); }

  const size_t max_threads_;
  const Serve serve_;
  const Gauge waiting_;
  std::mutex mutex_;
  std::condition_variable submitted_;
  Requests queue_;
  size_t in_service_ = 0;
  bool stopped_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace dockercoins
