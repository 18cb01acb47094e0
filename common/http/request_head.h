#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dockercoins {

/// What must be known of a request while it arrives, before it enters the queue; httplib parses the rest of
/// it.
struct RequestHead {
  /// Limits of a head, in bytes and lines. The request line's is httplib's
  /// (CPPHTTPLIB_REQUEST_URI_MAX_LENGTH), as is the number of headers.
  static constexpr size_t kMaxBytes = size_t{16} * 1024;
  static constexpr size_t kMaxRequestLineBytes = size_t{8} * 1024;
  static constexpr size_t kMaxHeaders = 100;

  size_t bytes = 0;             ///< With the empty line at its end.
  uint64_t content_length = 0;  ///< 0 when not declared.
  bool chunked = false;         ///< The body comes in chunks, with no length declared.
  /// The client waits for "100 Continue" before it sends the body. One of HTTP/1.0 does not know it.
  bool expects_continue = false;
};

/// A head that is refused before it is served.
struct HeadRefusal {
  int status;
  const char* reason;
};

/// How far a head has come: neither field set means that more must arrive.
struct HeadProgress {
  std::optional<RequestHead> head;
  std::optional<HeadRefusal> refusal;
};

/// Looks at the bytes that have arrived. Refuses what could be read in two ways (bare line feeds, two
/// lengths or hosts, a length beside chunks, chunks in HTTP/1.0, targets that are neither a path nor a URL,
/// NULs; RFC 9112, sections 2.2, 3.2 and 6) and what is over the limits.
[[nodiscard]] HeadProgress InspectHead(std::string_view received);

/// Whether there is a control character other than a tab.
[[nodiscard]] bool HasControlCharacter(std::string_view text);

/// Whether `line` (without its end) is a header: a name (RFC 9110's token), a colon and a value.
[[nodiscard]] bool IsHeader(std::string_view line);

/// The request line in `received`, without its line end; empty while it is not complete.
[[nodiscard]] std::string_view RequestLine(std::string_view received);

/// Removes every header called `name` (lower case) from the head at the front of `received`.
void RemoveHeader(std::string& received, std::string_view name);

}  // namespace dockercoins
