#include "rng/rng_service.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string_view>
#include <utility>

#include "common/errors.h"
#include "common/number.h"
#include "httplib.h"

namespace dockercoins {
namespace {

constexpr const char* kUrandom = "/dev/urandom";

/// The N of a path `/N`; none if it is no run of digits.
std::optional<uint64_t> NumberIn(std::string_view path) { return ParseNumber(path.substr(1)); }

std::optional<Refusal> CheckNumber(const httplib::Request& request) {
  const auto bytes = NumberIn(request.path);
  if (!bytes) return Refusal{.status = httplib::NotFound_404, .reason = kNoSuchPath};
  if (*bytes <= RngService::kMaxBytes) return std::nullopt;
  return Refusal{.status = httplib::BadRequest_400,
                 .reason = "at most " + std::to_string(RngService::kMaxBytes) + " bytes per request"};
}

}  // namespace

RngService::RngService(std::string hostname, const SimulatedWork& work)
    : hostname_(std::move(hostname)), work_(work), urandom_(::open(kUrandom, O_RDONLY | O_CLOEXEC)) {
  if (!urandom_) throw StartError(std::string(kUrandom) + ": " + SystemText(errno));
}

Routes RngService::MakeRoutes() const {
  Routes routes;
  routes.Get("/", [this](const httplib::Request& /*request*/, httplib::Response& response) {
    response.set_content("RNG running on " + hostname_ + "\n", "text/html; charset=utf-8");
  });
  routes
      .Get("/:N", [this](const httplib::Request& request, httplib::Response& response,
                         const Turn& turn) { ServeBytes(request, response, turn); })
      .check = CheckNumber;
  return routes;
}

void RngService::ServeBytes(const httplib::Request& request, httplib::Response& response,
                            const Turn& turn) const {
  if (!work_.Do(response, turn.cut)) return;
  response.set_content_provider(
      NumberIn(request.path).value_or(0), "application/octet-stream",
      [this](size_t /*offset*/, size_t length, httplib::DataSink& sink) {
        std::array<char, size_t{16} * 1024> buffer;  // NOLINT: 16 KiB need no zeroes
        const ssize_t count = ::read(urandom_.get(), buffer.data(), std::min(length, buffer.size()));
        return count > 0 && sink.write(buffer.data(), static_cast<size_t>(count));
      });
}

}  // namespace dockercoins
