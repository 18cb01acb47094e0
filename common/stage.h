#pragma once

#include <cstddef>
#include <iterator>
#include <list>
#include <memory>
#include <utility>

#include "common/budget.h"
#include "common/event_loop.h"

namespace dockercoins {

/// A client's connection, and what one stage of it needs: each stage has a class of its own. For the server's
/// loop.
class Connection : public EventHandler {
 public:
  Connection(EventLoop& loop, Budget& budget, WatchedFd socket)
      : EventHandler(loop), fd(std::move(socket)), share_(budget) {}

  /// It takes `bytes` of memory by now, besides what a list, the loop and its deadlines take for it.
  void Holds(size_t bytes) {
    constexpr size_t kAround = 160;
    share_.Set(bytes + kAround);
  }

  WatchedFd fd;

 private:
  Budget::Share share_;
};

/// Owns the connections of one stage, a class derived from Connection, in the order in which they came.
template <typename Staged>
class Stage {
 public:
  Staged& Add(std::unique_ptr<Staged> added) {
    connections_.push_back(std::move(added));
    connections_.back()->place = std::prev(connections_.end());
    return *connections_.back();
  }
  std::unique_ptr<Staged> Take(Staged& connection) {
    auto taken = std::move(*connection.place);
    connections_.erase(taken->place);
    return taken;
  }
  /// Returns false when there is none.
  bool CloseOldest() {
    if (connections_.empty()) return false;
    connections_.pop_front();
    return true;
  }
  void CloseAll() { connections_.clear(); }
  [[nodiscard]] size_t size() const { return connections_.size(); }
  [[nodiscard]] auto begin() const { return connections_.begin(); }
  [[nodiscard]] auto end() const { return connections_.end(); }

  using Place = typename std::list<std::unique_ptr<Staged>>::iterator;

 private:
  std::list<std::unique_ptr<Staged>> connections_;
};

}  // namespace dockercoins
