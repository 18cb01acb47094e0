#pragma once

#include <chrono>
#include <memory>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>

#include "common/unique_fd.h"
#include "common/url.h"

namespace dockercoins {

/// A server could not be reached: `host:port: reason`.
class UnreachableError : public std::runtime_error {
 public:
  UnreachableError(const Endpoint& server, const std::string& reason)
      : std::runtime_error(server.ToString() + ": " + reason) {}
};

/// Connects to one server, as often as it is asked to. For one thread.
///
/// Its name is looked up on a thread of its own, which is started when it is first needed and kept: a lookup
/// cannot be interrupted, and must not delay anybody. An answer is used for a second at most.
class Dialer {
 public:
  explicit Dialer(Endpoint server);
  /// Does not wait for a lookup that hangs: its thread ends with it.
  ~Dialer();
  Dialer(const Dialer&) = delete;
  Dialer& operator=(const Dialer&) = delete;

  /// A connected, blocking TCP socket, which finds out within half a minute that its peer has vanished.
  ///
  /// Each attempt is one address, for a second at most, and they are tried in random order, so that every
  /// replica behind a name gets its share: getaddrinfo would put the "nearest" one first each time (RFC 6724,
  /// rule 9). When an address is silent, attempts go on, with new sockets and new lookups, until `timeout`;
  /// when all of them refuse, there is no more. Throws UnreachableError then, and as soon as `stop` is
  /// requested.
  UniqueFd Dial(std::chrono::milliseconds timeout, const std::stop_token& stop);

  [[nodiscard]] const Endpoint& Server() const { return server_; }

 private:
  struct Lookups;

  const Endpoint server_;
  const std::shared_ptr<Lookups> lookups_;
  std::minstd_rand random_{std::random_device()()};
};

/// `error` (an errno) as the logs write it: "connection refused".
std::string ErrorText(int error);

}  // namespace dockercoins
