#include "worker/http_upstream.h"

#include <stdexcept>
#include <utility>

namespace dockercoins {
namespace {

constexpr int kOk = 200;
constexpr int kFirstError = 400;
constexpr size_t kRandomBytes = 32;
constexpr size_t kDigestDigits = 64;

bool IsHexDigest(const std::string& text) {
  return text.size() == kDigestDigits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

HttpUpstream::HttpUpstream(HttpUrl url, LoopTrace& trace, std::stop_token stop,
                           std::chrono::milliseconds timeout, const HttpUpstream* sibling)
    : base_path_(std::move(url.path)),
      client_(std::move(url.server), sibling != nullptr ? &sibling->client_ : nullptr),
      trace_(trace),
      stop_(std::move(stop)),
      timeout_(timeout) {}

std::string HttpUpstream::Send(const std::string& method, const std::string& path, const std::string& body,
                               size_t size) {
  httplib::Request request;
  request.method = method;
  request.path = base_path_ + path;
  request.body = body;
  if (!body.empty()) request.set_header("Content-Type", "application/octet-stream");
  return trace_.Step(method + " " + path, Span::Kind::kClient, [&](Span* span) {
    const auto& server = client_.Server();
    if (span != nullptr) {
      span->attributes = {{"http.request.method", method},
                          {"url.full", "http://" + server.ToString() + request.path},
                          {"server.address", server.host},
                          {"server.port", std::to_string(server.port), true}};
    }
    if (const std::string header = trace_.Traceparent(); !header.empty())
      request.set_header("traceparent", header);
    auto response = client_.Send(std::move(request), {.time = timeout_, .body = size}, stop_);
    const std::string status = std::to_string(response.status);
    if (span != nullptr) span->attributes.push_back({"http.response.status_code", status, true});
    if (span != nullptr && response.status >= kFirstError) span->attributes.push_back({"error.type", status});
    return Checked(std::move(response), size);
  });
}

void HttpUpstream::Fail(const std::string& reason) const {
  throw std::runtime_error(client_.Server().ToString() + ": " + reason);
}

std::string HttpUpstream::Checked(httplib::Response response, size_t size) const {
  if (response.status != kOk) Fail("it responded with status " + std::to_string(response.status));
  if (response.body.size() != size) {
    Fail("it responded with " + std::to_string(response.body.size()) + " bytes instead of " +
         std::to_string(size));
  }
  return std::move(response.body);
}

HttpServices::HttpServices(HttpUrl rng, HttpUrl hasher, LoopTrace& trace, const std::stop_token& stop)
    : rng_(std::move(rng), trace, stop),
      hasher_(std::move(hasher), trace, stop, HttpUpstream::kTimeout, &rng_) {}

std::string HttpServices::Draw() { return rng_.Get("/" + std::to_string(kRandomBytes), kRandomBytes); }

std::string HttpServices::Hash(const std::string& bytes) {
  std::string digest = hasher_.Post("/", bytes, kDigestDigits);
  if (!IsHexDigest(digest))
    hasher_.Fail("it responded with something other than 64 lower-case hexadecimal digits");
  return digest;
}

}  // namespace dockercoins
