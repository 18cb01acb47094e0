#include "common/http/lingering_connections.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <iterator>
#include <utility>

#include "common/socket.h"

namespace dockercoins {
namespace {

/// The memory of one connection: this stage's object, and what the loop keeps.
constexpr size_t kConnectionBytes = 320;

}  // namespace

/// One connection of this stage.
class LingeringConnections::Lingering final : public EventHandler {
 public:
  Lingering(LingeringConnections& stage, WatchedFd socket)
      : EventHandler(stage.loop_), fd(std::move(socket)), share_(stage.budget_), stage_(stage) {
    share_.Set(kConnectionBytes);
    SetDeadline(Clock::now() + stage.limits_.time);
  }

  void OnEvent(int /*fd*/) override {
    ReadBuffer buffer;  // NOLINT: 16 KiB need no zeroes
    if (!ReceiveNow(fd.get(), buffer)) OnDeadline();
  }
  void OnDeadline() override { stage_.lingering_.erase(place); }

  WatchedFd fd;
  std::list<std::unique_ptr<Lingering>>::iterator place;

 private:
  Budget::Share share_;
  LingeringConnections& stage_;
};

LingeringConnections::LingeringConnections(EventLoop& loop, Budget& budget, const Limits& limits)
    : loop_(loop), budget_(budget), limits_(limits) {}

LingeringConnections::~LingeringConnections() = default;

void LingeringConnections::CloseAll() { lingering_.clear(); }

void LingeringConnections::Add(WatchedFd fd) {
  ::shutdown(fd.get(), SHUT_WR);
  auto& added = *lingering_.emplace_back(std::make_unique<Lingering>(*this, std::move(fd)));
  added.place = std::prev(lingering_.end());
  added.fd.Watch(EPOLLIN, added);
  if (lingering_.size() > limits_.connections) CloseOldest();
}

bool LingeringConnections::CloseOldest() {
  if (lingering_.empty()) return false;
  lingering_.pop_front();
  return true;
}

}  // namespace dockercoins
