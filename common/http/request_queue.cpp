#include "common/http/request_queue.h"

#include <sys/socket.h>

#include <algorithm>
#include <iterator>
#include <system_error>
#include <utility>

namespace dockercoins {
namespace {

/// Room for thousands of workers, whose requests have 100 to 200 bytes; not for as many large requests.
constexpr size_t kMaxComplete = 4096;
constexpr size_t kMaxCompleteBytes = size_t{2} * 1024 * 1024;
/// Each of these holds 16 KiB at most.
constexpr size_t kMaxArriving = 128;
/// At most so many complete requests are served in a row before one that is still arriving.
constexpr size_t kTurnsOfComplete = 10;

}  // namespace

RequestQueue::RequestQueue(size_t threads, Serve serve, Done done, Gauge waiting)
    : max_threads_(threads), serve_(std::move(serve)), done_(std::move(done)), waiting_(waiting) {}

RequestQueue::~RequestQueue() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  submitted_.notify_all();
}

bool RequestQueue::Submit(std::unique_ptr<Connection>& connection) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_ || !HasRoomFor(*connection)) return false;
    // If the system gives no more threads, the running ones serve the queue, more slowly.
    if (NeedsThread() && !StartThread() && threads_.empty()) return false;
    if (connection->complete) complete_bytes_ += connection->received.size();
    connection->record.queued = std::chrono::steady_clock::now();
    (connection->complete ? complete_ : arriving_).push_back(std::move(connection));
    ShowWaiting();
  }
  // One request wakes one thread; a thread that has served takes the next itself.
  submitted_.notify_one();
  return true;
}

bool RequestQueue::SomebodyWaits() const {
  const std::lock_guard lock(mutex_);
  return !complete_.empty() || !arriving_.empty();
}

bool RequestQueue::HasRoomFor(const Connection& connection) const {
  if (!connection.complete) return arriving_.size() < kMaxArriving;
  return complete_.size() < kMaxComplete && complete_bytes_ < kMaxCompleteBytes;
}

bool RequestQueue::NeedsThread() const {
  // The request that asks is not in its queue yet.
  const size_t idle = threads_.size() - in_service_.size();
  return threads_.size() < max_threads_ && idle <= complete_.size() + arriving_.size();
}

bool RequestQueue::StartThread() {
  try {
    threads_.emplace_back([this, thread = threads_.size()] { Run(thread); });
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

RequestQueue::Queue* RequestQueue::NextQueue() {
  const size_t arriving_limit = std::max<size_t>(1, max_threads_ / 2);
  const bool arriving_may = !arriving_.empty() && arriving_in_service_ < arriving_limit;
  if (arriving_may && (complete_.empty() || turns_of_complete_ >= kTurnsOfComplete)) return &arriving_;
  return complete_.empty() ? nullptr : &complete_;
}

void RequestQueue::ShowWaiting() const {
  waiting_.Set(static_cast<double>(complete_.size() + arriving_.size()));
}

std::unique_ptr<Connection> RequestQueue::TakeFrom(Queue& queue) {
  auto connection = std::move(queue.front());
  queue.pop_front();
  if (connection->complete) complete_bytes_ -= connection->received.size();
  turns_of_complete_ = connection->complete && !arriving_.empty() ? turns_of_complete_ + 1 : 0;
  ShowWaiting();
  return connection;
}

void RequestQueue::Run(size_t thread) {
  std::unique_lock lock(mutex_);
  for (;;) {
    Queue* queue = nullptr;
    submitted_.wait(lock, [&] { return stopped_ || (queue = NextQueue()) != nullptr; });
    if (stopped_) return;
    std::unique_ptr<Connection> connection = TakeFrom(*queue);
    const bool arriving = queue == &arriving_;
    in_service_.push_back(connection.get());
    if (arriving) ++arriving_in_service_;

    lock.unlock();
    serve_(thread, *connection);
    lock.lock();

    std::erase(in_service_, connection.get());
    if (arriving) --arriving_in_service_;
    lock.unlock();
    done_(std::move(connection));
    lock.lock();
  }
}

std::vector<std::unique_ptr<Connection>> RequestQueue::Stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  submitted_.notify_all();
  std::vector<std::unique_ptr<Connection>> waiting;
  std::move(complete_.begin(), complete_.end(), std::back_inserter(waiting));
  std::move(arriving_.begin(), arriving_.end(), std::back_inserter(waiting));
  complete_bytes_ = 0;
  complete_.clear();
  arriving_.clear();
  ShowWaiting();
  return waiting;
}

void RequestQueue::CutOff() {
  const std::lock_guard lock(mutex_);
  for (const Connection* connection : in_service_) ::shutdown(connection->fd.get(), SHUT_RDWR);
}

}  // namespace dockercoins
