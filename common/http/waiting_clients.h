#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>

#include "common/budget.h"
#include "common/event_loop.h"
#include "common/http/request.h"

namespace dockercoins {

class WaitingClients;

/// The second stage of a connection: a client whose request is in the queue or in service. What it sends is
/// dropped. For the server's loop.
class WaitingClient final : public EventHandler {
 public:
  /// For WaitingClients.
  WaitingClient(WaitingClients& clients, EventLoop& loop, Budget& budget, WatchedFd fd, const Request& request,
                bool may_still_send);

  void OnEvent(int fd) override;

 private:
  friend class WaitingClients;

  void DropInput();

  WaitingClients& clients_;
  WatchedFd fd_;
  const Request* const request_;
  const Clock::time_point since_ = Clock::now();
  bool may_still_send_;
  Budget::Share share_;
  std::list<std::unique_ptr<WaitingClient>>::iterator place_;
};

/// All of them.
class WaitingClients {
 public:
  /// The client of that request, which may be in service by now, has left.
  using Left = std::function<void(const Request*)>;

  /// A client that closes its sending side within this time has half-closed it, and still waits (contract).
  static constexpr auto kHalfCloseTime = std::chrono::milliseconds(100);

  /// Without `left`, nobody is told. The other objects must outlive this.
  WaitingClients(EventLoop& loop, Budget& budget, Left left);

  /// The client of `request`. `may_still_send`: it has declared a body that nobody reads.
  WaitingClient& Add(WatchedFd fd, const Request& request, bool may_still_send);

  /// Ends the wait of `client`. `may_still_send`: a close could reset the connection.
  struct Taken {
    WatchedFd fd;
    bool may_still_send;
  };
  [[nodiscard]] Taken Take(WaitingClient& client);

  void CloseAll() { clients_.clear(); }
  [[nodiscard]] bool IsEmpty() const { return clients_.empty(); }

 private:
  friend class WaitingClient;

  EventLoop& loop_;
  Budget& budget_;
  const Left left_;
  std::list<std::unique_ptr<WaitingClient>> clients_;
};

}  // namespace dockercoins
