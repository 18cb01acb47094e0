#include "webui/webui_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/settings.h"
#include "tests/unit/response_body.h"
#include "tests/unit/temporary_folder.h"

namespace dockercoins {
namespace {

using ::testing::MatchesRegex;
using ::testing::NiceMock;
using ::testing::Return;
using ::testing::Throw;

class MockCountersReader : public CountersReader {
 public:
  MOCK_METHOD(Counters, Read, (), (override));
};

class WebuiServiceTest : public ::testing::Test {
 protected:
  WebuiServiceTest() {
    folder_.Write("files/index.html", "<html>");
    folder_.Write("files/large.js", std::string(100'000, 'x') + "end");
    folder_.Write("files/empty.css", "");
    folder_.Write("files/json", "not this one");
    folder_.Write("assets/javascript/dygraph/dygraph.min.js", "chart");
    folder_.Write("secret.txt", "secret");
  }

  HttpResponse Get(const std::string& path) {
    HttpResponse response;
    service().Serve({.method = "GET", .path = path}, response, NoBody, {});
    return response;
  }

  /// Made when it is first needed, once the folders are there.
  WebuiService& service() {
    if (!service_)
      service_.emplace(counters_, folder_.path() / "files", folder_.path() / "assets" / "javascript");
    return *service_;
  }

  const TemporaryFolder folder_;
  NiceMock<MockCountersReader> counters_;
  std::optional<WebuiService> service_;
};

TEST_F(WebuiServiceTest, LeadsTheFrontDoorToTheDashboard) {
  const HttpResponse response = Get("/");
  EXPECT_EQ(response.status, 302);
  EXPECT_EQ(HeaderOf(response, "Location"), "/index.html");
}

TEST_F(WebuiServiceTest, GivesTheCountersToTheLetter) {
  ON_CALL(counters_, Read).WillByDefault(Return(Counters{.coins = 12, .hashes = "345"}));
  const HttpResponse response = Get("/json");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "application/json; charset=utf-8");
  EXPECT_EQ(HeaderOf(response, "Cache-Control"), "no-store");
  EXPECT_THAT(BodyOf(response), MatchesRegex(R"(\{"coins":12,"hashes":"345","now":[0-9]{10}\.[0-9]{1,3}\})"));
}

TEST_F(WebuiServiceTest, GivesNullBeforeTheFirstUpdate) {
  ON_CALL(counters_, Read).WillByDefault(Return(Counters{}));
  EXPECT_THAT(BodyOf(Get("/json")),
              MatchesRegex(R"(\{"coins":0,"hashes":null,"now":[0-9]{10}\.[0-9]{1,3}\})"));
}

TEST_F(WebuiServiceTest, GivesNumbersBeyondThirtyTwoBits) {
  ON_CALL(counters_, Read)
      .WillByDefault(Return(Counters{.coins = 9'000'000'000'000'000'000, .hashes = "99999999999999999999"}));
  EXPECT_THAT(
      BodyOf(Get("/json")),
      MatchesRegex(R"(\{"coins":9000000000000000000,"hashes":"99999999999999999999","now":[0-9.]*\})"));
}

TEST_F(WebuiServiceTest, TellsTheTimeInSeconds) {
  using Seconds = std::chrono::duration<double>;
  const auto now = [] { return Seconds(std::chrono::system_clock::now().time_since_epoch()).count(); };
  const double before = now();
  const std::string json = BodyOf(Get("/json"));
  const double told = std::strtod(json.c_str() + json.find("\"now\":") + 6, nullptr);
  EXPECT_GE(told, before - 0.001);
  EXPECT_LE(told, now());
}

TEST_F(WebuiServiceTest, SurvivesACounterThatIsNoText) {
  ON_CALL(counters_, Read).WillByDefault(Return(Counters{.coins = 1, .hashes = "\xff\"\n"}));
  EXPECT_THAT(BodyOf(Get("/json")),
              MatchesRegex("\\{\"coins\":1,\"hashes\":\"\xef\xbf\xbd\\\\\"\\\\n\",\"now\":[0-9.]*\\}"));
}

TEST_F(WebuiServiceTest, SaysWhyThereAreNoCountersAndTriesAgainNextTime) {
  EXPECT_CALL(counters_, Read)
      .WillOnce(Throw(std::runtime_error("Redis at redis:6379: \"gone\"")))
      .WillOnce(Return(Counters{.coins = 1, .hashes = "2"}));
  const HttpResponse response = Get("/json");
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.content_type, "application/json; charset=utf-8");
  EXPECT_EQ(HeaderOf(response, "Cache-Control"), "no-store");
  EXPECT_EQ(BodyOf(response), R"({"error":"Redis at redis:6379: \"gone\""})");
  EXPECT_EQ(Get("/json").status, 200);
}

TEST_F(WebuiServiceTest, ReadsNoCountersForOtherRequests) {
  EXPECT_CALL(counters_, Read).Times(0);
  Get("/");
  Get("/index.html");
  EXPECT_EQ(service().AllowedMethods("/json"), "GET, HEAD");
}

TEST_F(WebuiServiceTest, GivesFilesWithTheirTypes) {
  const HttpResponse page = Get("/index.html");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.content_type, "text/html; charset=utf-8");
  EXPECT_EQ(HeaderOf(page, "Cache-Control"), "no-cache") << "an edited file shows on reload";
  EXPECT_EQ(BodyOf(page), "<html>");

