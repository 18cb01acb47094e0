#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <utility>

#include "common/socket.h"
#include "common/stage.h"

namespace dockercoins {

/// The last stage of a connection: its response is out, and its client may still be sending. What it sends is
/// dropped: a close would reset the connection, and the response could be lost. It ends when the client
/// closes its side, or the time is over.
class LingeringConnections {
 public:
  struct Limits {
    std::chrono::milliseconds time = std::chrono::seconds(1);
    size_t connections = 2048;
  };

  LingeringConnections(EventLoop& loop, Budget& budget, const Limits& limits)
      : loop_(loop), budget_(budget), limits_(limits) {}

  void Add(WatchedFd fd) {
    ::shutdown(fd.get(), SHUT_WR);
    auto& added = lingering_.Add(std::make_unique<Lingering>(loop_, budget_, std::move(fd), lingering_));
    added.Holds(sizeof(added));
    added.SetDeadline(EventHandler::Clock::now() + limits_.time);
    added.fd.Watch(EPOLLIN, added);
    if (lingering_.size() > limits_.connections) CloseOldest();
  }
  bool CloseOldest() { return lingering_.CloseOldest(); }
  void CloseAll() { lingering_.CloseAll(); }

 private:
  struct Lingering final : Connection {
    Lingering(EventLoop& loop, Budget& budget, WatchedFd socket, Stage<Lingering>& in)
        : Connection(loop, budget, std::move(socket)), stage(in) {}
    void OnEvent(int /*fd*/) override {
      if (!DropInput(fd.get())) stage.Take(*this);
    }
    void OnDeadline() override { stage.Take(*this); }

    Stage<Lingering>& stage;
    Stage<Lingering>::Place place = {};
  };

  EventLoop& loop_;
  Budget& budget_;
  const Limits limits_;
  Stage<Lingering> lingering_;
};

}  // namespace dockercoins
