#include "tests/fuzz/http_rules.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <map>

#include "tests/fuzz/fuzz.h"

namespace dockercoins {
namespace {

using Verdict = RfcRequest::Verdict;
using Headers = std::multimap<std::string, std::string>;

bool IsOneOf(char c, std::string_view characters) { return characters.find(c) != std::string_view::npos; }
bool IsDigit(char c) { return IsOneOf(c, "0123456789"); }
bool IsHexDigit(char c) { return IsOneOf(c, "0123456789abcdefABCDEF"); }
bool IsControl(char c) { return (c >= 0 && c < ' ') || c == '\x7f'; }
/// In a header's value, or a chunk's extension.
bool IsMalformed(char c) { return IsControl(c) && c != '\t'; }

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
  std::string_view value = line.substr(std::min(colon + 1, line.size()));
  while (!value.empty() && IsOneOf(value.front(), " \t")) value.remove_prefix(1);
  while (!value.empty() && IsOneOf(value.back(), " \t")) value.remove_suffix(1);
  if (colon == line.size() || !IsToken(line.substr(0, colon)) || std::ranges::any_of(value, IsMalformed))
    return false;
  headers.emplace(LowerCase(line.substr(0, colon)), value);
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
  if (target.empty() || IsOneOf('#', target) || std::ranges::any_of(target, IsControl)) return false;
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
  return parts.size() == 3 && IsToken(parts[0]) && IsTarget(parts[1]) &&
         (parts[2] == "HTTP/1.1" || parts[2] == "HTTP/1.0");
}

/// A chunk's size, from a line such as "1a;name=value".
std::optional<uint64_t> ChunkSize(std::string_view line) {
  constexpr size_t kMostDigits = 15;  // Larger ones do not fit into an input.
  const auto digits = static_cast<size_t>(std::ranges::find_if_not(line, IsHexDigit) - line.begin());
  const size_t zeros = std::min(line.find_first_not_of('0'), digits);
  std::string_view extension = line.substr(digits);
  if (extension.find(';') != std::string_view::npos) {
    while (IsOneOf(extension.front(), " \t")) extension.remove_prefix(1);
  }
  if (digits == 0 || digits - zeros > kMostDigits || !(extension.empty() || extension.front() == ';'))
    return std::nullopt;
  return std::stoull(std::string(line.substr(0, digits)), nullptr, 16);
}

Verdict ReadChunks(std::string_view rest, std::string& body) {
  for (;;) {
    if (rest.find("\r\n") == std::string_view::npos) return Verdict::kBodyIncomplete;
    const auto line = TakeLine(rest);
    const auto size = line && std::ranges::none_of(*line, IsMalformed) ? ChunkSize(*line) : std::nullopt;
    if (!size) return Verdict::kBodyRefused;
    if (*size == 0) break;
    if (rest.size() < *size + 2) return Verdict::kBodyIncomplete;
    body += rest.substr(0, *size);
    rest.remove_prefix(*size);
    if (!rest.starts_with("\r\n")) return Verdict::kBodyRefused;
    rest.remove_prefix(2);
  }
  // The end of the last chunk's line belongs to the trailers' end.
  if (!rest.starts_with("\r\n") && rest.find("\r\n\r\n") == std::string_view::npos)
    return Verdict::kBodyIncomplete;
  Headers trailers;
  const std::string with_a_line = "\r\n" + std::string(rest);
  std::string_view trailer_section = with_a_line;
  return TakeHead(trailer_section, trailers) ? Verdict::kRequest : Verdict::kBodyRefused;
}

Verdict ReadBody(std::string_view rest, const Headers& headers, bool is_version_10, std::string& body) {
  const auto length = headers.find("content-length");
  const auto encoding = headers.find("transfer-encoding");
  if (headers.count("content-length") + headers.count("transfer-encoding") > 1 || headers.count("host") > 1 ||
      (encoding != headers.end() && is_version_10))
    return Verdict::kRefused;
  if (encoding != headers.end()) {
    return LowerCase(encoding->second) == "chunked" ? ReadChunks(rest, body) : Verdict::kRefused;
  }
  if (length == headers.end()) return Verdict::kRequest;
  const std::string& digits = length->second;
  if (digits.empty() || !std::ranges::all_of(digits, IsDigit)) return Verdict::kRefused;
  const size_t zeros = std::min(digits.find_first_not_of('0'), digits.size() - 1);
  if (digits.size() - zeros > 15 || std::stoull(digits) > rest.size()) return Verdict::kBodyIncomplete;
  body = rest.substr(0, std::stoull(digits));
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
  reading.expects_continue = !is_version_10 && std::ranges::any_of(headers, [](const auto& header) {
    return header.first == "expect" && LowerCase(header.second) == "100-continue";
  });
  reading.in_chunks = headers.contains("transfer-encoding");
  reading.verdict = ReadBody(bytes, headers, is_version_10, reading.body);
  return reading;
}

std::optional<CheckedAnswer> CheckAnswer(std::string_view bytes, bool is_head, bool cut) {
  if (bytes.empty()) return std::nullopt;
  constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  constexpr std::string_view kVersion = "HTTP/1.1 ";
  const std::string_view all = bytes;
  CheckedAnswer answer;
  if (bytes.starts_with(kContinue)) {
    answer.told_to_continue = true;
    bytes.remove_prefix(kContinue.size());
  }
  Headers headers;
  const auto line = TakeHead(bytes, headers);
  Require(line.has_value(), "a response is well-formed", all);
  Require(line->starts_with(kVersion) && line->size() > kVersion.size() + 4 &&
              std::ranges::all_of(line->substr(kVersion.size(), 3), IsDigit),
          "a response begins with a status line", all);
  answer.status = std::stoi(std::string(line->substr(kVersion.size(), 3)));
  Require(answer.status >= 200 && answer.status < 600, "there is one interim response at most", all);
  Require(headers.count("connection") == 1 && headers.find("connection")->second == "close",
          "every response closes its connection", all);
  Require(headers.count("content-length") == 1 && headers.count("transfer-encoding") == 0,
          "every response says its length", all);
  Require(headers.count("content-type") <= 1, "a response has one media type", all);
  if (headers.count("content-type") == 1) answer.media_type = headers.find("content-type")->second;
  const std::string& length = headers.find("content-length")->second;
  Require(!length.empty() && std::ranges::all_of(length, IsDigit), "the length is a number", all);
  answer.body = bytes;
  const uint64_t expected = is_head ? 0 : std::stoull(length);
  Require(cut ? bytes.size() <= expected : bytes.size() == expected, "a response has the length that it says",
          all);
  return answer;
}

}  // namespace dockercoins
