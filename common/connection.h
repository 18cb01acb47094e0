#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "common/request_head.h"
#include "common/unique_fd.h"

namespace dockercoins {

/// A client's connection. It belongs to one thread at a time: the one that parks it, then the one that serves
/// it.
struct Connection {
  UniqueFd fd;                                     ///< Non-blocking.
  std::string client;                              ///< The client's address, IPv4 without `::ffff:`.
  std::string received;                            ///< What has arrived of the request.
  RequestHead head;                                ///< Of that request, once its head is complete.
  bool complete = false;                           ///< The whole request, body included, is in `received`.
  std::chrono::steady_clock::time_point deadline;  ///< For the request to arrive, or for lingering.
  std::chrono::steady_clock::time_point queued;    ///< When the request was put in line.
  std::list<std::unique_ptr<Connection>>::iterator place;  ///< Where it is parked.
  bool lingering = false;  ///< Answered: only what the client still sends is dropped.
};

/// True when the client has closed its side, so that nobody waits for the answer.
bool HasLeft(const Connection& connection);

/// Writes `text` without waiting; false when not all of it could be written.
bool SendNow(const Connection& connection, std::string_view text);

}  // namespace dockercoins
