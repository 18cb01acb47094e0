#include "common/http/request_head.h"

#include <algorithm>
#include <cctype>

#include "common/http/http_handler.h"
#include "common/number.h"

namespace dockercoins {
namespace {

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kHeadEnd = "\r\n\r\n";

bool EqualsIgnoringCase(std::string_view a, std::string_view lower_case) {
  return std::equal(a.begin(), a.end(), lower_case.begin(), lower_case.end(),
                    [](unsigned char x, char y) { return std::tolower(x) == y; });
}

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

/// RFC 9112, section 3: a method, a target and a version with one space between them. httplib judges the
/// parts.
bool IsRequestLine(std::string_view line) {
  const size_t first = line.find(' ');
  const size_t second = line.find(' ', std::min(first, line.size() - 1) + 1);
  return first != 0 && second != std::string_view::npos && second > first + 1 &&
         line.substr(second + 1).starts_with("HTTP/") && line.find(' ', second + 1) == std::string_view::npos;
}

HeadProgress Refused(int status, const char* reason) {
  return {.head = {}, .refusal = HeadRefusal{status, reason}};
}

/// Refuses the limits and line ends that can be judged before the head is complete.
std::optional<HeadProgress> RefuseEarly(std::string_view head) {
  const size_t first_line = head.find('\n');
  if (std::min(first_line, head.size()) > RequestHead::kMaxRequestLineBytes) {
    return Refused(kUriTooLong, "the request line is longer than 8 KiB");
  }
  if (head.size() > RequestHead::kMaxBytes)
    return Refused(kHeadTooLarge, "the request head is larger than 16 KiB");
  if (head.find('\0') != std::string_view::npos) return Refused(kBadRequest, "a NUL in the request head");
  for (size_t at = head.find('\n'); at != std::string_view::npos; at = head.find('\n', at + 1)) {
    if (at == 0 || head[at - 1] != '\r')
      return Refused(kBadRequest, "a line of the request head ends without a carriage return");
  }
  return std::nullopt;
}

}  // namespace

HeadProgress InspectHead(std::string_view received) {
  const size_t end = received.find(kHeadEnd);
  const bool complete = end != std::string_view::npos;
  const std::string_view all = complete ? received.substr(0, end + kHeadEnd.size()) : received;
  if (auto refused = RefuseEarly(all)) return *refused;
  if (!complete) return {};

  if (!IsRequestLine(RequestLine(all))) return Refused(kBadRequest, "the request line has another form");

  RequestHead head{.bytes = all.size()};
  std::optional<std::string_view> length;
  std::optional<std::string_view> encoding;
  size_t headers = 0;
  std::string_view lines = all.substr(all.find(kLineEnd) + kLineEnd.size());
  while (lines != kLineEnd && !lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find(kLineEnd));
    lines.remove_prefix(line.size() + kLineEnd.size());
    if (++headers > RequestHead::kMaxHeaders) return Refused(kHeadTooLarge, "more than 100 headers");
    const size_t colon = line.find(':');
    if (colon == 0 || colon == std::string_view::npos ||
        line.substr(0, colon).find_first_of(" \t") != std::string_view::npos) {
      return Refused(kBadRequest, "a line of the request head is not a header");
    }
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = Trimmed(line.substr(colon + 1));
    if (EqualsIgnoringCase(name, "content-length")) {
      if (length) return Refused(kBadRequest, "two Content-Length headers");
      length = value;
    } else if (EqualsIgnoringCase(name, "transfer-encoding")) {
      if (encoding) return Refused(kBadRequest, "two Transfer-Encoding headers");
      encoding = value;
    } else if (EqualsIgnoringCase(name, "expect")) {
      head.expects_continue = true;
    }
  }
  if (length && encoding) return Refused(kBadRequest, "both Content-Length and Transfer-Encoding");
  if (encoding && !EqualsIgnoringCase(*encoding, "chunked"))
    return Refused(kBadRequest, "a Transfer-Encoding other than chunked");
  head.chunked = encoding.has_value();
  const auto declared = length ? ParseNumber(*length) : 0;
  if (!declared) return Refused(kBadRequest, "Content-Length is not a number");
  head.content_length = *declared;
  return {.head = head, .refusal = {}};
}

std::string_view RequestLine(std::string_view received) {
  const size_t end = received.find(kLineEnd);
  return end == std::string_view::npos ? std::string_view() : received.substr(0, end);
}

void RemoveHeader(std::string& received, std::string_view name) {
  size_t line = received.find(kLineEnd);
  while (line != std::string::npos) {
    line += kLineEnd.size();
    const size_t end = received.find(kLineEnd, line);
    if (end == std::string::npos || end == line) return;
    const std::string_view text(received.data() + line, end - line);
    if (EqualsIgnoringCase(text.substr(0, text.find(':')), name)) {
      received.erase(line, text.size() + kLineEnd.size());
      line -= kLineEnd.size();
    } else {
      line = end;
    }
  }
}

}  // namespace dockercoins
