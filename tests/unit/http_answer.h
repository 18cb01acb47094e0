#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace dockercoins {

/// An answer as a client sees it.
struct HttpAnswer {
  std::string raw;  ///< All that came; empty when the connection was closed without an answer, or reset.
  int status = 0;   ///< 0 when what came is no answer. Of the final answer, if "100 Continue" came before.
  std::multimap<std::string, std::string> headers;
  std::string body;

  /// The value of a header; empty when there is none.
  [[nodiscard]] std::string Header(const std::string& name) const;
};

HttpAnswer ParseAnswer(std::string raw);

/// The answer to `request` of a server on a port of 127.0.0.1, read until it closes the connection.
HttpAnswer Ask(uint16_t port, std::string_view request);

}  // namespace dockercoins
