#include "common/http/request_parser.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <exception>
#include <utility>

#include "common/budget.h"
#include "common/url.h"

namespace dockercoins {
namespace {

/// So much of a target is in the log.
constexpr size_t kLoggedTargetBytes = 1024;
constexpr const char* kHeadTooLong = "the request head is larger than 16 KiB";

bool EqualsIgnoringCase(std::string_view text, std::string_view lower_case) {
  return std::ranges::equal(text, lower_case, {}, [](unsigned char c) { return std::tolower(c); });
}

RequestParser& Of(llhttp_t* parser) { return *static_cast<RequestParser*>(parser->data); }

}  // namespace

bool IsMethod(std::string_view text) {
  constexpr std::array<std::string_view, 9> kMethods = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                                        "CONNECT", "OPTIONS", "TRACE", "PATCH"};
  return std::ranges::find(kMethods, text) != kMethods.end();
}

const llhttp_settings_t& RequestParser::Callbacks() {
  static const llhttp_settings_t callbacks = [] {
    llhttp_settings_t made;
    llhttp_settings_init(&made);
    made.on_header_field = [](llhttp_t* parser, const char* data, size_t size) {
      return Of(parser).AddText(Of(parser).field_, data, size);
    };
    made.on_header_value = [](llhttp_t* parser, const char* data, size_t size) {
      return Of(parser).AddText(Of(parser).value_, data, size);
    };
    made.on_header_value_complete = [](llhttp_t* parser) { return Of(parser).AddHeader(); };
    made.on_headers_complete = [](llhttp_t* parser) { return Of(parser).EndHeaders(); };
    made.on_body = [](llhttp_t* parser, const char* data, size_t size) {
      return Of(parser).AddBody(data, size);
    };
    made.on_message_complete = [](llhttp_t* parser) {
      Of(parser).stage_ = Stage::kComplete;
      return static_cast<int>(HPE_PAUSED);
    };
    return made;
  }();
  return callbacks;
}

RequestParser::RequestParser(const Routes& routes, bool answer_options)
    : routes_(routes), answer_options_(answer_options) {
  llhttp_init(&parser_, HTTP_REQUEST, &Callbacks());
  parser_.data = this;
}

std::optional<Refusal> RequestParser::Take(std::string_view bytes) {
  while (!bytes.empty() && stage_ != Stage::kComplete && !refusal_) {
    stage_ == Stage::kRequestLine ? TakeLine(bytes) : TakeRest(bytes);
  }
  if (stage_ == Stage::kComplete && sink_) request_.body = std::exchange(sink_, nullptr)->Finish();
  return refusal_;
}

void RequestParser::TakeLine(std::string_view& bytes) {
  const std::string_view part = bytes.substr(0, std::min(bytes.find('\n'), bytes.size() - 1) + 1);
  line_ += part;
  head_bytes_ += part.size();
  bytes.remove_prefix(part.size());
  if (line_.size() > kMaxLineBytes) {
    record_.request_line.assign(line_, 0, kLoggedTargetBytes);
    Refuse(httplib::UriTooLong_414, "the request line is longer than 8 KiB");
  } else if (head_bytes_ > kMaxHeadBytes) {
    Refuse(httplib::RequestHeaderFieldsTooLarge_431, kHeadTooLong);
  } else if (line_ == "\r\n") {
    line_.clear();  // RFC 9112, section 2.2: empty lines before a request are ignored.
  } else if (line_.ends_with('\n')) {
    const std::string line = std::exchange(line_, {});
    if (!SplitLine(line)) {
      Refuse(httplib::BadRequest_400, "the request line is malformed");
    } else if (request_.method == "CONNECT") {
      RefuseByRoute();  // llhttp would want an authority. No route has this method.
    } else {
      stage_ = Stage::kHeaders;
      if (llhttp_execute(&parser_, line.data(), line.size()) != HPE_OK) RefuseAsLlhttp();
    }
  }
}

bool RequestParser::SplitLine(std::string_view line) {
  const bool has_good_end = line.ends_with("\r\n");
  line.remove_suffix(has_good_end ? 2 : 1);
  record_.request_line = line;
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == last || !has_good_end) return false;
  const std::string_view target = line.substr(first + 1, last - first - 1);
  if (target.size() > kLoggedTargetBytes) {
    record_.request_line.erase(first + 1 + kLoggedTargetBytes, target.size() - kLoggedTargetBytes);
    record_.request_line.shrink_to_fit();
  }
  const std::string_view version = line.substr(last + 1);
  auto path = PathOfTarget(target);
  if (!path || !IsMethod(line.substr(0, first)) || (version != "HTTP/1.1" && version != "HTTP/1.0"))
    return false;
  request_.method = line.substr(0, first);
  request_.target = target;
  request_.path = *std::move(path);
  request_.version = version;
  record_.route = routes_.Find(request_.path);
  return true;
}

void RequestParser::TakeRest(std::string_view& bytes) {
  const bool is_head = stage_ == Stage::kHeaders;
  const std::string_view part = is_head ? bytes.substr(0, kMaxHeadBytes - head_bytes_) : bytes;
  if (part.empty()) {
    Refuse(httplib::RequestHeaderFieldsTooLarge_431, kHeadTooLong);
    return;
  }
  const llhttp_errno_t error = llhttp_execute(&parser_, part.data(), part.size());
  size_t taken = part.size();
  if (is_head && error == HPE_PAUSED && stage_ == Stage::kBody) {
    taken = static_cast<size_t>(llhttp_get_error_pos(&parser_) - part.data());
    llhttp_resume(&parser_);
  } else if (error != HPE_OK && stage_ != Stage::kComplete && !refusal_) {
    RefuseAsLlhttp();
  }
  (is_head ? head_bytes_ : wire_bytes_) += taken;
  bytes.remove_prefix(taken);
  // So many chunks may have one byte each, with a size of eight digits.
  constexpr uint64_t kMostPerByte = 16;
  if (stage_ == Stage::kBody && !refusal_ && wire_bytes_ > kMaxHeadBytes + kMostPerByte * body_bytes_)
    Refuse(httplib::BadRequest_400, "more than 16 KiB of chunk extensions and trailers");
}