  EXPECT_EQ(Get("/large.js").content_type, "text/javascript; charset=utf-8");
  EXPECT_EQ(BodyOf(Get("/large.js")), std::string(100'000, 'x') + "end");
  EXPECT_EQ(Get("/empty.css").status, 200);
  EXPECT_EQ(Get("/empty.css").content_type, "text/css; charset=utf-8");
  EXPECT_EQ(BodyOf(Get("/empty.css")), "");
}

TEST_F(WebuiServiceTest, GivesTheChartLibraryBelowAssets) {
  EXPECT_EQ(BodyOf(Get("/assets/dygraph/dygraph.min.js")), "chart");
  EXPECT_EQ(service().AllowedMethods("/dygraph/dygraph.min.js"), "");
}

TEST_F(WebuiServiceTest, KnowsItsPathsOnly) {
  for (const char* path : {"/", "/json", "/index.html", "/empty.css", "/assets/dygraph/dygraph.min.js"}) {
    EXPECT_EQ(service().AllowedMethods(path), "GET, HEAD") << path;
  }
  for (const char* path :
       {"", "index.html", "/nowhere", "/assets", "/assets/", "/assetsdygraph/dygraph.min.js",
        "/assets/index.html", "/json/", "//index.html", "/../secret.txt", "/assets/../secret.txt",
        "/assets/../../files/index.html", "/assets/../../secret.txt", "/etc/passwd", "*"}) {
    EXPECT_EQ(service().AllowedMethods(path), "") << path;
  }
}

TEST_F(WebuiServiceTest, HasOneRouteForAllFiles) {
  EXPECT_EQ(service().Routes(), (std::vector<std::string>{"/", "/json", "/assets/FILE", "/FILE"}));
  EXPECT_EQ(service().Route("/"), "/");
  EXPECT_EQ(service().Route("/json"), "/json");
  EXPECT_EQ(service().Route("/index.html"), "/FILE");
  EXPECT_EQ(service().Route("/nowhere/at/all"), "/FILE");
  EXPECT_EQ(service().Route("/assets/dygraph/dygraph.min.js"), "/assets/FILE");
  EXPECT_EQ(service().Route("*"), "*");
}

TEST_F(WebuiServiceTest, LetsThePageLoadNothingFromElsewhere) {
  for (const char* path : {"/", "/json", "/index.html"}) {
    const HttpResponse response = Get(path);
    EXPECT_TRUE(HeaderOf(response, "Content-Security-Policy").starts_with("default-src 'self';")) << path;
    EXPECT_EQ(HeaderOf(response, "X-Content-Type-Options"), "nosniff") << path;
  }
}

TEST_F(WebuiServiceTest, AFileThatHasJustGoneIsNotFound) {
  EXPECT_EQ(service().AllowedMethods("/index.html"), "GET, HEAD");
  std::filesystem::remove(folder_.path() / "files" / "index.html");
  EXPECT_EQ(Get("/index.html").status, 404);
}

TEST_F(WebuiServiceTest, AFileThatIsCutShortMeanwhileEndsTheAnswer) {
  const HttpResponse response = Get("/large.js");
  std::filesystem::resize_file(folder_.path() / "files" / "large.js", 10);
  std::string body;
  EXPECT_FALSE(response.stream(0, response.stream_bytes, [&](const char* data, size_t size) {
    body.append(data, size);
    return true;
  }));
  EXPECT_EQ(body, std::string(10, 'x'));
}

TEST_F(WebuiServiceTest, NeedsBothFolders) {
  const auto files = folder_.path() / "files";
  EXPECT_THROW(WebuiService(counters_, files, folder_.path() / "nowhere"), StartError);
  EXPECT_THROW(WebuiService(counters_, folder_.path() / "nowhere", files), StartError);
}

}  // namespace
}  // namespace dockercoins
