#include "common/event_loop.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include "common/errors.h"

namespace dockercoins {
namespace {

UniqueFd Checked(int fd, const char* what) {
  if (fd < 0) throw StartError(std::string(what) + ": " + SystemText(errno));
  return UniqueFd(fd);
}

}  // namespace

void EventHandler::SetDeadline(Clock::time_point time) {
  ClearDeadline();
  deadline_ = loop_.deadlines_.emplace(time, this);
  has_deadline_ = true;
}

void EventHandler::ClearDeadline() {
  if (has_deadline_) loop_.deadlines_.erase(deadline_);
  has_deadline_ = false;
}

EventLoop::EventLoop()
    : epoll_(Checked(::epoll_create1(EPOLL_CLOEXEC), "epoll")),
      wake_(Checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
  // Edge-triggered: each Wake is told once, and its count need not be read.
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.fd = wake_.get()}};
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event);
}

void EventLoop::Watch(int fd, uint32_t events, EventHandler& handler) {
  const auto index = static_cast<size_t>(fd);
  if (index >= watched_.size()) watched_.resize(index + 1);
  Watched& watched = watched_[index];
  if (watched.handler == nullptr || watched.events != events) {
    epoll_event event{.events = events, .data = {.fd = fd}};
    ::epoll_ctl(epoll_.get(), watched.handler == nullptr ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
  }
  watched = {.handler = &handler, .events = events};
}

void EventLoop::Unwatch(int fd) {
  // A close does it only if no other process has the descriptor, such as one that was just forked.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  const auto index = static_cast<size_t>(fd);
  if (index < watched_.size()) watched_[index] = {};
}

void EventLoop::Poll(EventHandler::Clock::time_point time) {
  std::array<epoll_event, 64> events{};
  const int count =
      ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), TimeoutMs(time));
  for (int i = 0; i < count; ++i) {
    const int fd = events.at(static_cast<size_t>(i)).data.fd;
    if (fd == wake_.get()) continue;
    // Null if an event before this one has closed it. If another one was opened, OnEvent has no reason.
    if (EventHandler* handler = watched_[static_cast<size_t>(fd)].handler) handler->OnEvent(fd);
  }
  const auto now = EventHandler::Clock::now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    EventHandler& handler = *deadlines_.begin()->second;
    handler.ClearDeadline();
    handler.OnDeadline();
  }
}

void EventLoop::Wake() const { ::eventfd_write(wake_.get(), 1); }

int EventLoop::TimeoutMs(EventHandler::Clock::time_point time) const {
  if (!deadlines_.empty()) time = std::min(time, deadlines_.begin()->first);
  if (time == EventHandler::Clock::time_point::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(time - EventHandler::Clock::now());
  return static_cast<int>(std::max<int64_t>(left.count(), 0));
}

}  // namespace dockercoins
