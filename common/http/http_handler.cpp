#include "common/http/http_handler.h"

#include <algorithm>

#include "common/http/exchange.h"

namespace dockercoins {

Route Route::For(const std::string& name, const std::string& methods,
                 std::function<bool(std::string_view path)> matches, Action action) {
  return {.name = name,
          .methods = methods,
          .matches = std::move(matches),
          .prepare = [action = std::move(action)](std::string_view /*path*/) { return action; }};
}

Route Route::To(const std::string& path, const std::string& methods, Action action, uint64_t max_body_bytes) {
  Route route =
      For(path, methods, [path](std::string_view other) { return other == path; }, std::move(action));
  route.max_body_bytes = max_body_bytes;
  return route;
}

const Route* FindRoute(const Routes& routes, std::string_view path) {
  const auto found = std::ranges::find_if(routes, [&](const Route& route) { return route.matches(path); });
  return found == routes.end() ? nullptr : &*found;
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

}  // namespace dockercoins
