#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "common/unique_fd.h"

namespace dockercoins {

class EventLoop;

/// Does what is to be done when something happens to a descriptor, or when a time is over. Both may destroy
/// it.
class EventHandler {
 public:
  using Clock = std::chrono::steady_clock;

  explicit EventHandler(EventLoop& loop) : loop_(loop) {}
  virtual ~EventHandler() { ClearDeadline(); }
  EventHandler(const EventHandler&) = delete;
  EventHandler& operator=(const EventHandler&) = delete;

  /// `fd` may be ready. May be called without a reason.
  virtual void OnEvent(int fd) = 0;
  virtual void OnDeadline() {}

  /// Calls OnDeadline at `time`; an earlier call of this counts no more.
  void SetDeadline(Clock::time_point time);
  void ClearDeadline();

 private:
  friend class EventLoop;
  EventLoop& loop_;
  std::multimap<Clock::time_point, EventHandler*>::iterator deadline_;
  bool has_deadline_ = false;
};

/// Waits for many descriptors (epoll) and times at once, and calls their handlers. It knows no protocol.
///
/// For one thread, except Wake. Handlers must not outlive it.
class EventLoop {
 public:
  /// Throws StartError when the system has no epoll or eventfd left.
  EventLoop();

  /// From now on `handler` is called when `fd` has one of `events` (epoll_ctl(2)), until that is no longer
  /// so.
  void Watch(int fd, uint32_t events, EventHandler& handler);
  /// Nobody is called for `fd` any more.
  void Unwatch(int fd);

  /// Waits for what happens next, at most until `time`, and calls its handlers: a bounded number of them.
  void Poll(EventHandler::Clock::time_point time = EventHandler::Clock::time_point::max());

  /// Ends a Poll that waits, or the next one. Thread-safe.
  void Wake() const;

 private:
  friend class EventHandler;
  struct Watched {
    EventHandler* handler = nullptr;
    uint32_t events = 0;
  };

  [[nodiscard]] int TimeoutMs(EventHandler::Clock::time_point time) const;

  const UniqueFd epoll_;
  const UniqueFd wake_;
  std::vector<Watched> watched_;  ///< By descriptor.
  std::multimap<EventHandler::Clock::time_point, EventHandler*> deadlines_;
};

/// Owns a descriptor that a loop watches: whoever gets it next calls Watch before the loop goes on.
class WatchedFd {
 public:
  WatchedFd(EventLoop& loop, UniqueFd fd) : loop_(&loop), fd_(std::move(fd)) {}
  WatchedFd(WatchedFd&&) = default;
  WatchedFd& operator=(WatchedFd&&) = delete;
  ~WatchedFd() {
    if (fd_) loop_->Unwatch(fd_.get());
  }

  void Watch(uint32_t events, EventHandler& handler) const { loop_->Watch(fd_.get(), events, handler); }
  [[nodiscard]] int get() const { return fd_.get(); }

 private:
  EventLoop* loop_;
  UniqueFd fd_;
};

}  // namespace dockercoins
