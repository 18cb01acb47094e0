#pragma once

#include <functional>
#include <string>

#include "common/event_loop.h"
#include "common/listen.h"
#include "common/unique_fd.h"

namespace dockercoins {

/// Accepts connections. Without a free descriptor it has the server close what can be closed; when nothing
/// can, it has a spare one for a connection that is to be told so.
///
/// For the server's loop.
class Listener final : public EventHandler {
 public:
  using Accepted = std::function<void(WatchedFd, std::string client)>;
  /// Closes one connection that serves nobody yet; false when there is none.
  using CloseOne = std::function<bool()>;

  Listener(EventLoop& loop, ListenSocket socket, Accepted accepted, CloseOne close_one);
  ~Listener() override;

  /// False while the spare descriptor is in use: the server can take no more requests.
  [[nodiscard]] bool HasSpare();

  void OnEvent(int fd) override;
  void OnDeadline() override;

 private:
  [[nodiscard]] UniqueFd Accept(std::string& client) const;
  bool FreeOne();

  EventLoop& loop_;
  const UniqueFd socket_;
  const Accepted accepted_;
  const CloseOne close_one_;
  UniqueFd spare_;
};

}  // namespace dockercoins
