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

/// Connects to one server, any number of times. For one thread.
///
/// Looks the name up on its own thread, which starts when it is first needed and stays: a lookup cannot be
/// interrupted, and must not delay its caller. A result is used for at most one second.
class Dialer {
 public:
  /// Shares the thread of `sibling`, if there is one: where both names are in use, they are looked up one
  /// after the other, because the second then costs a quarter of the first.
  explicit Dialer(Endpoint server, const Dialer* sibling = nullptr);
  /// Does not wait for a lookup that hangs: the thread of the last Dialer ends with it.
  ~Dialer();
  Dialer(const Dialer&) = delete;
  Dialer& operator=(const Dialer&) = delete;

  /// A connected, blocking TCP socket. It fails within half a minute after its peer has vanished.
  ///
  /// Each attempt is one address, for at most one second. Addresses are tried in random order, so that every
  /// replica behind a name gets its share: getaddrinfo would always put the "nearest" first (RFC 6724, rule
  /// 9). While an address is silent, attempts continue with new sockets and new lookups, until `timeout`.
  /// When all addresses refuse, there is no further attempt. Throws UnreachableError then, and as soon as
  /// `stop` is requested.
  [[nodiscard]] UniqueFd Dial(std::chrono::milliseconds timeout, const std::stop_token& stop);

  [[nodiscard]] const Endpoint& Server() const { return server_; }

 private:
  struct Name;
  struct Lookups;

  const Endpoint server_;
  const std::shared_ptr<Lookups> lookups_;
  const std::shared_ptr<Name> name_;
  std::minstd_rand random_{std::random_device()()};
};

/// `error` (an errno) as the logs write it: "connection refused".
std::string ErrorText(int error);

}  // namespace dockercoins
