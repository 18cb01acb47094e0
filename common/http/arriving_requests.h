#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "common/http/request_parser.h"
#include "common/stage.h"

namespace dockercoins {

class ArrivingRequests;

/// A connection whose request is not complete.
struct ArrivingRequest final : Connection {
  ArrivingRequest(ArrivingRequests& in, WatchedFd socket, std::string address);
  ~ArrivingRequest() override;
  void OnEvent(int fd) override;
  void OnDeadline() override;

  ArrivingRequests& stage;
  std::string client;                          ///< Its address.
  std::unique_ptr<RequestParser> parser = {};  ///< None before the first bytes.
  Clock::time_point deadline;                  ///< May be later than the one that is set.
  Clock::time_point body_begun = {};
  bool has_body = false;  ///< Its body is arriving.
  Stage<ArrivingRequest>::Place place = {};
};

/// The first stage of a connection, until its request is complete or refused.
class ArrivingRequests {
 public:
  struct Limits {
    std::chrono::milliseconds time = std::chrono::seconds(10);  ///< For the head, and for the body.
    uint64_t body_bytes_per_second = uint64_t{64} * 1024;       ///< As many give a body another second.
    size_t connections = 2048;  ///< Room for a thousand workers, and as many browsers.
    size_t bodies = 512;
    bool answer_options = true;
  };
  /// `may_still_send`: the client has declared a body that nobody reads.
  using Complete = std::function<void(WatchedFd, std::unique_ptr<Request>, bool may_still_send)>;
  using Refuse = std::function<void(WatchedFd, RequestRecord, const Refusal&)>;

  /// A connection leaves this stage through `complete` or `refuse`, or is closed. The others must outlive
  /// this.
  ArrivingRequests(EventLoop& loop, Budget& budget, const Routes& routes, const Limits& limits,
                   Complete complete, Refuse refuse);

  /// A new connection, non-blocking, of the client at that address.
  void Add(WatchedFd fd, std::string client);
  bool CloseOldest() { return arriving_.CloseOldest(); }
  /// The same for those that have sent something.
  bool CloseOldestRequest();
  void CloseAll() { arriving_.CloseAll(); }

 private:
  friend struct ArrivingRequest;
  void Read(ArrivingRequest& arriving);
  void TakeMore(ArrivingRequest& arriving);
  /// Closes it without a response if nothing has come.
  void Leave(ArrivingRequest& arriving, const Refusal& refusal);

  EventLoop& loop_;
  Budget& budget_;
  const Routes& routes_;
  const Limits limits_;
  const Complete complete_;
  const Refuse refuse_;
  size_t bodies_ = 0;  ///< Of how many the body is arriving.
  Stage<ArrivingRequest> arriving_;
};

}  // namespace dockercoins
