#include "common/http/routes.h"

#include <algorithm>

#include "httplib.h"

namespace dockercoins {
namespace {

/// Responds to OPTIONS, and refuses all other methods.
Refusal RefuseMethod(const httplib::Request& request, const std::string& methods, bool answer_options) {
  if (answer_options && request.method == "OPTIONS")
    return {.status = httplib::OK_200, .reason = "", .allow = methods};
  return {.status = httplib::MethodNotAllowed_405, .reason = "allowed are " + methods, .allow = methods};
}

}  // namespace

void SetError(httplib::Response& response, int status, const std::string& reason) {
  response.status = status;
  response.set_content(std::to_string(status) + " " + httplib::status_message(status) + ": " + reason + "\n",
                       kText);
}

void SetRefusal(httplib::Response& response, const Refusal& refusal) {
  response.status = refusal.status;
  if (!refusal.allow.empty()) response.set_header("Allow", refusal.allow);
  if (refusal.status != httplib::OK_200) SetError(response, refusal.status, refusal.reason);
}

bool IsGet(const httplib::Request& request, httplib::Response& response) {
  if (request.method == "GET" || request.method == "HEAD") return true;
  SetRefusal(response, RefuseMethod(request, "GET, HEAD, OPTIONS", true));
  return false;
}

const Handler& Route::HandlerFor(std::string_view method) const {
  static const Handler none;
  if (method == "CONNECT") return none;
  if (any_method || method == "GET" || method == "HEAD") return get;
  return method == "POST" ? post : none;
}

std::string Route::Methods(bool with_options) const {
  std::string methods = get ? "GET, HEAD" : "";
  if (post) methods += methods.empty() ? "POST" : ", POST";
  return with_options ? methods + ", OPTIONS" : methods;
}

const Route* Routes::Find(std::string_view path) const {
  const auto found = std::ranges::find_if(routes_, [path](const Route& route) {
    return route.is_whole ? path == route.prefix : path.starts_with(route.prefix);
  });
  return found == routes_.end() ? nullptr : &*found;
}

std::optional<Refusal> Routes::Refuse(const Route* route, const httplib::Request& request,
                                      bool answer_options) const {
  if (request.path == "*" && request.method == "OPTIONS") {
    const bool posts =
        std::ranges::any_of(routes_, [](const Route& each) { return static_cast<bool>(each.post); });
    return RefuseMethod(request, posts ? "GET, HEAD, POST, OPTIONS" : "GET, HEAD, OPTIONS", answer_options);
  }
  if (route == nullptr) return Refusal{.status = httplib::NotFound_404, .reason = kNoSuchPath};
  auto refusal = route->check ? route->check(request) : std::nullopt;
  if (refusal && refusal->status == httplib::NotFound_404) return refusal;
  if (route->HandlerFor(request.method)) return refusal;
  return RefuseMethod(request, route->Methods(answer_options), answer_options);
}

Route& Routes::At(const std::string& pattern) {
  const size_t colon = std::min(pattern.find(':'), pattern.size());
  const std::string prefix = pattern.substr(0, colon);
  const bool is_whole = colon == pattern.size();
  const auto found = std::ranges::find_if(
      routes_, [&](const Route& route) { return route.prefix == prefix && route.is_whole == is_whole; });
  if (found != routes_.end()) return *found;
  const std::string name = is_whole ? prefix : prefix + pattern.substr(colon + 1);
  return routes_.emplace_back(Route{.prefix = prefix, .is_whole = is_whole, .name = name});
}

}  // namespace dockercoins
