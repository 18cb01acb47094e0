#include "worker/http_upstream.h"

#include <stdexcept>
#include <utility>

namespace dockercoins {
namespace {

constexpr int kOk = 200;
constexpr size_t kRandomBytes = 32;
constexpr size_t kDigestDigits = 64;

bool IsHexDigest(const std::string& text) {
  return text.size() == kDigestDigits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

HttpUpstream::HttpUpstream(HttpUrl url, std::stop_token stop, std::chrono::milliseconds timeout,
                           const HttpUpstream* sibling)
    : base_path_(std::move(url.path)),
      client_(std::move(url.server), sibling != nullptr ? &sibling->client_ : nullptr),
      stop_(std::move(stop)),
      timeout_(timeout) {}

std::string HttpUpstream::Get(const std::string& path, size_t size) {
  return Checked(client_.Get(base_path_ + path, {.time = timeout_, .body = size}, stop_), size);
}

std::string HttpUpstream::Post(const std::string& path, const std::string& body, size_t size) {
  httplib::Request request;
  request.method = "POST";
  request.path = base_path_ + path;
  request.body = body;
  request.set_header("Content-Type", "application/octet-stream");
  return Checked(client_.Send(std::move(request), {.time = timeout_, .body = size}, stop_), size);
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

HttpServices::HttpServices(HttpUrl rng, HttpUrl hasher, const std::stop_token& stop)
    : rng_(std::move(rng), stop), hasher_(std::move(hasher), stop, HttpUpstream::kTimeout, &rng_) {}

std::string HttpServices::Draw() { return rng_.Get("/" + std::to_string(kRandomBytes), kRandomBytes); }

std::string HttpServices::Hash(const std::string& bytes) {
  std::string digest = hasher_.Post("/", bytes, kDigestDigits);
  if (!IsHexDigest(digest))
    hasher_.Fail("it responded with something other than 64 lower-case hexadecimal digits");
  return digest;
}

}  // namespace dockercoins
