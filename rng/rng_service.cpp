#include "rng/rng_service.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

#include "common/settings.h"
#include "common/sleep.h"

namespace dockercoins {
namespace {

constexpr const char* kUrandom = "/dev/urandom";
constexpr const char* kNumberRoute = "/N";
constexpr int kBadRequest = 400;

/// True for "/" and a run of digits.
bool IsNumberPath(std::string_view path) {
  return path.starts_with('/') && path.size() > 1 &&
         path.find_first_not_of("0123456789", 1) == std::string_view::npos;
}

/// The number of bytes that a number path asks for, if it is within the limit.
std::optional<uint64_t> WantedBytes(std::string_view path) {
  uint64_t bytes = 0;
  const auto [end, error] = std::from_chars(path.data() + 1, path.data() + path.size(), bytes);
  if (error != std::errc() || bytes > RngService::kMaxBytes) return std::nullopt;
  return bytes;
}

}  // namespace

RngService::RngService(std::string hostname, std::chrono::milliseconds delay)
    : hostname_(std::move(hostname)), delay_(delay), urandom_(::open(kUrandom, O_RDONLY | O_CLOEXEC)) {
  if (!urandom_) throw StartError(std::string(kUrandom) + ": " + std::strerror(errno));
}

std::string_view RngService::AllowedMethods(std::string_view path) const {
  return path == "/" || IsNumberPath(path) ? "GET, HEAD" : "";
}

std::vector<std::string> RngService::Routes() const { return {"/", kNumberRoute}; }

std::string_view RngService::Route(std::string_view path) const {
  if (IsNumberPath(path)) return kNumberRoute;
  return path == "/" ? path : "";
}

void RngService::Serve(const HttpRequest& request, HttpResponse& response, const BodyReader& /*body*/,
                       std::stop_token cut) {
  if (request.path == "/") {
    response.SetContent("RNG running on " + hostname_ + "\n", "text/html; charset=utf-8");
    return;
  }
  const auto bytes = WantedBytes(request.path);
  if (!bytes) {
    response.SetError(kBadRequest, "at most " + std::to_string(kMaxBytes) + " bytes are given at once");
    return;
  }
  if (!SleepFor(delay_, std::move(cut))) {
    response.SetStopping();
    return;
  }
  response.SetSource(*bytes, "application/octet-stream",
                     [this](uint64_t /*offset*/, char* data, size_t size) -> size_t {
                       const ssize_t count = ::read(urandom_.get(), data, size);
                       return count < 0 ? 0 : static_cast<size_t>(count);
                     });
}

}  // namespace dockercoins
