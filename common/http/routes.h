#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "httplib.h"

namespace dockercoins {

constexpr const char* kText = "text/plain; charset=utf-8";
constexpr const char* kFailed = "the response failed";
constexpr const char* kNoSuchPath = "there is no such path";
/// Why a service that stops refuses.
constexpr const char* kStopping = "the service is stopping";

/// Why a request gets no turn.
struct Refusal {
  int status = 0;  ///< 200: it is OPTIONS, and the response is empty.
  std::string reason;
  std::string allow = {};  ///< The value of an Allow header, if it is not empty.
  std::string log = {};    ///< An error for the log alone.
};

/// Sets the status and a line of plain text that begins with it.
void SetError(httplib::Response& response, int status, const std::string& reason);
void SetRefusal(httplib::Response& response, const Refusal& refusal);
/// For a handler that gets every method: true for GET and HEAD; otherwise sets the response.
[[nodiscard]] bool IsGet(const httplib::Request& request, httplib::Response& response);

/// What a handler knows of its turn, besides the request.
struct Turn {
  std::chrono::steady_clock::time_point arrived;  ///< When the request was complete.
  std::stop_token cut;  ///< Requested when a stop ends the turn: respond with 503 and kStopping.
};

/// Takes a request's body while it arrives. It must not block, nor need more memory than some hundred bytes.
class BodySink {
 public:
  virtual ~BodySink() = default;
  virtual void Take(const char* data, size_t size) = 0;
  /// What the body has become: the `body` of the request that the handler gets. Called once, at the end.
  virtual std::string Finish() = 0;
};
using MakeSink = std::function<std::unique_ptr<BodySink>()>;

/// Serves a request (HEAD as GET: the server leaves the body out), on any of the server's threads. An
/// exception becomes a 500 and a line in the log.
using Handler = std::function<void(const httplib::Request&, httplib::Response&, const Turn&)>;
/// Judges a request by its head. Called by the server's loop: it must not block.
using Check = std::function<std::optional<Refusal>(const httplib::Request&)>;

/// A path, or all paths that begin alike, and what serves them.
struct Route {
  std::string prefix;    ///< The path, or its beginning.
  bool is_whole = true;  ///< `prefix` is the whole path.
  std::string name;      ///< Requests are counted by it.
  Check check = {};
  Handler get = {};         ///< Also for HEAD.
  Handler post = {};        ///< With a body.
  MakeSink make_sink = {};  ///< For that body.
  uint64_t max_body_bytes = 0;
  bool any_method = false;  ///< `get` is for all methods: it alone knows which paths exist.

  [[nodiscard]] const Handler& HandlerFor(std::string_view method) const;
  /// As an Allow header lists them.
  [[nodiscard]] std::string Methods(bool with_options) const;
};

/// What a service serves, registered as with httplib::Server. A pattern is a path, such as "/json", or ends
/// with a name behind a colon, such as "/assets/:FILE": then it matches every path that begins like it. The
/// first match counts.
///
/// Of a request, a handler finds method, target, path (decoded, without the query), version, headers, body
/// (see BodySink) and remote_addr. Of its response, the server uses status, headers, and the content or a
/// content provider with a length, which must not block: the loop calls it, for at most 16 KiB at a time.
/// When it fails or writes nothing, the response is a 500, or is cut if its head has been sent.
class Routes {
 public:
  /// A handler may leave the Turn out.
  template <typename F>
  Route& Get(const std::string& pattern, F handler) {
    Route& route = At(pattern);
    route.get = ToHandler(std::move(handler));
    return route;
  }
  /// A body of more than `max_body_bytes`, declared or counted, is refused with 413.
  template <typename F>
  Route& Post(const std::string& pattern, uint64_t max_body_bytes, MakeSink make_sink, F handler) {
    Route& route = At(pattern);
    route.post = ToHandler(std::move(handler));
    route.make_sink = std::move(make_sink);
    route.max_body_bytes = max_body_bytes;
    return route;
  }

  /// The route of `path`; null when there is none.
  [[nodiscard]] const Route* Find(std::string_view path) const;

  /// Why `request`, whose route is `route`, gets no turn, if so. `answer_options`: OPTIONS is answered.
  [[nodiscard]] std::optional<Refusal> Refuse(const Route* route, const httplib::Request& request,
                                              bool answer_options) const;

 private:
  template <typename F>
  static Handler ToHandler(F handler) {
    if constexpr (std::is_invocable_v<F&, const httplib::Request&, httplib::Response&, const Turn&>) {
      return handler;
    } else {
      return [handler = std::move(handler)](const httplib::Request& request, httplib::Response& response,
                                            const Turn& /*turn*/) { handler(request, response); };
    }
  }
  Route& At(const std::string& pattern);

  std::vector<Route> routes_;
};

}  // namespace dockercoins
