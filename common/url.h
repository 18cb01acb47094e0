#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dockercoins {

/// A server's address.
struct Endpoint {
  std::string host;  ///< A name or an address, IPv6 without brackets.
  uint16_t port = 0;

  /// The host, an IPv6 address in brackets.
  [[nodiscard]] std::string HostText() const;
  /// `host:port`, for messages and Host headers.
  [[nodiscard]] std::string ToString() const { return HostText() + ":" + std::to_string(port); }
};

/// `http://host[:port][/path]`.
struct HttpUrl {
  Endpoint server;
  std::string path;  ///< Without a slash at the end, so "/32" can follow; often empty.

  /// Throws std::invalid_argument if `text` has another form.
  static HttpUrl Parse(std::string_view text);
};

/// `redis://[[user]:password@]host[:port][/db]`; user and password may be percent-encoded.
struct RedisUrl {
  Endpoint server;
  std::string user;
  std::string password;
  uint32_t database = 0;

  /// Throws std::invalid_argument if `text` has another form.
  static RedisUrl Parse(std::string_view text);
};

/// The path of an HTTP request's target, decoded: of a path, `http://host/path` or `*` (RFC 9112,
/// section 3.2). None if it is malformed.
std::optional<std::string> PathOfTarget(std::string_view target);

/// `text` with `%41` as `A`. Throws std::invalid_argument if two hexadecimal digits are missing behind a %.
std::string PercentDecoded(std::string_view text);

/// `url` for a message: *** replaces the text between the scheme and the last @, which may be a password.
std::string WithoutPassword(std::string_view url);

}  // namespace dockercoins
