#pragma once

#include <chrono>
#include <cstddef>
#include <stop_token>
#include <string>
#include <utility>

#include "common/dial.h"
#include "httplib.h"

namespace dockercoins {

/// Sends requests to one server. Each uses a connection of its own, to any of the name's addresses, so that
/// every replica gets its share as soon as it exists, unless the last was kept. For one thread.
class HttpClient {
 public:
  struct Limits {
    std::chrono::milliseconds time;  ///< For all of it, from connecting to the last byte.
    size_t body = 0;                 ///< Bytes of the response's body; 0: it is not waited for.
    bool keep = false;               ///< The connection is kept for the next request, if the server keeps it.
  };

  /// Its name is looked up together with that of `sibling`, if there is one.
  explicit HttpClient(Endpoint server, const HttpClient* sibling = nullptr)
      : dialer_(std::move(server), sibling == nullptr ? nullptr : &sibling->dialer_) {}

  /// Sends a GET of `path`: see Send.
  httplib::Response Get(std::string path, const Limits& limits, const std::stop_token& stop = {});

  /// Sends method, path, headers and body of `request`; the path as it is, the Host is the server's. Returns
  /// status, headers and body of the response; the body only of a 2xx.
  ///
  /// Skips interim responses (1xx). Throws UnreachableError when there is no connection, and
  /// std::runtime_error (`host:port: reason`) when there is no complete response within the limits, its head
  /// is larger than 16 KiB, or `stop` is requested. Keeps at most one byte more than the limit.
  httplib::Response Send(httplib::Request request, const Limits& limits, const std::stop_token& stop = {});

  [[nodiscard]] const Endpoint& Server() const { return dialer_.Server(); }

 private:
  Dialer dialer_;
  UniqueFd kept_;
};

}  // namespace dockercoins
