#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/http/http_handler.h"
#include "common/http/request_head.h"
#include "common/unique_fd.h"

namespace dockercoins {

/// What the access log and the metrics need of a request and its answer.
struct RequestRecord {
  using Time = std::chrono::steady_clock::time_point;

  std::string client = {};        ///< The client's address, IPv4 without `::ffff:`.
  std::string request_line = {};  ///< As it came, without its line end; empty while it has not arrived.
  std::optional<const Route*> route = {};  ///< Null: none; nothing when the request has not been parsed.
  Time queued = {};                        ///< When the request was put in the queue.
  std::optional<Time> begun = {};          ///< When its turn came, if it did,
  Time ready = {};                         ///< and when its answer was ready to be written.
  std::optional<int> status = {};
  std::optional<uint64_t> body_bytes = {};  ///< Sent, without the head.

  // 0 before its turn.
  [[nodiscard]] Time::duration Waited() const { return begun.value_or(queued) - queued; }
  [[nodiscard]] Time::duration Served() const { return ready - begun.value_or(ready); }
};

/// An answer on its way to the client.
struct OutgoingAnswer {
  std::string unsent;         ///< The head, what follows it, and later pieces of the body.
  size_t unsent_from = 0;     ///< What of `unsent` has been sent.
  uint64_t head_bytes = 0;    ///< The length of the head.
  BodySource source;          ///< Gives the rest of the body,
  uint64_t source_bytes = 0;  ///< of which there are so many
  uint64_t source_from = 0;   ///< and so many are in `unsent` or have been sent.
  uint64_t sent = 0;          ///< Bytes of the answer that the system has taken.
};

/// How fast the client takes its answer: decides whether it is disconnected.
struct Reading {
  RequestRecord::Time deadline;  ///< For the whole answer.
  RequestRecord::Time progress;  ///< When the client last took something.
  RequestRecord::Time marked;    ///< Once a second: when
  uint64_t taken = 0;            ///< how many bytes it has taken by now,
  uint64_t taken_at_mark = 0;    ///< how many it had then,
  /// and how many it took in the second before. A client that has just begun is not slow.
  uint64_t in_last_second = UINT64_MAX;
};

/// A client's connection. It belongs to one thread at a time: the one that parks it, then the one that serves
/// it, then the first again.
struct Connection {
  enum class Stage { kArriving, kWriting, kLingering };

  UniqueFd fd;  ///< Non-blocking.
  Stage stage = Stage::kArriving;
  std::string received;                            ///< What has arrived of the request.
  RequestHead head;                                ///< Of that request, once its head is complete.
  bool complete = false;                           ///< The whole request, body included, is in `received`.
  std::chrono::steady_clock::time_point deadline;  ///< For the request to arrive, or for lingering.
  RequestRecord record;
  OutgoingAnswer answer;
  Reading reading;
  std::list<std::unique_ptr<Connection>>::iterator place;  ///< Where it is parked.
};

/// True when the client has closed its side, so that probably nobody waits for the answer.
[[nodiscard]] bool HasLeft(const Connection& connection);

/// Room for what one read takes.
using ReadBuffer = std::array<char, size_t{16} * 1024>;

/// Reads into `buffer` without waiting. Returns how many bytes came, 0 if none has yet; nothing when the
/// connection has ended.
[[nodiscard]] std::optional<size_t> ReceiveNow(const Connection& connection, ReadBuffer& buffer);

/// Writes `text` without waiting; false when not all of it could be written.
[[nodiscard]] bool SendNow(const Connection& connection, std::string_view text);

enum class WriteResult { kDone, kMore, kBroken };

/// Writes a piece of the answer without waiting. kDone: nothing is left; the last packet may be held back
/// until the connection is shut down or closed. kBroken: the client is gone, or the source ended too early.
[[nodiscard]] WriteResult WritePiece(Connection& connection);

/// How many bytes of its answer the client's side has acknowledged.
[[nodiscard]] uint64_t AcknowledgedBytes(const Connection& connection);

/// True when bytes have arrived that nobody has read: closing now would reset the connection.
[[nodiscard]] bool HasUnreadInput(const Connection& connection);

}  // namespace dockercoins
