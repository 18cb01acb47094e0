#include "common/http_handler.h"

namespace dockercoins {

const char* StatusText(int status) {
  switch (status) {
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
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

void HttpResponse::SetStopping() {
  constexpr int kServiceUnavailable = 503;
  SetError(kServiceUnavailable, "the service is stopping");
}

}  // namespace dockercoins
