#include "common/http/request_parser.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <exception>
#include <stdexcept>
#include <utility>

#include "common/url.h"

namespace dockercoins {
namespace {

constexpr std::string_view kLineEnd = "\r\n";
/// So much of a target is in the log.
constexpr size_t kLoggedTargetBytes = 1024;

bool EqualsIgnoringCase(std::string_view text, std::string_view lower_case) {
  return std::ranges::equal(text, lower_case, {}, [](unsigned char c) { return std::tolower(c); });
}

std::string_view WithoutBlanksAtEnd(std::string_view text) {
  return text.substr(0, text.find_last_not_of(" \t") + 1);
}

/// RFC 9110, section 9.3, and RFC 5789.
bool IsMethod(std::string_view method) {
  constexpr std::array<std::string_view, 9> kMethods = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                                        "CONNECT", "OPTIONS", "TRACE", "PATCH"};
  return std::ranges::find(kMethods, method) != kMethods.end();
}

/// RFC 9112, section 3.2: the path of `target`, which is a path, `http://host/path` or `*`; none otherwise.
std::optional<std::string_view> RawPath(std::string_view target) {
  constexpr std::string_view kScheme = "http://";
  const auto is_bad = [](unsigned char c) { return c <= ' ' || c == 0x7f || c == '#'; };
  if (target.empty() || std::ranges::any_of(target, is_bad)) return std::nullopt;
  if (target.front() != '/' && target != "*") {
    if (!EqualsIgnoringCase(target.substr(0, kScheme.size()), kScheme)) return std::nullopt;
    target.remove_prefix(kScheme.size());
    const std::string_view host = target.substr(0, target.find_first_of("/?"));
    if (host.empty() || host.front() == ':' || host.find('%') != std::string_view::npos) return std::nullopt;
    target.remove_prefix(host.size());
  }
  const std::string_view path = target.substr(0, target.find('?'));
  return path.empty() ? "/" : path;
}

}  // namespace

/// What llhttp calls. It is C: no exception may pass.
struct RequestParser::Callbacks {
  static RequestParser& Of(llhttp_t* parser) { return *static_cast<RequestParser*>(parser->data); }

  static int OnField(llhttp_t* parser, const char* data, size_t size) {
    RequestParser& self = Of(parser);
    if (self.stage_ == Stage::kBody) return self.SkipExtra(size);
    self.field_.append(data, size);
    return 0;
  }
  static int OnValue(llhttp_t* parser, const char* data, size_t size) {
    RequestParser& self = Of(parser);
    if (self.stage_ == Stage::kBody) return self.SkipExtra(size);
    self.value_.append(data, size);
    return 0;
  }
  static int OnExtension(llhttp_t* parser, const char* /*data*/, size_t size) {
    return Of(parser).SkipExtra(size);
  }
  static int OnHeader(llhttp_t* parser) { return Of(parser).AddHeader(); }
  static int OnHeaders(llhttp_t* parser) { return Of(parser).EndHeaders(); }
  static int OnBody(llhttp_t* parser, const char* data, size_t size) { return Of(parser).AddBody(data, size); }
  static int OnEnd(llhttp_t* parser) {
    Of(parser).stage_ = Stage::kComplete;
    return HPE_PAUSED;
  }

  static const llhttp_settings_t& Settings() {
    static const llhttp_settings_t settings = [] {
      llhttp_settings_t made;
      llhttp_settings_init(&made);
      made.on_header_field = OnField;
      made.on_header_value = OnValue;
      made.on_chunk_extension_name = OnExtension;
      made.on_chunk_extension_value = OnExtension;
      made.on_header_value_complete = OnHeader;
      made.on_headers_complete = OnHeaders;
      made.on_body = OnBody;
      made.on_message_complete = OnEnd;
      return made;
    }();
    return settings;
  }
};

RequestParser::RequestParser(const Routes& routes, bool answer_options)
    : routes_(routes), answer_options_(answer_options) {
  llhttp_init(&parser_, HTTP_REQUEST, &Callbacks::Settings());
  parser_.data = this;
}

