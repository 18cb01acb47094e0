#include "common/http/request_head.h"

#include <algorithm>
#include <cctype>

#include "common/http/http_handler.h"
#include "common/number.h"

namespace dockercoins {
namespace {

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kHeadEnd = "\r\n\r\n";
constexpr std::string_view kVersion10 = "HTTP/1.0";

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

bool IsTokenCharacter(char c) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         kMarks.find(c) != std::string_view::npos;
}

/// RFC 9110, section 5.6.2.
bool IsToken(std::string_view text) { return !text.empty() && std::ranges::all_of(text, IsTokenCharacter); }

bool IsHexDigit(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

/// RFC 9112, section 3.2: a path, `http://host/path` or `*`. httplib decodes it before anybody looks at its
/// form, and takes `%u002F`, too.
bool IsTarget(std::string_view target) {
  constexpr std::string_view kScheme = "http://";
  if (target.empty() || target.find_first_of(" \t#") != std::string_view::npos || HasControlCharacter(target))
    return false;
  for (size_t at = target.find('%'); at != std::string_view::npos; at = target.find('%', at + 1)) {
    if (at + 2 >= target.size() || !IsHexDigit(target[at + 1]) || !IsHexDigit(target[at + 2])) return false;
  }
  if (target.front() == '/' || target == "*") return true;
  if (!EqualsIgnoringCase(target.substr(0, kScheme.size()), kScheme)) return false;
  const std::string_view rest = target.substr(kScheme.size());
  const std::string_view host = rest.substr(0, rest.find_first_of("/?"));
  return !host.empty() && host.front() != ':' && host.find('%') == std::string_view::npos;
}

/// RFC 9112, section 3: a method, a target and a version with one space between them.
bool IsRequestLine(std::string_view line) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == last) return false;
  const std::string_view version = line.substr(last + 1);
  return IsToken(line.substr(0, first)) && IsTarget(line.substr(first + 1, last - first - 1)) &&
         (version == "HTTP/1.1" || version == kVersion10);
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

/// The headers that say who is asked, and where the body ends.
struct FramingHeaders {
  bool version_10 = false;
  bool host = false;
  std::optional<std::string_view> length = {};
  std::optional<std::string_view> encoding = {};
  bool expects_continue = false;

  /// Takes a line of the head. Returns why it is refused; null if it is not.
  [[nodiscard]] const char* Take(std::string_view line);
  /// Returns why all of them together are refused; null if they are not.
  [[nodiscard]] const char* Contradiction() const;
};

const char* FramingHeaders::Take(std::string_view line) {
  const size_t colon = line.find(':');
  const std::string_view name = line.substr(0, colon);
  if (!IsHeader(line)) return "a line of the request head is not a header";
  const std::string_view value = Trimmed(line.substr(colon + 1));
  if (EqualsIgnoringCase(name, "host")) {
    if (host) return "two Host headers";
    host = true;
  } else if (EqualsIgnoringCase(name, "content-length")) {
    if (length) return "two Content-Length headers";
    length = value;
  } else if (EqualsIgnoringCase(name, "transfer-encoding")) {
    if (encoding) return "two Transfer-Encoding headers";
    encoding = value;
  } else if (EqualsIgnoringCase(name, "expect")) {
    expects_continue = !version_10 && EqualsIgnoringCase(value, "100-continue");
  }
  return nullptr;
}

const char* FramingHeaders::Contradiction() const {
  if (encoding && version_10) return "a Transfer-Encoding in HTTP/1.0";
  if (length && encoding) return "both Content-Length and Transfer-Encoding";
  if (encoding && !EqualsIgnoringCase(*encoding, "chunked")) return "a Transfer-Encoding other than chunked";
  if (length && !ParseNumber(*length)) return "Content-Length is not a number";
  return nullptr;
}

/// Removes the first line from `lines`, and returns it without its line end.
std::string_view TakeLine(std::string_view& lines) {
  const std::string_view line = lines.substr(0, lines.find(kLineEnd));
  lines.remove_prefix(line.size() + kLineEnd.size());
  return line;
}

}  // namespace

bool HasControlCharacter(std::string_view text) {
  return std::ranges::any_of(text, [](unsigned char c) { return (c < ' ' && c != '\t') || c == 0x7f; });
}

bool IsHeader(std::string_view line) {
  const size_t colon = line.find(':');
  return colon != std::string_view::npos && IsToken(line.substr(0, colon)) && !HasControlCharacter(line);
}

HeadProgress InspectHead(std::string_view received) {
  const size_t end = received.find(kHeadEnd);
  const bool complete = end != std::string_view::npos;
  const std::string_view head = complete ? received.substr(0, end + kHeadEnd.size()) : received;
  if (auto refused = RefuseEarly(head)) return *refused;
  if (!complete) return {};

  std::string_view lines = head;
  const std::string_view request_line = TakeLine(lines);
  if (!IsRequestLine(request_line)) return Refused(kBadRequest, "the request line is malformed");
  FramingHeaders headers{.version_10 = request_line.ends_with(kVersion10)};
  for (size_t count = 1; lines != kLineEnd; ++count) {
    if (count > RequestHead::kMaxHeaders) return Refused(kHeadTooLarge, "more than 100 headers");
    if (const char* reason = headers.Take(TakeLine(lines))) return Refused(kBadRequest, reason);
  }
  if (const char* reason = headers.Contradiction()) return Refused(kBadRequest, reason);
  return {.head = RequestHead{.bytes = head.size(),
                              .content_length = ParseNumber(headers.length.value_or("0")).value_or(0),
                              .chunked = headers.encoding.has_value(),
                              .expects_continue = headers.expects_continue},
          .refusal = {}};
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
