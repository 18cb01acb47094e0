#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tests/fuzz/fuzz.h"

namespace dockercoins {

// What the product itself promises of requests and responses, written apart from it. What else makes a
// request malformed is llhttp's.

using Headers = std::multimap<std::string, std::string>;  ///< By lower-case names.

/// Takes a head from `rest`; returns its first line. None when its empty line is missing.
inline std::optional<std::string> TakeHead(std::string_view& rest, Headers& headers) {
  const size_t end = rest.find("\r\n\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  std::string_view lines = rest.substr(0, end + 2);
  rest.remove_prefix(end + 4);
  std::optional<std::string> first;
  for (size_t size = lines.find("\r\n"); !lines.empty(); size = lines.find("\r\n")) {
    const std::string_view line = lines.substr(0, size);
    lines.remove_prefix(size + 2);
    const size_t colon = std::min(line.find(':'), line.size());
    const size_t value = std::min(line.find_first_not_of(" \t", colon + 1), line.size());
    if (first)
      headers.emplace(LowerCase(line.substr(0, colon)),
                      line.substr(value, line.find_last_not_of(" \t") + 1 - value));
    if (!first) first = line;
  }
  return first;
}

/// A path, a URL, or "*".
inline bool IsTarget(const std::string& target) {
  const auto is_outside_urls = [](unsigned char c) { return c <= ' ' || c >= 0x7f || c == '#'; };
  if (target.empty() || std::ranges::any_of(target, is_outside_urls)) return false;
  for (size_t at = target.find('%'); at < target.size(); at = target.find('%', at + 1)) {
    if (target.find_first_not_of("0123456789abcdefABCDEF", at + 1) < at + 3 || at + 2 >= target.size())
      return false;
  }
  if (target[0] == '/' || target == "*") return true;
  const std::string start = LowerCase(target.substr(0, target.find_first_of("/?", 7)));
  return start.starts_with("http://") && start.size() > 7 && start[7] != ':' &&
         start.find('%') == std::string::npos;
}

/// A request as its client meant it.
struct Reading {
  std::string method;
  bool is_whole = false;  ///< Its head has come.
  bool is_good = false;   ///< And its line, length, encoding and Host are as they must be.
  bool expects_continue = false;
  std::optional<std::string> body;  ///< Of a POST; none when it is not whole.
};

inline std::optional<std::string> ReadChunks(std::string_view rest) {
  std::string body;
  for (uint64_t size = 1; size > 0;) {
    const size_t line = rest.find("\r\n");
    if (line == std::string_view::npos) return std::nullopt;
    size = std::strtoull(std::string(rest.substr(0, line)).c_str(), nullptr, 16);
    rest.remove_prefix(line + 2);
    if (size > 0 && (rest.size() < 2 || rest.size() - 2 < size)) return std::nullopt;
    body += rest.substr(0, size);
    if (size > 0) rest.remove_prefix(size + 2);
  }
  const bool is_whole = rest.starts_with("\r\n") || rest.find("\r\n\r\n") != std::string_view::npos;
  return is_whole ? std::optional(body) : std::nullopt;
}

inline Reading ReadRequest(std::string_view bytes) {
  Headers headers;
  const auto line = TakeHead(bytes, headers);
  Reading reading;
  reading.is_whole = line.has_value();
  const auto parts = Split(line.value_or(""), ' ');
  const auto methods = Split("GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH", ' ');
  const bool is_version_10 = parts.back() == "HTTP/1.0";
  const auto length = headers.find("content-length");
  const auto encoding = headers.find("transfer-encoding");
  reading.is_good =
      parts.size() == 3 && std::ranges::find(methods, parts[0]) != methods.end() && IsTarget(parts[1]) &&
      (is_version_10 || parts[2] == "HTTP/1.1") &&
      headers.count("content-length") + headers.count("transfer-encoding") <= 1 &&
      headers.count("host") <= 1 &&
      (encoding == headers.end() || (!is_version_10 && LowerCase(encoding->second) == "chunked"));
  reading.method = parts[0];
  if (!reading.is_good || reading.method != "POST") return reading;
  reading.expects_continue = !is_version_10 && std::ranges::any_of(headers, [](const auto& header) {
    return header.first == "expect" && LowerCase(header.second) == "100-continue";
  });
  const uint64_t size = length == headers.end() ? 0 : std::strtoull(length->second.c_str(), nullptr, 10);
  if (encoding != headers.end()) reading.body = ReadChunks(bytes);
  if (encoding == headers.end() && size <= bytes.size()) reading.body = bytes.substr(0, size);
  return reading;
}

struct Checked {
  int status = 0;
  bool told_to_continue = false;  ///< "100 Continue" came first.
  std::string media_type;
  std::string body;
};

/// All that came on a connection. Ends the process unless it is one whole response, and nothing after it.
/// Nothing when nothing came. `is_head`: the response to HEAD has no body. `cut`: the client stopped reading.
inline std::optional<Checked> CheckResponse(std::string_view bytes, bool is_head, bool cut) {
  if (bytes.empty()) return std::nullopt;
  constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  const std::string_view all = bytes;
  Checked response;
  response.told_to_continue = bytes.starts_with(kContinue);
  if (response.told_to_continue) bytes.remove_prefix(kContinue.size());
  Headers headers;
  const std::string line = TakeHead(bytes, headers).value_or("");
  Require(line.starts_with("HTTP/1.1 "), "a response begins with a status line", all);
  response.status = std::atoi(line.c_str() + 9);
  Require(response.status >= 200 && response.status < 600, "there is one interim response at most", all);
  for (const char* name : {"connection", "content-length", "date"})
    Require(headers.count(name) == 1, "every response says that it closes, its length and its date", all);
  Require(headers.find("connection")->second == "close", "every response closes its connection", all);
  Require(headers.count("transfer-encoding") == 0, "no response is chunked", all);
  Require(headers.count("content-type") <= 1, "a response has one media type", all);
  if (headers.contains("content-type")) response.media_type = headers.find("content-type")->second;
  response.body = bytes;
  const uint64_t expected = is_head ? 0 : std::stoull(headers.find("content-length")->second);
  Require(cut ? bytes.size() <= expected : bytes.size() == expected, "a response has the length that it says",
          all);
  return response;
}

}  // namespace dockercoins
