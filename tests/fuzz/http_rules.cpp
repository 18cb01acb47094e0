#include "tests/fuzz/http_rules.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <map>

#include "tests/fuzz/fuzz.h"

namespace dockercoins {
namespace {

using Verdict = RfcRequest::Verdict;
using Headers = std::multimap<std::string, std::string>;

bool IsOneOf(char c, std::string_view characters) { return characters.find(c) != std::string_view::npos; }
bool IsDigit(char c) { return IsOneOf(c, "0123456789"); }
bool IsHexDigit(char c) { return IsOneOf(c, "0123456789abcdefABCDEF"); }
bool IsControl(char c) { return (c >= 0 && c < ' ' && c != '\t') || c == '\x7f'; }
bool IsOutsideUrls(char c) { return c <= ' ' || c == '\x7f'; }  // char has a sign.

/// RFC 9110, section 9.3, and RFC 5789.
bool IsMethod(std::string_view text) {
  const auto methods = Split("GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH", ' ');
  return std::ranges::find(methods, text) != methods.end();
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
    return c < 0x80 && (std::isalnum(c) != 0 || IsOneOf(static_cast<char>(c), "!#$%&'*+-.^_`|~"));
  });
}

/// Takes a line from `rest`. None when its end is not there, or it has a carriage return or line feed of its
/// own.
std::optional<std::string_view> TakeLine(std::string_view& rest) {
  const std::string_view line = rest.substr(0, rest.find("\r\n"));
  if (line.size() == rest.size() ||
      line.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos)
    return std::nullopt;
  rest.remove_prefix(line.size() + 2);
  return line;
}

bool TakeHeader(std::string_view line, Headers& headers) {
  const size_t colon = std::min(line.find(':'), line.size());
  if (colon == line.size() || !IsToken(line.substr(0, colon))) return false;
  const std::string name = LowerCase(line.substr(0, colon));
  // llhttp takes no tab behind a length.
  const char* blanks = name == "content-length" ? " " : " \t";
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && IsOneOf(value.front(), " \t")) value.remove_prefix(1);
  while (!value.empty() && IsOneOf(value.back(), blanks)) value.remove_suffix(1);
  if (std::ranges::any_of(value, IsControl)) return false;
  headers.emplace(name, value);
  return true;
}

/// A line, the headers after it and the empty line; none when it is malformed.
std::optional<std::string_view> TakeHead(std::string_view& rest, Headers& headers) {
  const auto first = TakeLine(rest);
  for (auto line = first; line;) {
    line = TakeLine(rest);
    if (line && line->empty()) return first;
    if (!line || !TakeHeader(*line, headers)) break;
  }
  return std::nullopt;
}

/// A path, a URL, or "*".
bool IsTarget(const std::string& target) {
  if (target.empty() || IsOneOf('#', target) || std::ranges::any_of(target, IsOutsideUrls)) return false;
  const auto parts = Split(target, '%');
  if (!std::all_of(parts.begin() + 1, parts.end(), [](const std::string& part) {
        return part.size() >= 2 && IsHexDigit(part[0]) && IsHexDigit(part[1]);
      }))
    return false;
  if (target[0] == '/' || target == "*") return true;
  const std::string start = LowerCase(target.substr(0, target.find_first_of("/?", 7)));
  return start.starts_with("http://") && start.size() > 7 && start[7] != ':' && !IsOneOf('%', start);
}

bool IsRequestLine(const std::vector<std::string>& parts) {
  return parts.size() == 3 && IsMethod(parts[0]) && IsTarget(parts[1]) &&
         (parts[2] == "HTTP/1.1" || parts[2] == "HTTP/1.0");
}

/// A chunk's size, from a line such as "1a;name=value".
std::optional<uint64_t> ChunkSize(std::string_view line) {
  const std::string digits(line.begin(), std::ranges::find_if_not(line, IsHexDigit));
  const size_t extension = line.find_first_not_of(" \t", digits.size());
  errno = 0;
  const uint64_t size = std::strtoull(digits.c_str(), nullptr, 16);
  if (digits.empty() || errno == ERANGE || (extension < line.size() && line[extension] != ';'))
    return std::nullopt;
  return size;
}