int RequestParser::AddText(std::string& text, const char* data, size_t size) {
  if (stage_ != Stage::kBody) text.append(data, size);  // Not a trailer.
  return 0;
}

int RequestParser::AddHeader() {
  if (stage_ == Stage::kBody) return 0;
  if (++headers_ > kMaxHeaders)
    return Refuse(httplib::RequestHeaderFieldsTooLarge_431, "more than 100 headers");
  value_.resize(value_.find_last_not_of(" \t") + 1);
  if (EqualsIgnoringCase(field_, "host")) {
    if (std::exchange(has_host_, true)) return Refuse(httplib::BadRequest_400, "two Host headers");
  } else if (EqualsIgnoringCase(field_, "transfer-encoding")) {
    if (request_.version == "HTTP/1.0")
      return Refuse(httplib::BadRequest_400, "a Transfer-Encoding in HTTP/1.0");
    if (!EqualsIgnoringCase(value_, "chunked"))
      return Refuse(httplib::BadRequest_400, "a Transfer-Encoding other than chunked");
  } else if (EqualsIgnoringCase(field_, "expect")) {
    expects_continue_ = request_.version == "HTTP/1.1" && EqualsIgnoringCase(value_, "100-continue");
  }
  const auto added = request_.headers.emplace(field_, value_);  // Copies, whose capacity is exact.
  constexpr size_t kNode = 6 * sizeof(void*);  // What the tree and the allocator need for each.
  header_memory_ += sizeof(*added) + BytesOf(added->first) + BytesOf(added->second) + kNode;
  field_.clear();
  value_.clear();
  return 0;
}

int RequestParser::EndHeaders() {
  std::string().swap(field_);  // An assignment would keep its capacity.
  std::string().swap(value_);
  const bool in_chunks = (parser_.flags & F_CHUNKED) != 0;
  const bool has_length = (parser_.flags & F_CONTENT_LENGTH) != 0;
  if ((parser_.flags & F_TRANSFER_ENCODING) != 0 && !in_chunks)
    return Refuse(httplib::BadRequest_400, "a Transfer-Encoding other than chunked");
  leaves_body_ = in_chunks || (has_length && parser_.content_length > 0);
  if (RefuseByRoute() != 0) return -1;
  if (request_.method != "POST" || !record_.route->make_sink) {
    stage_ = Stage::kComplete;
    return HPE_PAUSED;
  }
  if (has_length && parser_.content_length > record_.route->max_body_bytes) return RefuseTooLarge();
  sink_ = record_.route->make_sink();
  stage_ = std::exchange(leaves_body_, false) ? Stage::kBody : Stage::kComplete;
  return HPE_PAUSED;  // So that it is known where the body begins.
}

int RequestParser::AddBody(const char* data, size_t size) {
  body_bytes_ += size;
  if (body_bytes_ > record_.route->max_body_bytes) return RefuseTooLarge();
  sink_->Take(data, size);
  return 0;
}

int RequestParser::Refuse(int status, const std::string& reason) {
  refusal_ = Refusal{.status = status, .reason = reason};
  return -1;
}

int RequestParser::RefuseTooLarge() {
  const std::string limit = std::to_string(record_.route->max_body_bytes);
  return Refuse(httplib::PayloadTooLarge_413, "at most " + limit + " bytes are accepted");
}

int RequestParser::RefuseAsLlhttp() {
  const std::string reason = llhttp_get_error_reason(&parser_);
  const bool takes_body = request_.method == "POST" && record_.route != nullptr && record_.route->make_sink;
  if (takes_body && reason == "Content-Length overflow") return RefuseTooLarge();
  return Refuse(httplib::BadRequest_400, reason);
}

int RequestParser::RefuseByRoute() {
  try {
    refusal_ = routes_.Refuse(record_.route, request_, answer_options_);
  } catch (const std::exception& error) {
    refusal_ = Refusal{.status = httplib::InternalServerError_500, .reason = kFailed, .log = error.what()};
  }
  if (refusal_ && refusal_->status == httplib::NotFound_404) record_.route = nullptr;  // Its check says so.
  return refusal_ ? -1 : 0;
}

size_t RequestParser::Bytes() const {
  constexpr size_t kSink = 512;
  return sizeof(*this) + BytesOf(line_) + BytesOf(field_) + BytesOf(value_) + BytesOf(record_.request_line) +
         BytesOf(request_.target) + BytesOf(request_.path) + header_memory_ + (sink_ ? kSink : 0);
}

RequestRecord RequestParser::TakeRecord(std::string client) {
  record_.client = std::move(client);
  return std::move(record_);
}

std::unique_ptr<Request> RequestParser::TakeRequest(std::string client) {
  const size_t bytes = Bytes();
  request_.remote_addr = client;
  return std::make_unique<Request>(
      Request{.http = std::move(request_), .record = TakeRecord(std::move(client)), .bytes = bytes});
}

}  // namespace dockercoins
