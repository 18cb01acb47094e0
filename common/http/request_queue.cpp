#include "common/http/request_queue.h"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

namespace dockercoins {

RequestQueue::RequestQueue(size_t threads, Serve serve, Gauge waiting)
    : max_threads_(threads), serve_(std::move(serve)), waiting_(waiting) {}

RequestQueue::~RequestQueue() {
  (void)Stop();
  threads_.clear();  // Joins them.
}

bool RequestQueue::Submit(std::unique_ptr<Request>& request) {
  {
    const std::lock_guard lock(mutex_);
    // If the system gives no more threads, the running ones serve the queue, more slowly.
    if (stopped_ || (NeedsThread() && !StartThread() && threads_.empty())) return false;
    request->record.queued = std::chrono::steady_clock::now();
    queue_.push_back(std::move(request));
    ShowWaiting();
  }
  // One request wakes one thread; a thread that has served takes the next itself.
  submitted_.notify_one();
  return true;
}

std::unique_ptr<Request> RequestQueue::Withdraw(const Request* request) {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(queue_, request, &std::unique_ptr<Request>::get);
  if (found == queue_.end()) return nullptr;
  auto withdrawn = std::move(*found);
  queue_.erase(found);
  ShowWaiting();
  return withdrawn;
}

std::deque<std::unique_ptr<Request>> RequestQueue::Stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  submitted_.notify_all();
  auto waiting = std::exchange(queue_, {});
  ShowWaiting();
  return waiting;
}

bool RequestQueue::NeedsThread() const {
  // The request that asks is not in the queue yet.
  const size_t idle = threads_.size() - in_service_;
  return threads_.size() < max_threads_ && idle <= queue_.size();
}

bool RequestQueue::StartThread() {
  try {
    threads_.emplace_back([this] { Run(); });
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

void RequestQueue::Run() {
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

}  // namespace dockercoins
