#pragma once

#include <chrono>
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

/// A connected, blocking TCP socket to `server`, whose name is looked up anew.
///
/// The addresses are tried in random order, so that every replica behind a name gets its share: getaddrinfo
/// would put the "nearest" one first each time (RFC 6724, rule 9). `timeout` covers lookup and all attempts.
/// Throws UnreachableError, also as soon as `stop` is requested; a lookup, which cannot be interrupted, is
/// then left behind on a thread of its own, until getaddrinfo gives up. Thread-safe.
UniqueFd Dial(const Endpoint& server, std::chrono::milliseconds timeout, std::stop_token stop);

/// `error` (an errno) as the logs write it: "connection refused".
std::string ErrorText(int error);

}  // namespace dockercoins
