#include "webui/webui_service.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/unit/captured_log.h"
#include "tests/unit/temporary_folder.h"

namespace dockercoins {
namespace {

class NoCounters final : public CountersReader {
 public:
  Counters Read(std::chrono::steady_clock::time_point /*asked*/) override { return {}; }
};

TEST(WebuiServiceTest, FilesMayChangeWhileTheyAreServed) {
  const TemporaryFolder folder;
  folder.Write("large.js", std::string(100'000, 'x'));
  NoCounters counters;
  CapturedLog log;
  WebuiService service(counters, folder.path(), folder.path(), log.log());
  const Routes routes = service.MakeRoutes();
  HttpResponse response;
  const Route& files = routes.back();
  files.prepare("/large.js")({.method = "GET", .path = "/large.js"}, response, {}, {});
  ASSERT_EQ(response.source_bytes, 100'000U);
  std::filesystem::resize_file(folder.path() / "large.js", 10);
  std::string piece(1'000, ' ');
  EXPECT_EQ(response.source(2, piece.data(), piece.size()), 8U);
  EXPECT_EQ(response.source(10, piece.data(), piece.size()), 0U) << "the answer ends";

  std::filesystem::remove(folder.path() / "large.js");
  EXPECT_FALSE(files.prepare("/large.js"));
}

}  // namespace
}  // namespace dockercoins
