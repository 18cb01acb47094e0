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
/// Puts up to `size` bytes of an answer's body, from `offset` on, into `data`, without waiting.
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
};

/// Answers a request (HEAD as GET: the body is left out for it); `body` is a POST's. When `cut` is requested,
/// what still runs should end, with 503 and kStopping. An exception becomes a 500 and a line in the log.
using Action = std::function<void(const HttpRequest& request, HttpResponse& response, const BodyReader& body,
                                  const std::stop_token& cut)>;

/// The methods of most routes.
constexpr const char* kGetAndHead = "GET, HEAD";

/// An endpoint: paths with the same handler. Called by several threads at once where the server has
/// several.
struct Route {
  std::string name;     ///< Requests are counted by it.
  std::string methods;  ///< As an Allow header lists them: "GET, HEAD". POST is possible at "/" only.
  std::function<bool(std::string_view path)> matches;    ///< `path` is decoded.
  std::function<Action(std::string_view path)> prepare;  ///< What answers a path that matches; none: 404.
  uint64_t max_body_bytes = 0;  ///< A body of more bytes than this, declared or counted, is refused with 413.

  /// The route of all paths that satisfy `matches`, with one action for all of them.
  static Route For(const std::string& name, const std::string& methods,
                   std::function<bool(std::string_view path)> matches, Action action);
  /// The route of one path, which is its name.
  static Route To(const std::string& path, const std::string& methods, Action action,
                  uint64_t max_body_bytes = 0);
};

/// All routes of a service; the first match counts.
using Routes = std::vector<Route>;

/// The route that matches `path`; null when there is none.
[[nodiscard]] const Route* FindRoute(const Routes& routes, std::string_view path);

// The statuses that services and server answer (RFC 9110, section 15).
constexpr int kFound = 302;
constexpr int kBadRequest = 400;
constexpr int kNotFound = 404;
constexpr int kMethodNotAllowed = 405;
constexpr int kRequestTimeout = 408;
constexpr int kContentTooLarge = 413;
constexpr int kUriTooLong = 414;
constexpr int kHeadTooLarge = 431;
constexpr int kInternalServerError = 500;
constexpr int kServiceUnavailable = 503;

/// Why a service that stops refuses.
constexpr const char* kStopping = "the service is stopping";

/// The line of text that tells a client why it was refused.
std::string RefusalText(int status, const std::string& reason);

}  // namespace dockercoins
