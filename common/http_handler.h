#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dockercoins {

/// A request, as far as a service needs to know it.
struct HttpRequest {
  std::string method;
  std::string path;                                    ///< Decoded, without the query.
  std::chrono::steady_clock::time_point arrived = {};  ///< When it was put in the queue.
};

/// Takes a piece of a body; false ends it.
using TakeBytes = std::function<bool(const char* data, size_t size)>;
/// Hands a request's body to `take`, as it came, piece by piece; false when it did not arrive whole.
using BodyReader = std::function<bool(const TakeBytes& take)>;
/// Puts up to `size` bytes of an answer's body, from `offset` on, into `data`, without waiting for anybody.
/// Returns how many; 0 when it cannot, which cuts the connection. Called by one thread at a time.
using BodySource = std::function<size_t(uint64_t offset, char* data, size_t size)>;

/// What a service answers. The library adds the length and the end of the connection.
struct HttpResponse {
  int status = 200;
  std::string content_type;
  std::vector<std::pair<std::string, std::string>> headers;  ///< Further ones.
  std::string body;

  /// Instead of `body`, for large ones, which are never in memory as a whole: `source_bytes` bytes.
  BodySource source;
  uint64_t source_bytes = 0;

  /// Sets the body and its media type.
  void SetContent(std::string content, std::string_view type);
  /// Sets a body of `bytes` bytes that `body_source` gives.
  void SetSource(uint64_t bytes, std::string_view type, BodySource body_source);
  /// Sets `status` and a line of plain text that begins with it.
  void SetError(int error_status, const std::string& reason);
  /// Sets the refusal of a request that a stop has cut off.
  void SetStopping();
};

/// What a service answers over HTTP. Called by several threads at once where its server has several.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;

  /// The methods that `path` (decoded) knows, as an Allow header lists them: "GET, HEAD". Empty: 404. POST is
  /// possible at "/" only.
  [[nodiscard]] virtual std::string_view AllowedMethods(std::string_view path) const = 0;

  /// The routes that requests are counted by: few, however many paths there are.
  [[nodiscard]] virtual std::vector<std::string> Routes() const { return {}; }

  /// The one of Routes() that `path` (decoded) belongs to; anything else: none of them.
  [[nodiscard]] virtual std::string_view Route(std::string_view /*path*/) const { return ""; }

  /// A body of more bytes than this, declared or counted, is refused with 413.
  [[nodiscard]] virtual uint64_t MaxBodyBytes() const { return 0; }

  /// Answers an allowed request (HEAD as GET: the body is left out for it); `body` is a POST's. When `cut` is
  /// requested, what still runs should end, with SetStopping. An exception becomes a 500 and a line in the
  /// log.
  virtual void Serve(const HttpRequest& request, HttpResponse& response, const BodyReader& body,
                     std::stop_token cut) = 0;
};

/// The reason phrase of a status that a service answers (RFC 9110, section 15).
const char* StatusText(int status);

/// The line of text that tells a client why it was refused.
std::string RefusalText(int status, const std::string& reason);

}  // namespace dockercoins
