#include "webui/webui_service.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "common/settings.h"
#include "tests/unit/temporary_folder.h"

namespace dockercoins {
namespace {

class NoCounters final : public CountersReader {
 public:
  Counters Read(std::chrono::steady_clock::time_point /*asked*/) override { return {}; }
};

class WebuiServiceTest : public ::testing::Test {
 protected:
  WebuiServiceTest() { folder_.Write("large.js", std::string(100'000, 'x')); }

  const TemporaryFolder folder_;
  NoCounters counters_;
};

TEST_F(WebuiServiceTest, FilesMayChangeWhileTheyAreServed) {
  WebuiService service(counters_, folder_.path(), folder_.path());
  HttpResponse response;
  service.Serve({.method = "GET", .path = "/large.js"}, response, {}, {});
  ASSERT_EQ(response.source_bytes, 100'000U);
  std::filesystem::resize_file(folder_.path() / "large.js", 10);
  std::string piece(1'000, ' ');
  EXPECT_EQ(response.source(2, piece.data(), piece.size()), 8U);
  EXPECT_EQ(response.source(10, piece.data(), piece.size()), 0U) << "the answer ends";

  std::filesystem::remove(folder_.path() / "large.js");
  service.Serve({.method = "GET", .path = "/large.js"}, response, {}, {});
  EXPECT_EQ(response.body, "404 Not Found: the file has just gone\n");
}

TEST_F(WebuiServiceTest, HasOneRouteForAllFilesAndOneForAllAssets) {
  const WebuiService service(counters_, folder_.path(), folder_.path());
  EXPECT_EQ(service.Routes(), (std::vector<std::string>{"/", "/json", "/assets/FILE", "/FILE"}));
  for (const auto& [path, route] : std::vector<std::pair<std::string, std::string>>{
           {"/", "/"}, {"/json", "/json"}, {"/x/y", "/FILE"}, {"/assets/x/y", "/assets/FILE"}, {"*", "*"}}) {
    EXPECT_EQ(service.Route(path), route) << path;
  }
}

TEST_F(WebuiServiceTest, NeedsBothFolders) {
  const auto& there = folder_.path();
  EXPECT_THROW(WebuiService(counters_, there, there / "nowhere"), StartError);
  EXPECT_THROW(WebuiService(counters_, there / "nowhere", there), StartError);
}

}  // namespace
}  // namespace dockercoins
