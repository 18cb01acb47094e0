#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/budget.h"
#include "common/http/request.h"
#include "common/log.h"

namespace dockercoins {

/// A response as it is written: its head, then its content, or what its provider gives piece by piece. For
/// one thread.
class ResponseBytes {
 public:
  /// Composes the head of `response`, for a request with that record; leaves the body out if `is_head`. When
  /// its provider fails, or has no length, it becomes a 500 and a line in `log`, which must outlive this.
  ResponseBytes(httplib::Response response, const RequestRecord& record, bool is_head, Log& log);

  [[nodiscard]] int status() const { return response_.status; }
  [[nodiscard]] uint64_t head_bytes() const { return head_bytes_; }

  /// What is to be written next; empty at the end. Nothing if the provider failed.
  [[nodiscard]] std::optional<std::string_view> Next();
  /// So many bytes of that have been written.
  void Advance(size_t bytes);
  /// Whether something follows what Next returned.
  [[nodiscard]] bool HasMore() const { return from_ < length_; }

  /// The memory that this takes outside its object, in bytes.
  [[nodiscard]] size_t Bytes() const { return BytesOf(unsent_); }

 private:
  bool Refill();

  Log& log_;
  httplib::Response response_;
  std::string unsent_;
  size_t unsent_from_ = 0;
  uint64_t head_bytes_ = 0;
  uint64_t length_ = 0;  ///< What the provider gives in all,
  uint64_t from_ = 0;    ///< and what it has given.
};

}  // namespace dockercoins
