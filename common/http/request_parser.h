#pragma once

#include <llhttp.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/http/request.h"

namespace dockercoins {

/// Reads one request from bytes that come in pieces, and gives its body to the route's sink.
///
/// llhttp refuses nearly all that two servers could read in two ways (RFC 9112). Refused here besides:
/// methods of other documents than RFC 9110 and RFC 5789, versions other than 1.0 and 1.1, targets that are
/// neither a path nor an http URL, two Hosts, encodings other than `chunked`, chunks in HTTP/1.0, and what is
/// over the limits. Of a GET or HEAD the head is all.
class RequestParser {
 public:
  /// Limits of a head, in bytes and lines. What chunks add to a body has the first, too.
  static constexpr size_t kMaxHeadBytes = size_t{16} * 1024;
  static constexpr size_t kMaxLineBytes = size_t{8} * 1024;
  static constexpr size_t kMaxHeaders = 100;

  enum class Stage { kRequestLine, kHeaders, kBody, kComplete };

  /// `answer_options`: OPTIONS is answered. `routes` must outlive this.
  RequestParser(const Routes& routes, bool answer_options);
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  /// Takes what has arrived; ignores what follows a complete request. A refusal ends it.
  [[nodiscard]] std::optional<Refusal> Take(std::string_view bytes);

  [[nodiscard]] Stage stage() const { return stage_; }
  /// How many bytes of the body have come.
  [[nodiscard]] uint64_t body_bytes() const { return body_bytes_; }
  /// The client waits for "100 Continue" before it sends the body.
  [[nodiscard]] bool expects_continue() const { return stage_ == Stage::kBody && expects_continue_; }
  /// The client has declared a body that is not read: it may still send it.
  [[nodiscard]] bool leaves_body() const { return leaves_body_; }
  /// The memory that this takes, in bytes.
  [[nodiscard]] size_t Bytes() const;

  /// Moved out: what is known of the request of that client; and the complete request.
  [[nodiscard]] RequestRecord TakeRecord(std::string client);
  [[nodiscard]] std::unique_ptr<Request> TakeRequest(std::string client);

 private:
  static const llhttp_settings_t& Callbacks();
  void TakeLine(std::string_view& bytes);
  void TakeRest(std::string_view& bytes);
  [[nodiscard]] bool SplitLine(std::string_view line);
  // What llhttp calls: 0 to go on. It is C, so no exception may pass.
  int AddText(std::string& text, const char* data, size_t size);
  int AddHeader();
  int EndHeaders();
  int AddBody(const char* data, size_t size);
  // All of these refuse, and return -1.
  int Refuse(int status, const std::string& reason);
  int RefuseTooLarge();
  int RefuseAsLlhttp();
  /// Refuses by route and method; returns 0 if there is nothing to be refused.
  int RefuseByRoute();

  const Routes& routes_;
  const bool answer_options_;
  llhttp_t parser_{};
  Stage stage_ = Stage::kRequestLine;
  size_t head_bytes_ = 0;
  std::string line_;  ///< What has come of the request line.
  std::string field_, value_;
  size_t headers_ = 0, header_memory_ = 0;
  bool has_host_ = false, expects_continue_ = false, leaves_body_ = false;
  std::unique_ptr<BodySink> sink_;
  uint64_t body_bytes_ = 0;
  size_t wire_bytes_ = 0;  ///< All that came for the body: chunks, extensions, trailers.
  std::optional<Refusal> refusal_;
  httplib::Request request_;
  RequestRecord record_;
};

}  // namespace dockercoins