std::optional<Refusal> RequestParser::Take(std::string_view bytes) {
  while (!bytes.empty() && stage_ != Stage::kComplete) {
    if (auto refusal = stage_ == Stage::kRequestLine ? TakeLine(bytes) : TakeRest(bytes)) return refusal;
  }
  if (stage_ == Stage::kComplete && sink_) {
    request_.body = sink_->Finish();
    sink_.reset();
  }
  return std::nullopt;
}

std::optional<Refusal> RequestParser::TakeLine(std::string_view& bytes) {
  const size_t end = bytes.find('\n');
  const std::string_view part = bytes.substr(0, end == std::string_view::npos ? end : end + 1);
  line_ += part;
  head_bytes_ += part.size();
  bytes.remove_prefix(part.size());
  if (line_.size() > kMaxLineBytes) {
    record_.request_line.assign(line_, 0, kLoggedTargetBytes);
    return Refusal{.status = kUriTooLong, .reason = "the request line is longer than 8 KiB"};
  }
  if (head_bytes_ > kMaxHeadBytes) {
    return Refusal{.status = kHeadTooLarge, .reason = "the request head is larger than 16 KiB"};
  }
  if (!line_.ends_with('\n')) return std::nullopt;
  // RFC 9112, section 2.2: empty lines before a request are ignored.
  if (const std::string line = std::exchange(line_, {}); line != kLineEnd) {
    if (!SplitLine(line)) return Refusal{.status = kBadRequest, .reason = "the request line is malformed"};
    // llhttp would want an authority, and no route has this method.
    if (request_.method == "CONNECT") return Judge();
    stage_ = Stage::kHeaders;
    const llhttp_errno_t error = llhttp_execute(&parser_, line.data(), line.size());
    if (error != HPE_OK) return Explain();
  }
  return std::nullopt;
}

bool RequestParser::SplitLine(std::string_view line) {
  record_.request_line = line.substr(0, line.find_first_of(kLineEnd));
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == last) return false;
  request_.method = line.substr(0, first);
  request_.version = line.substr(last + 1);
  request_.target = line.substr(first + 1, last - first - 1);
  if (request_.target.size() > kLoggedTargetBytes) {
    record_.request_line.erase(first + 1 + kLoggedTargetBytes, request_.target.size() - kLoggedTargetBytes);
  }
  record_.request_line.shrink_to_fit();
  if (request_.version != "HTTP/1.1\r\n" && request_.version != "HTTP/1.0\r\n") return false;
  request_.version.resize(request_.version.size() - kLineEnd.size());
  const auto path = RawPath(request_.target);
  if (!path || !IsMethod(request_.method)) return false;
  try {
    request_.path = PercentDecoded(*path);
    (void)PercentDecoded(request_.target);
  } catch (const std::invalid_argument&) {
    return false;
  }
  record_.route = routes_.Find(request_.path);
  return true;
}

std::optional<Refusal> RequestParser::TakeRest(std::string_view& bytes) {
  const bool is_head = stage_ == Stage::kHeaders;
  const size_t room = is_head ? kMaxHeadBytes - head_bytes_ : bytes.size();
  if (room == 0) return Refusal{.status = kHeadTooLarge, .reason = "the request head is larger than 16 KiB"};
  const std::string_view part = bytes.substr(0, room);
  const llhttp_errno_t error = llhttp_execute(&parser_, part.data(), part.size());
  if (refusal_) return refusal_;
  if (error != HPE_OK && stage_ != Stage::kComplete) return Explain();
  if (is_head) head_bytes_ += part.size();
  bytes.remove_prefix(part.size());
  return std::nullopt;
}

Refusal RequestParser::Explain() const {
  const std::string reason = llhttp_get_error_reason(&parser_);
  const bool takes_body = request_.method == "POST" && record_.route != nullptr && record_.route->make_sink;
  if (takes_body && reason == "Content-Length overflow") return TooLarge();
  return {.status = kBadRequest, .reason = reason};
}

