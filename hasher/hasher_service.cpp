#include "hasher/hasher_service.h"

#include <utility>

#include "hasher/sha256.h"

namespace dockercoins {
namespace {

/// The contract's limit: far more than the lesson needs, and hashed in well under a second.
constexpr uint64_t kMaxBodyBytes = 64ULL * 1024 * 1024;

}  // namespace

HasherService::HasherService(std::string hostname, const SimulatedWork& work)
    : hostname_(std::move(hostname)), work_(work) {}

Routes HasherService::MakeRoutes() const {
  const auto answer = [this](const HttpRequest& request, HttpResponse& response, const BodyReader& body,
                             const std::stop_token& cut) {
    if (request.method == "POST") {
      Hash(response, body, cut);
    } else {
      response.SetContent("HASHER running on " + hostname_ + "\n", "text/html; charset=utf-8");
    }
  };
  return {Route::To("/", "GET, HEAD, POST", answer, kMaxBodyBytes)};
}

void HasherService::Hash(HttpResponse& response, const BodyReader& body, const std::stop_token& cut) const {
  Sha256 sha256;
  uint64_t bytes = 0;
  const bool whole = body([&](const char* data, size_t size) {
    bytes += size;
    if (bytes > kMaxBodyBytes) return false;
    sha256.Update(data, size);
    return true;
  });
  if (bytes > kMaxBodyBytes) {
    response.SetError(kContentTooLarge, "at most " + std::to_string(kMaxBodyBytes) + " bytes are accepted");
    return;
  }
  if (!whole) {
    response.SetError(kBadRequest, "the body did not arrive in full");
    return;
  }
  if (!work_.Do(response, cut)) return;
  response.SetContent(sha256.HexDigest(), "text/plain; charset=utf-8");
}

}  // namespace dockercoins
