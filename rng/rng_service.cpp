#include "rng/rng_service.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/errors.h"
#include "common/number.h"

namespace dockercoins {
namespace {

constexpr const char* kUrandom = "/dev/urandom";

/// True for "/" and a run of digits.
bool IsNumberPath(std::string_view path) {
  return path.starts_with('/') && path.size() > 1 &&
         path.find_first_not_of("0123456789", 1) == std::string_view::npos;
}

}  // namespace

RngService::RngService(std::string hostname, const SimulatedWork& work)
    : hostname_(std::move(hostname)), work_(work), urandom_(::open(kUrandom, O_RDONLY | O_CLOEXEC)) {
  if (!urandom_) throw StartError(std::string(kUrandom) + ": " + SystemText(errno));
}

Routes RngService::MakeRoutes() const {
  const auto answer_root = [this](const auto& /*request*/, HttpResponse& response, auto&&...) {
    response.SetContent("RNG running on " + hostname_ + "\n", "text/html; charset=utf-8");
  };
  const auto answer_bytes = [this](const HttpRequest& request, HttpResponse& response, const auto& /*body*/,
                                   const std::stop_token& cut) { AnswerBytes(request.path, response, cut); };
  return {Route::To("/", kGetAndHead, answer_root),
          Route::For("/N", kGetAndHead, IsNumberPath, answer_bytes)};
}

void RngService::AnswerBytes(std::string_view path, HttpResponse& response,
                             const std::stop_token& cut) const {
  const auto bytes = ParseNumber(path.substr(1));
  if (!bytes || *bytes > kMaxBytes) {
    response.SetError(kBadRequest, "at most " + std::to_string(kMaxBytes) + " bytes per request");
    return;
  }
  if (!work_.Do(response, cut)) return;
  response.SetSource(*bytes, "application/octet-stream",
                     [this](uint64_t /*offset*/, char* data, size_t size) -> size_t {
                       const ssize_t count = ::read(urandom_.get(), data, size);
                       return count < 0 ? 0 : static_cast<size_t>(count);
                     });
}

}  // namespace dockercoins
