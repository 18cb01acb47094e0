#include "common/http_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/samples.h"

namespace dockercoins {
namespace {

using std::chrono::milliseconds;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;

class FakeHandler final : public HttpHandler {
 public:
  [[nodiscard]] std::string_view AllowedMethods(std::string_view /*path*/) const override { return "GET"; }
  [[nodiscard]] std::vector<std::string> Routes() const override { return {"/", "/N"}; }
  [[nodiscard]] std::string_view Route(std::string_view path) const override {
    return path == "/1" || path == "/2" ? "/N" : path;
  }
  void Serve(const HttpRequest& /*request*/, HttpResponse& /*response*/, const BodyReader& /*body*/,
             std::stop_token /*cut*/) override {}
};

class HttpMetricsTest : public ::testing::Test {
 protected:
  FakeHandler handler_;
  Metrics metrics_;
  const HttpMetrics http_{metrics_, handler_};
};

TEST_F(HttpMetricsTest, CountsByRouteMethodAndStatus) {
  http_.Count("GET", "/", 200);
  http_.Count("GET", "/1", 200);
  http_.Count("GET", "/2", 200);
  http_.Count("HEAD", "/2", 503);
  const auto samples = Samples(metrics_);
  EXPECT_THAT(samples, Contains(Pair(R"(http_requests_total{route="/",method="GET",status="200"})", 1)));
  EXPECT_THAT(samples, Contains(Pair(R"(http_requests_total{route="/N",method="GET",status="200"})", 2)));
  EXPECT_THAT(samples, Contains(Pair(R"(http_requests_total{route="/N",method="HEAD",status="503"})", 1)));
}

TEST_F(HttpMetricsTest, CountsWhatClientsInventAsOther) {
  for (int i = 0; i < 100; ++i) http_.Count("M" + std::to_string(i), "/x" + std::to_string(i), 700 + i);
  http_.Count("", "", std::nullopt);
  const auto samples = Samples(metrics_);
  EXPECT_THAT(samples,
              Contains(Pair(R"(http_requests_total{route="other",method="other",status="other"})", 100)));
  EXPECT_THAT(samples,
              Contains(Pair(R"(http_requests_total{route="other",method="other",status="none"})", 1)));
}

TEST_F(HttpMetricsTest, TellsTheTimeInLineFromTheTimeInService) {
  http_.ObserveService("/1", milliseconds(700), milliseconds(100));
  http_.ObserveService("/elsewhere", milliseconds(300), milliseconds(0));
  const auto samples = Samples(metrics_);
  EXPECT_DOUBLE_EQ(samples.at("http_request_queue_seconds_sum"), 1.0);
  EXPECT_EQ(samples.at("http_request_queue_seconds_count"), 2);
  EXPECT_DOUBLE_EQ(samples.at(R"(http_request_service_seconds_sum{route="/N"})"), 0.1);
  EXPECT_DOUBLE_EQ(samples.at(R"(http_request_duration_seconds_sum{route="/N"})"), 0.8);
  EXPECT_DOUBLE_EQ(samples.at(R"(http_request_duration_seconds_sum{route="other"})"), 0.3);
  EXPECT_THAT(samples, Not(Contains(Key(HasSubstr("{route=\"/\"")))));
}

TEST_F(HttpMetricsTest, ShowsHowManyWait) {
  http_.Waiting().Set(7);
  EXPECT_EQ(Samples(metrics_).at("http_requests_waiting"), 7);
}

}  // namespace
}  // namespace dockercoins
