#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "tests/unit/sockets.h"

namespace dockercoins {

/// A response, as a client sees it.
struct HttpAnswer {
  std::string raw;  ///< All bytes; empty if the connection was closed without a response, or reset.
  std::string status_line;
  int status = 0;  ///< 0 if it is not a response. Of the final response, if "100 Continue" came before.
  std::multimap<std::string, std::string> headers;
  std::string body;

  /// Status line, headers ordered by name, an empty line and the body, with plain line ends.
  [[nodiscard]] std::string Text() const;
};

/// The response on `client`, until the server closes the connection.
HttpAnswer AnswerOn(const UniqueFd& client);

/// The response to `request` of a server on a port of 127.0.0.1.
HttpAnswer Ask(uint16_t port, std::string_view request);

/// Request line and headers of a good request.
std::string Get(const std::string& path);

}  // namespace dockercoins
