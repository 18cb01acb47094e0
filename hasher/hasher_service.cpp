#include "hasher/hasher_service.h"

#include <cstddef>
#include <memory>
#include <utility>

#include "hasher/sha256.h"
#include "httplib.h"

namespace dockercoins {
namespace {

/// The contract's limit: far more than the lesson needs, and hashed in well under a second.
constexpr uint64_t kMaxBodyBytes = 64ULL * 1024 * 1024;

/// What becomes of a body: its digest, computed while it arrives.
class DigestSink final : public BodySink {
 public:
  void Take(const char* data, size_t size) override { sha256_.Update(data, size); }
  std::string Finish() override { return sha256_.HexDigest(); }

 private:
  Sha256 sha256_;
};

}  // namespace

HasherService::HasherService(std::string hostname, const SimulatedWork& work)
    : hostname_(std::move(hostname)), work_(work) {}

Routes HasherService::MakeRoutes() const {
  Routes routes;
  routes.Get("/", [this](const httplib::Request& /*request*/, httplib::Response& response) {
    response.set_content("HASHER running on " + hostname_ + "\n", "text/html; charset=utf-8");
  });
  routes.Post("/", kMaxBodyBytes, std::make_unique<DigestSink>,
              [this](const httplib::Request& digest, httplib::Response& response, const Turn& turn) {
                if (work_.Do(response, turn.cut)) response.set_content(digest.body, kText);
              });
  return routes;
}

}  // namespace dockercoins
