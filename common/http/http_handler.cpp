#include "common/http/http_handler.h"

#include <algorithm>

namespace dockercoins {

Route Route::To(const std::string& path, const std::string& methods, Action action, uint64_t max_body_bytes) {
  return {.name = path,
          .methods = methods,
          .matches = [path](std::string_view other) { return other == path; },
          .prepare = [action = std::move(action)](std::string_view /*path*/) { return action; },
          .max_body_bytes = max_body_bytes};
}

const Route* FindRoute(const Routes& routes, std::string_view path) {
  const auto found = std::ranges::find_if(routes, [&](const Route& route) { return route.matches(path); });
  return found == routes.end() ? nullptr : &*found;
}

const char* StatusText(int status) {
  switch (status) {
    case kBadRequest:
      return "Bad Request";
    case kNotFound:
      return "Not Found";
    case kMethodNotAllowed:
      return "Method Not Allowed";
    case kRequestTimeout:
      return "Request Timeout";
    case kContentTooLarge:
      return "Content Too Large";
    case kUriTooLong:
      return "URI Too Long";
    case kHeadTooLarge:
      return "Request Header Fields Too Large";
    case kInternalServerError:
      return "Internal Server Error";
    case kServiceUnavailable:
      return "Service Unavailable";
    default:
      return "Error";
  }
}

std::string RefusalText(int status, const std::string& reason) {
  return std::to_string(status) + " " + StatusText(status) + ": " + reason + "\n";
}

void HttpResponse::SetContent(std::string content, std::string_view type) {
  body = std::move(content);
  content_type = type;
}

void HttpResponse::SetSource(uint64_t bytes, std::string_view type, BodySource body_source) {
  source_bytes = bytes;
  source = std::move(body_source);
  content_type = type;
}

void HttpResponse::SetError(int error_status, const std::string& reason) {
  status = error_status;
  SetContent(RefusalText(status, reason), "text/plain; charset=utf-8");
}

void HttpResponse::SetStopping() { SetError(kServiceUnavailable, kStopping); }

}  // namespace dockercoins