Refusal RequestParser::TooLarge() const {
  return {.status = kContentTooLarge,
          .reason = "at most " + std::to_string(record_.route->max_body_bytes) + " bytes are accepted"};
}

std::optional<Refusal> RequestParser::Judge() const {
  try {
    return routes_.Refuse(record_.route, request_, answer_options_);
  } catch (const std::exception& error) {
    return Refusal{.status = kInternalServerError, .reason = kFailed, .log = error.what()};
  }
}

int RequestParser::Refuse(int status, const char* reason) {
  refusal_ = Refusal{.status = status, .reason = reason};
  return -1;
}

int RequestParser::AddHeader() {
  if (stage_ == Stage::kBody) return 0;
  if (++headers_ > kMaxHeaders) return Refuse(kHeadTooLarge, "more than 100 headers");
  const std::string_view value = WithoutBlanksAtEnd(value_);
  if (EqualsIgnoringCase(field_, "host")) {
    if (std::exchange(has_host_, true)) return Refuse(kBadRequest, "two Host headers");
  } else if (EqualsIgnoringCase(field_, "transfer-encoding")) {
    if (std::exchange(has_encoding_, true)) return Refuse(kBadRequest, "two Transfer-Encoding headers");
    if (request_.version == "HTTP/1.0") return Refuse(kBadRequest, "a Transfer-Encoding in HTTP/1.0");
    if (!EqualsIgnoringCase(value, "chunked"))
      return Refuse(kBadRequest, "a Transfer-Encoding other than chunked");
  } else if (EqualsIgnoringCase(field_, "expect")) {
    expects_continue_ = request_.version == "HTTP/1.1" && EqualsIgnoringCase(value, "100-continue");
  }
  const auto added = request_.headers.emplace(std::string(field_), std::string(value));
  constexpr size_t kNode = 6 * sizeof(void*);  // What the tree and the allocator need for each.
  header_bytes_ += sizeof(*added) + BytesOf(added->first) + BytesOf(added->second) + kNode;
  field_.clear();
  value_.clear();
  return 0;
}

int RequestParser::EndHeaders() {
  field_ = {};
  value_ = {};
  parser_.upgrade = 0;  // Ignored: the request is served as it is.
  const bool is_chunked = (parser_.flags & F_CHUNKED) != 0;
  const bool has_body = is_chunked || ((parser_.flags & F_CONTENT_LENGTH) != 0 && parser_.content_length > 0);
  leaves_body_ = has_body;
  refusal_ = Judge();
  if (refusal_ && refusal_->status == kNotFound) record_.route = nullptr;  // By the route's own check.
  if (refusal_) return -1;
  if (request_.method != "POST" || !record_.route->make_sink) {
    stage_ = Stage::kComplete;
    return HPE_PAUSED;
  }
  if (!is_chunked && parser_.content_length > record_.route->max_body_bytes) {
    refusal_ = TooLarge();
    return -1;
  }
  leaves_body_ = false;
  sink_ = record_.route->make_sink();
  stage_ = Stage::kBody;
  return 0;
}

int RequestParser::AddBody(const char* data, size_t size) {
  body_bytes_ += size;
  if (body_bytes_ > record_.route->max_body_bytes) {
    refusal_ = TooLarge();
    return -1;
  }
  sink_->Take(data, size);
  return 0;
}

int RequestParser::SkipExtra(size_t size) {
  extra_bytes_ += size;
  if (extra_bytes_ <= kMaxHeadBytes) return 0;
  return Refuse(kBadRequest, "more than 16 KiB of chunk extensions and trailers");
}

size_t RequestParser::Bytes() const {
  constexpr size_t kSink = 512;
  return sizeof(*this) + BytesOf(line_) + BytesOf(field_) + BytesOf(value_) + BytesOf(record_.request_line) +
         BytesOf(request_.method) + BytesOf(request_.target) + BytesOf(request_.path) + BytesOf(request_.version) +
         header_bytes_ + (sink_ ? kSink : 0);
}

}  // namespace dockercoins
