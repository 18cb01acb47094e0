#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "common/http/request.h"
#include "common/stage.h"

namespace dockercoins {

/// A client whose request is in the queue or in service: the second stage of a connection. What it sends is
/// dropped.
struct WaitingClient final : Connection {
  /// A client that closes its sending side within this time has half-closed it, and still waits (contract).
  static constexpr auto kHalfCloseTime = std::chrono::milliseconds(100);
  /// The client of that request, which may be in service by now, has left.
  using Left = std::function<void(const Request*)>;

  /// `may_still_send`: it has declared a body that nobody reads. Without `left`, nobody is told.
  WaitingClient(EventLoop& loop, Budget& budget, WatchedFd socket, const Request& of, bool may_still_send,
                const Left& left);
  void OnEvent(int fd) override;

  bool may_still_send;  ///< A close could reset the connection.
  Stage<WaitingClient>::Place place = {};

 private:
  const Request* const request_;
  const Left& left_;
  const Clock::time_point since_ = Clock::now();
};

}  // namespace dockercoins
