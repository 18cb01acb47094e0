#include "webui/webui_service.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "httplib.h"
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
  httplib::Request request;
  request.method = "GET";
  request.path = "/large.js";
  httplib::Response response;
  routes.Find(request.path)->HandlerFor(request.method)(request, response, {});
  ASSERT_EQ(response.content_length_, 100'000U);
  std::filesystem::resize_file(folder.path() / "large.js", 10);
  size_t came = 0;
  httplib::DataSink sink;
  sink.write = [&came](const char* /*data*/, size_t size) {
    came += size;
    return true;
  };
  EXPECT_TRUE(response.content_provider_(2, 1'000, sink));
  EXPECT_EQ(came, 8U);
  EXPECT_FALSE(response.content_provider_(10, 1'000, sink)) << "the response ends";
}

}  // namespace
}  // namespace dockercoins