Verdict ReadChunks(std::string_view rest, std::string& body) {
  for (;;) {
    if (rest.find("\r\n") == std::string_view::npos) return Verdict::kBodyIncomplete;
    const auto line = TakeLine(rest);
    const auto size = line ? ChunkSize(*line) : std::nullopt;
    if (!size) return Verdict::kBodyRefused;
    if (*size == 0) break;
    if (rest.size() < 2 || rest.size() - 2 < *size) return Verdict::kBodyIncomplete;
    body += rest.substr(0, *size);
    rest.remove_prefix(*size);
    if (!rest.starts_with("\r\n")) return Verdict::kBodyRefused;
    rest.remove_prefix(2);
  }
  // What trailers look like is llhttp's.
  const bool is_whole = rest.starts_with("\r\n") || rest.find("\r\n\r\n") != std::string_view::npos;
  return is_whole ? Verdict::kRequest : Verdict::kBodyIncomplete;
}

/// By head and method, with the body that follows a POST: of all others the head is all.
Verdict ReadFraming(std::string_view rest, const Headers& headers, bool is_version_10, RfcRequest& reading) {
  const auto length = headers.find("content-length");
  const auto encoding = headers.find("transfer-encoding");
  if (headers.count("content-length") + headers.count("transfer-encoding") > 1 || headers.count("host") > 1)
    return Verdict::kRefused;
  const std::string digits = length == headers.end() ? "0" : length->second;
  errno = 0;
  const uint64_t size = std::strtoull(digits.c_str(), nullptr, 10);
  if (digits.empty() || !std::ranges::all_of(digits, IsDigit) || errno == ERANGE) return Verdict::kRefused;
  if (encoding != headers.end() && (is_version_10 || LowerCase(encoding->second) != "chunked"))
    return Verdict::kRefused;
  if (reading.method != "POST") return Verdict::kRequest;
  if (encoding != headers.end()) return ReadChunks(rest, reading.body);
  if (size > rest.size()) return Verdict::kBodyIncomplete;
  reading.body = rest.substr(0, size);
  return Verdict::kRequest;
}

}  // namespace

RfcRequest ReadRequest(std::string_view bytes) {
  RfcRequest reading;
  if (bytes.find("\r\n\r\n") == std::string_view::npos) return reading;
  Headers headers;
  const auto line = TakeHead(bytes, headers);
  reading.verdict = Verdict::kRefused;
  const auto parts = Split(line.value_or(""), ' ');
  if (!IsRequestLine(parts)) return reading;
  reading.method = parts[0];
  reading.target = parts[1];
  const bool is_version_10 = parts[2] == "HTTP/1.0";
  reading.expects_continue =
      reading.method == "POST" && !is_version_10 && std::ranges::any_of(headers, [](const auto& header) {
        return header.first == "expect" && LowerCase(header.second) == "100-continue";
      });
  reading.in_chunks = headers.contains("transfer-encoding");
  reading.verdict = ReadFraming(bytes, headers, is_version_10, reading);
  return reading;
}

std::optional<CheckedResponse> CheckResponse(std::string_view bytes, bool is_head, bool cut) {
  if (bytes.empty()) return std::nullopt;
  constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  constexpr std::string_view kVersion = "HTTP/1.1 ";
  const std::string_view all = bytes;
  CheckedResponse response;
  if (bytes.starts_with(kContinue)) {
    response.told_to_continue = true;
    bytes.remove_prefix(kContinue.size());
  }
  Headers headers;
  const auto line = TakeHead(bytes, headers);
  Require(line.has_value(), "a response is well-formed", all);
  Require(line->starts_with(kVersion) && line->size() > kVersion.size() + 4 &&
              std::ranges::all_of(line->substr(kVersion.size(), 3), IsDigit),
          "a response begins with a status line", all);
  response.status = std::stoi(std::string(line->substr(kVersion.size(), 3)));
  Require(response.status >= 200 && response.status < 600, "there is one interim response at most", all);
  Require(headers.count("connection") == 1 && headers.find("connection")->second == "close",
          "every response closes its connection", all);
  Require(headers.count("content-length") == 1 && headers.count("transfer-encoding") == 0,
          "every response says its length", all);
  Require(headers.count("date") == 1, "every response has a date", all);
  Require(headers.count("content-type") <= 1, "a response has one media type", all);
  if (headers.count("content-type") == 1) response.media_type = headers.find("content-type")->second;
  const std::string& length = headers.find("content-length")->second;
  Require(!length.empty() && std::ranges::all_of(length, IsDigit), "the length is a number", all);
  response.body = bytes;
  const uint64_t expected = is_head ? 0 : std::stoull(length);
  Require(cut ? bytes.size() <= expected : bytes.size() == expected, "a response has the length that it says",
          all);
  return response;
}

}  // namespace dockercoins
