#pragma once

#include <llhttp.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/http/request.h"
#include "common/http/routes.h"

namespace dockercoins {

/// Reads one request from bytes that come in pieces, and gives its body to the route's sink.
///
/// llhttp refuses nearly all that two servers could read in two ways (RFC 9112). Refused here besides: methods
/// of other documents than RFC 9110 and RFC 5789, versions other than 1.0 and 1.1, targets that are neither a
/// path nor an http URL, two Hosts, encodings other than `chunked`, chunks in HTTP/1.0, and what is over the
/// limits. Of a GET or HEAD the head is all.
class RequestParser {
 public:
  /// Limits of a head, in bytes and lines. All of a body's chunk extensions and trailers share the first.
  static constexpr size_t kMaxHeadBytes = size_t{16} * 1024;
  static constexpr size_t kMaxLineBytes = size_t{8} * 1024;
  static constexpr size_t kMaxHeaders = 100;

  enum class Stage { kRequestLine, kHeaders, kBody, kComplete };

  /// `answer_options`: OPTIONS is answered. `routes` must outlive this.
  RequestParser(const Routes& routes, bool answer_options);
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  /// Takes what has arrived; ignores what follows a complete request. After a refusal it must not be called
  /// again.
  [[nodiscard]] std::optional<Refusal> Take(std::string_view bytes);

  [[nodiscard]] Stage stage() const { return stage_; }
  /// How many bytes of the body have come.
  [[nodiscard]] uint64_t body_bytes() const { return body_bytes_; }
  /// The client waits for "100 Continue" before it sends the body.
  [[nodiscard]] bool expects_continue() const { return stage_ == Stage::kBody && expects_continue_; }
  /// The client has declared a body that is not read: it may still send it.
  [[nodiscard]] bool leaves_body() const { return leaves_body_; }
  /// The memory that this holds, in bytes: see Budget.
  [[nodiscard]] size_t Bytes() const;

  /// Its request_line and route, as far as they are known. Moved out.
  [[nodiscard]] RequestRecord TakeRecord() { return std::move(record_); }
  /// The complete request, without its record. Moved out.
  [[nodiscard]] httplib::Request TakeRequest() { return std::move(request_); }

 private:
  struct Callbacks;

  [[nodiscard]] std::optional<Refusal> TakeLine(std::string_view& bytes);
  [[nodiscard]] std::optional<Refusal> TakeRest(std::string_view& bytes);
  [[nodiscard]] bool SplitLine(std::string_view line);
  [[nodiscard]] std::optional<Refusal> Judge() const;
  [[nodiscard]] Refusal Explain() const;
  [[nodiscard]] Refusal TooLarge() const;
  // What llhttp calls: 0, or -1 after a refusal.
  int Refuse(int status, const char* reason);
  int AddHeader();
  int EndHeaders();
  int AddBody(const char* data, size_t size);
  int SkipExtra(size_t size);

  const Routes& routes_;
  const bool answer_options_;
  llhttp_t parser_{};
  Stage stage_ = Stage::kRequestLine;
  size_t head_bytes_ = 0;
  std::string line_;  ///< What has come of the request line.
  std::string field_, value_;
  size_t headers_ = 0;
  size_t header_bytes_ = 0;  ///< The memory of request_.headers.
  bool has_host_ = false, has_encoding_ = false, expects_continue_ = false, leaves_body_ = false;
  std::unique_ptr<BodySink> sink_;
  uint64_t body_bytes_ = 0;
  size_t extra_bytes_ = 0;  ///< Of chunk extensions and trailers.
  std::optional<Refusal> refusal_;
  httplib::Request request_;
  RequestRecord record_;
};

}  // namespace dockercoins
