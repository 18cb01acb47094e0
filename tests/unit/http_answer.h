#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "tests/unit/sockets.h"

namespace dockercoins {

/// An answer as a client sees it.
struct HttpAnswer {
  std::string raw;  ///< All that came; empty when the connection was closed without an answer, or reset.
  std::string status_line;
  int status = 0;  ///< 0 when what came is no answer. Of the final answer, if "100 Continue" came before.
  std::multimap<std::string, std::string> headers;
  std::string body;

  /// Status line, headers in the order of their names, an empty line and the body, with plain line ends.
  [[nodiscard]] std::string Text() const;
};

/// What the server sends on `client` until it closes the connection.
HttpAnswer AnswerOn(const UniqueFd& client);

/// The answer to `request` of a server on a port of 127.0.0.1.
HttpAnswer Ask(uint16_t port, std::string_view request);

/// The request line and headers of a request that a server takes.
std::string Get(const std::string& path);

}  // namespace dockercoins
