#include "common/http/response_bytes.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <exception>
#include <utility>

namespace dockercoins {
namespace {

/// So much of what a provider gives is in memory at a time.
constexpr size_t kPieceBytes = size_t{16} * 1024;

/// RFC 9110, section 5.6.7. No locale is ever set: the names are English.
std::string Date() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return text.data();
}

/// How long the request waited in the queue and was worked on, for a browser's network panel
/// (https://www.w3.org/TR/server-timing/).
std::string ServerTiming(const RequestRecord& record) {
  using Milliseconds = std::chrono::duration<double, std::milli>;
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "queue;dur=%.1f, work;dur=%.1f", Milliseconds(record.Waited()).count(),
                Milliseconds(record.Served()).count());
  return text.data();
}

/// Whether the length of what a provider gives is known.
bool HasLength(const httplib::Response& response) {
  return response.file_content_path_.empty() && !response.is_chunked_content_provider_ &&
         (!response.content_provider_ || response.content_length_ > 0);
}

}  // namespace

ResponseBytes::ResponseBytes(httplib::Response response, const RequestRecord& record, bool is_head, Log& log)
    : log_(log), response_(std::move(response)) {
  if (response_.status < 0) response_.status = kOk;
  bool failed = !HasLength(response_);
  if (!failed && response_.content_provider_ && !is_head) {
    length_ = response_.content_length_;
    failed = !Refill();
  }
  if (failed) {
    log_.Error("In a response: its content could not be had");
    response_ = {};
    length_ = from_ = 0;
    SetError(response_, kInternalServerError, kFailed);
  }
  Compose(record, is_head);
}

void ResponseBytes::Compose(const RequestRecord& record, bool is_head) {
  const uint64_t length = response_.content_provider_ ? response_.content_length_ : response_.body.size();
  std::string head = "HTTP/1.1 " + std::to_string(response_.status) + " " +
                     httplib::status_message(response_.status) + "\r\nConnection: close\r\nDate: " + Date() +
                     "\r\n";
  response_.headers.erase("Content-Length");
  for (const auto& [name, value] : response_.headers) head.append(name).append(": ").append(value).append("\r\n");
  head += "Content-Length: " + std::to_string(length) + "\r\n";
  if (record.begun) head += "Server-Timing: " + ServerTiming(record) + "\r\n";
  head += "\r\n";
  head_bytes_ = head.size();
  unsent_ = head + unsent_;  // Of just that size: an insert would double the capacity.
  if (!is_head) unsent_ += response_.body;
  response_.headers.clear();
  std::string().swap(response_.body);
}

std::optional<std::string_view> ResponseBytes::Next() {
  const size_t left = unsent_.size() - unsent_from_;
  if (left == 0 && HasMore() && !Refill()) return std::nullopt;
  return std::string_view(unsent_).substr(unsent_from_);
}

void ResponseBytes::Advance(size_t bytes) {
  unsent_from_ += bytes;
  if (unsent_from_ < unsent_.size()) return;
  unsent_.clear();
  unsent_from_ = 0;
}

bool ResponseBytes::Refill() {
  const size_t before = unsent_.size();
  const auto wanted = static_cast<size_t>(std::min<uint64_t>(length_ - from_, kPieceBytes));
  unsent_.reserve(before + wanted);
  httplib::DataSink sink;
  sink.is_writable = [] { return true; };
  sink.write = [&](const char* data, size_t size) {
    const bool fits = unsent_.size() + size <= before + wanted;
    if (fits) unsent_.append(data, size);
    return fits;
  };
  bool good = false;
  try {
    good = response_.content_provider_(from_, wanted, sink);
  } catch (const std::exception& error) {
    log_.Error(std::string("In a response: ") + error.what());
  }
  from_ += unsent_.size() - before;
  return good && unsent_.size() > before;
}

size_t ResponseBytes::Bytes() const { return sizeof(*this) + BytesOf(unsent_); }

}  // namespace dockercoins
