#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>

#include "tests/unit/eventually.h"

namespace dockercoins {

/// Stops threads until it is opened, and counts them. Thread-safe.
class Gate {
 public:
  /// Waits until the gate is open, or kPatience is over.
  void Pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait_for(lock, kPatience, [this] { return open_; });
  }

  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

  /// Waits until `count` threads in total have come to the gate.
  [[nodiscard]] bool AwaitArrived(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return arrived_ >= count; });
  }

  [[nodiscard]] size_t Arrived() {
    const std::lock_guard lock(mutex_);
    return arrived_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t arrived_ = 0;
  bool open_ = false;
};

}  // namespace dockercoins
