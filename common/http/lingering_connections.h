#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <memory>

#include "common/budget.h"
#include "common/event_loop.h"

namespace dockercoins {

/// The last stage of a connection: its response is out, and its client may still be sending. What it sends is
/// dropped, because a close would reset the connection, and the response could be lost.
///
/// For the server's loop.
class LingeringConnections {
 public:
  struct Limits {
    std::chrono::milliseconds time = std::chrono::seconds(1);
    size_t connections = 2048;
  };

  LingeringConnections(EventLoop& loop, Budget& budget, const Limits& limits);
  ~LingeringConnections();

  /// Lingers until the client closes its side, or the time is over.
  void Add(WatchedFd fd);

  /// Closes the one that was added first. Returns false when there is none.
  bool CloseOldest();
  void CloseAll();

 private:
  class Lingering;

  EventLoop& loop_;
  Budget& budget_;
  const Limits limits_;
  std::list<std::unique_ptr<Lingering>> lingering_;
};

}  // namespace dockercoins
