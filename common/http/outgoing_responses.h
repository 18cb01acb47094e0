#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>

#include "common/budget.h"
#include "common/event_loop.h"
#include "common/http/request.h"
#include "common/log.h"

namespace dockercoins {

/// The third stage of a connection: until its response has been written, at the speed of its reader.
///
/// For the server's loop.
class OutgoingResponses {
 public:
  struct Limits {
    std::chrono::milliseconds pause = std::chrono::seconds(30);  ///< A reader that takes nothing so long is cut off.
    std::chrono::milliseconds time = std::chrono::minutes(5);    ///< For the whole response.
    size_t readers = 512;  ///< So many may be slow. Of more, the one that has taken nothing for longest goes.
  };
  struct Outgoing {
    WatchedFd fd;
    bool may_still_send;  ///< A close could reset the connection, and lose the response.
    RequestRecord record;
  };
  /// The response is over. `is_whole`: all of it has been written.
  using Done = std::function<void(Outgoing, bool is_whole)>;

  OutgoingResponses(EventLoop& loop, Budget& budget, const Limits& limits, Log& log, Done done);
  ~OutgoingResponses();

  /// Writes `response`, without its body if `is_head`. Calls `done` at once, or later.
  void Add(Outgoing outgoing, httplib::Response response, bool is_head);

  /// Cuts off the one that has taken nothing for longest. Returns false when there is none.
  bool CutOffSlowest();
  void CutOffAll();
  [[nodiscard]] bool IsEmpty() const { return readers_.empty(); }

 private:
  class Reader;
  using Readers = std::list<std::unique_ptr<Reader>>;

  /// False when the response is over.
  bool Write(Reader& reader);
  void Look(Reader& reader);
  void CutOff(Reader& reader);
  void End(Reader& reader, uint64_t bytes, bool is_whole);

  EventLoop& loop_;
  Budget& budget_;
  const Limits limits_;
  Log& log_;
  const Done done_;
  Readers readers_;
};

}  // namespace dockercoins
