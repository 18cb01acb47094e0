#pragma once

#include <chrono>
#include <cstddef>

#include "common/stage.h"

namespace dockercoins {

class LingeringConnections;

/// A connection whose response is out, and whose client may still be sending.
struct LingeringConnection final : Connection {
  LingeringConnection(LingeringConnections& in, WatchedFd socket);
  void OnEvent(int fd) override;
  void OnDeadline() override;

  LingeringConnections& stage;
  Stage<LingeringConnection>::Place place = {};
};

/// The last stage of a connection. What its client sends is dropped: a close would reset the connection, and
/// the response could be lost. It ends when the client closes its side, or the time is over.
class LingeringConnections {
 public:
  struct Limits {
    std::chrono::milliseconds time = std::chrono::seconds(1);
    size_t connections = 2048;
  };

  LingeringConnections(EventLoop& loop, Budget& budget, const Limits& limits)
      : loop_(loop), budget_(budget), limits_(limits) {}

  void Add(WatchedFd fd);
  bool CloseOldest() { return lingering_.CloseOldest(); }
  void CloseAll() { lingering_.CloseAll(); }

 private:
  friend struct LingeringConnection;
  EventLoop& loop_;
  Budget& budget_;
  const Limits limits_;
  Stage<LingeringConnection> lingering_;
};

}  // namespace dockercoins
