#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>

#include "common/http/response_bytes.h"
#include "common/stage.h"

namespace dockercoins {

class OutgoingResponses;

/// A connection whose response is being written. What its client sends meanwhile is dropped.
struct OutgoingResponse final : Connection {
  OutgoingResponse(OutgoingResponses& in, WatchedFd socket, RequestRecord of, httplib::Response response,
                   bool client_may_still_send, bool is_head);
  void OnEvent(int fd) override;
  void OnDeadline() override;
  void CountBytes();
  /// How many bytes the client has acknowledged.
  [[nodiscard]] uint64_t Acknowledged() const;

  OutgoingResponses& stage;
  RequestRecord record;
  ResponseBytes bytes;
  bool may_still_send;  ///< A close could reset the connection, and lose the response.
  uint64_t sent = 0;    ///< What the system has taken.
  const Clock::time_point begun = Clock::now();
  Clock::time_point progress = begun;  ///< When the client was last seen to have taken something,
  uint64_t taken = 0;                  ///< and how much it had by then.
  Stage<OutgoingResponse>::Place place = {};
};

/// The third stage of a connection, until its response has been written, at the speed of its reader.
class OutgoingResponses {
 public:
  struct Limits {
    std::chrono::milliseconds pause = std::chrono::seconds(30);  ///< For a reader that takes nothing.
    std::chrono::milliseconds time = std::chrono::minutes(5);    ///< For the whole response.
    size_t readers = 512;  ///< Of more, the one that has taken nothing for longest is cut off.
  };
  /// The response is over. `is_whole`: all of it has been written.
  using Done = std::function<void(OutgoingResponse&, bool is_whole)>;

  OutgoingResponses(EventLoop& loop, Budget& budget, const Limits& limits, Log& log, Done done);

  /// Writes `response`, without its body if `is_head`. Calls `done` at once, or later.
  void Add(WatchedFd fd, RequestRecord record, httplib::Response response, bool may_still_send, bool is_head);

  /// Cuts off the one that has taken nothing for longest. Returns false when there is none.
  bool CutOffSlowest();
  [[nodiscard]] bool IsEmpty() const { return outgoing_.size() == 0; }

 private:
  friend struct OutgoingResponse;
  /// False when the response is over.
  bool Write(OutgoingResponse& outgoing);
  void Look(OutgoingResponse& outgoing);
  void CutOff(OutgoingResponse& outgoing, uint64_t bytes);
  void End(OutgoingResponse& outgoing, uint64_t bytes, bool is_whole);

  EventLoop& loop_;
  Budget& budget_;
  const Limits limits_;
  Log& log_;
  const Done done_;
  Stage<OutgoingResponse> outgoing_;
};

}  // namespace dockercoins
