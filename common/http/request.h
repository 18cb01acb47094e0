#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/http/routes.h"
#include "common/span.h"
#include "httplib.h"

namespace dockercoins {

/// What the access log and the metrics need of a request and its response.
struct RequestRecord {
  using Time = std::chrono::steady_clock::time_point;

  std::string client = {};        ///< The client's address, IPv4 without `::ffff:`.
  std::string request_line = {};  ///< As it came, its target shortened to 1 KiB; empty if it has not arrived.
  const Route* route = nullptr;   ///< Null: none, or the request line was not understood.
  Time queued = {};               ///< When the request was put in the queue.
  std::optional<Time> begun = {};  ///< When its turn came, if it did,
  Time ready = {};                 ///< and when its response was ready to be written.
  std::optional<int> status = {};
  std::optional<uint64_t> body_bytes = {};  ///< Sent, without the head.
  std::optional<SpanContext> caller = {};   ///< Of its `traceparent`, once it is queued.

  // 0 before its turn.
  [[nodiscard]] Time::duration Waited() const { return begun.value_or(queued) - queued; }
  [[nodiscard]] Time::duration Served() const { return ready - begun.value_or(ready); }
};

/// Whether it is a method of RFC 9110, section 9.3, or PATCH (RFC 5789).
[[nodiscard]] bool IsMethod(std::string_view text);

struct WaitingClient;

/// A complete request, and what becomes of it in its turn.
struct Request {
  httplib::Request http;  ///< Its `body` is what the route's sink made of the body.
  RequestRecord record;
  httplib::Response response = {};  ///< Once the turn is over.
  size_t bytes = 0;                 ///< The memory that all of this takes while it waits.
  WaitingClient* client = nullptr;  ///< Whose it is. For the server's loop alone.
};

}  // namespace dockercoins
