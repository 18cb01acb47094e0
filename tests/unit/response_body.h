#pragma once

#include <string>

#include "common/http_handler.h"

namespace dockercoins {

/// The body of an answer, also of one that is streamed; a stream that fails ends it.
inline std::string BodyOf(const HttpResponse& response) {
  if (response.stream_bytes == 0) return response.body;
  // In two parts, as it may be asked for.
  const uint64_t first = response.stream_bytes / 3;
  std::string body;
  const auto take = [&](const char* data, size_t size) {
    body.append(data, size);
    return true;
  };
  if (first == 0 || response.stream(0, first, take))
    response.stream(first, response.stream_bytes - first, take);
  return body;
}

/// The value of a header that the service has set; empty when it has not.
inline std::string HeaderOf(const HttpResponse& response, const std::string& name) {
  for (const auto& [header, value] : response.headers) {
    if (header == name) return value;
  }
  return "";
}

/// The reader of an empty body.
inline bool NoBody(const TakeBytes& /*take*/) { return true; }

}  // namespace dockercoins
