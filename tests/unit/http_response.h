#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tests/unit/sockets.h"

namespace dockercoins {

/// A response, as a client sees it.
struct HttpResponse {
  std::string raw;  ///< All bytes; empty if the connection was closed without a response, or reset.
  int status = 0;   ///< 0 if it is not a response.
  std::string body;
};

/// The response on `client`, until the server closes the connection.
HttpResponse ResponseOn(const UniqueFd& client);

/// The response to `request` of a server on a port of 127.0.0.1.
HttpResponse Ask(uint16_t port, std::string_view request);

/// Request line and headers of a good request.
std::string Get(const std::string& path);

}  // namespace dockercoins
