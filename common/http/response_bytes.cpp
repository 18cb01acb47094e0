#include "common/http/response_bytes.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "common/time_text.h"

namespace dockercoins {
namespace {

/// So much of what a provider gives is in memory at a time.
constexpr size_t kPieceBytes = size_t{16} * 1024;

/// The head of `response`, whose body has `length` bytes. Server-Timing is for a browser's network panel
/// (https://www.w3.org/TR/server-timing/).
std::string Head(const httplib::Response& response, uint64_t length, const RequestRecord& record) {
  std::string head = "HTTP/1.1 " + std::to_string(response.status) + " " +
                     httplib::status_message(response.status) + "\r\nConnection: close\r\nDate: " +
                     UtcText(std::chrono::system_clock::now(), "%a, %d %b %Y %H:%M:%S GMT") +
                     "\r\nContent-Length: " + std::to_string(length) + "\r\n";
  for (const auto& [name, value] : response.headers)
    head.append(name).append(": ").append(value).append("\r\n");
  if (record.begun) {
    head += "Server-Timing: queue;dur=" + MillisecondsText(record.Waited()) +
            ", work;dur=" + MillisecondsText(record.Served()) + "\r\n";
  }
  return head + "\r\n";
}

}  // namespace

ResponseBytes::ResponseBytes(httplib::Response response, const RequestRecord& record, bool is_head, Log& log)
    : log_(log), response_(std::move(response)) {
  if (response_.status < 0) response_.status = httplib::OK_200;
  bool good = response_.file_content_path_.empty() && !response_.is_chunked_content_provider_ &&
              (!response_.content_provider_ || response_.content_length_ > 0);
  uint64_t length = response_.content_provider_ ? response_.content_length_ : response_.body.size();
  if (good && response_.content_provider_ && !is_head) {
    length_ = length;
    good = Refill();
  }
  if (!good) {
    log_.Error("In a response: its content could not be had");
    unsent_.clear();
    length_ = from_ = 0;
    response_ = {};
    SetError(response_, httplib::InternalServerError_500, kFailed);
    length = response_.body.size();
  }
  const std::string head = Head(response_, length, record);
  head_bytes_ = head.size();
  unsent_ = head + unsent_;  // Of just that size: an insert would double the capacity.
  if (!is_head) unsent_ += response_.body;
  response_.headers.clear();
  std::string().swap(response_.body);  // An assignment would keep its capacity.
}

std::optional<std::string_view> ResponseBytes::Next() {
  if (unsent_.empty() && HasMore() && !Refill()) return std::nullopt;
  return std::string_view(unsent_).substr(unsent_from_);
}

void ResponseBytes::Advance(size_t bytes) {
  unsent_from_ += bytes;
  if (unsent_from_ < unsent_.size()) return;
  unsent_.clear();
  unsent_from_ = 0;
}

bool ResponseBytes::Refill() {
  const size_t end = unsent_.size() + static_cast<size_t>(std::min<uint64_t>(length_ - from_, kPieceBytes));
  const size_t before = unsent_.size();
  unsent_.reserve(end);
  httplib::DataSink sink;
  sink.is_writable = [] { return true; };
  sink.write = [&](const char* data, size_t size) {
    const bool fits = unsent_.size() + size <= end;
    if (fits) unsent_.append(data, size);
    return fits;
  };
  bool good = false;
  try {
    good = response_.content_provider_(from_, end - before, sink);
  } catch (const std::exception& error) {
    log_.Error(std::string("In a response: ") + error.what());
  }
  from_ += unsent_.size() - before;
  return good && unsent_.size() > before;
}

}  // namespace dockercoins
