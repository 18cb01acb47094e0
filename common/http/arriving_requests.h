#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "common/budget.h"
#include "common/event_loop.h"
#include "common/http/request_parser.h"

namespace dockercoins {

/// The first stage of a connection: until its request is complete, or refused.
///
/// For the server's loop.
class ArrivingRequests {
 public:
  struct Limits {
    std::chrono::milliseconds time = std::chrono::seconds(10);  ///< For the head, and for the body.
    uint64_t body_bytes_per_second = uint64_t{64} * 1024;       ///< As many give a body another second.
    size_t connections = 2048;  ///< Room for a thousand workers, and as many browsers.
    size_t bodies = 512;
    bool answer_options = true;
  };
  using Complete = std::function<void(WatchedFd, std::unique_ptr<Request>, bool may_still_send)>;
  using Refuse = std::function<void(WatchedFd, RequestRecord, const Refusal&)>;

  /// A connection leaves this stage through `complete` or `refuse`, or is closed. The other objects must
  /// outlive this.
  ArrivingRequests(EventLoop& loop, Budget& budget, const Routes& routes, const Limits& limits, Complete complete,
                   Refuse refuse);
  ~ArrivingRequests();

  /// A new connection, non-blocking, of the client at that address.
  void Add(WatchedFd fd, std::string client);

  /// Closes the one that was added first. Returns false when there is none.
  bool CloseOldest();
  void CloseAll();

 private:
  class Arrival;
  using Arrivals = std::list<std::unique_ptr<Arrival>>;

  void Read(Arrival& arrival);
  void TakeMore(Arrival& arrival);
  void GiveUp(Arrival& arrival);
  void RefuseOldestBody();
  void Leave(Arrival& arrival, const Refusal& refusal);
  std::unique_ptr<Arrival> Take(Arrival& arrival);

  EventLoop& loop_;
  Budget& budget_;
  const Routes& routes_;
  const Limits limits_;
  const Complete complete_;
  const Refuse refuse_;
  size_t bodies_ = 0;  ///< Of how many the body is arriving.
  Arrivals arrivals_;  ///< In the order in which they were added.
};

}  // namespace dockercoins
