#include "rng/rng_service.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "tests/unit/response_body.h"
#include "tests/unit/stopwatch.h"

namespace dockercoins {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

HttpResponse Answer(RngService& service, const std::string& path, std::stop_token cut = {},
                    const std::string& method = "GET") {
  HttpResponse response;
  service.Serve({.method = method, .path = path}, response, NoBody, std::move(cut));
  return response;
}

/// Its delay takes an hour, and a stop has already cut it: what takes the delay is refused.
class CutRngServiceTest : public ::testing::Test {
 protected:
  CutRngServiceTest() { cut_.request_stop(); }

  int StatusOf(const std::string& path, const std::string& method = "GET") {
    return Answer(service_, path, cut_.get_token(), method).status;
  }

 private:
  std::stop_source cut_;
  RngService service_{"host", hours(1)};
};

TEST(RngServiceTest, SaysWhereItRuns) {
  RngService service("9f2e", milliseconds(0));
  const HttpResponse response = Answer(service, "/");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "text/html; charset=utf-8");
  EXPECT_EQ(BodyOf(response), "RNG running on 9f2e\n");
}

TEST(RngServiceTest, GivesAsManyBytesAsAreAskedFor) {
  RngService service("host", milliseconds(0));
  for (const size_t bytes :
       {size_t{0}, size_t{1}, size_t{32}, size_t{16'384}, size_t{16'385}, size_t{100'000}}) {
    const HttpResponse response = Answer(service, "/" + std::to_string(bytes));
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.content_type, "application/octet-stream");
    EXPECT_EQ(BodyOf(response).size(), bytes);
  }
}

TEST(RngServiceTest, GivesOtherBytesEachTime) {
  RngService service("host", milliseconds(0));
  const std::string first = BodyOf(Answer(service, "/32"));
  const std::string second = BodyOf(Answer(service, "/32"));
  EXPECT_NE(first, second);
}

TEST(RngServiceTest, GivesEveryByteItsChance) {
  RngService service("host", milliseconds(0));
  std::array<size_t, 256> counts{};
  for (const char c : BodyOf(Answer(service, "/1000000"))) ++counts.at(static_cast<unsigned char>(c));
  // 3,906 are expected, with a standard deviation of 62: this is ten of them.
  for (const size_t count : counts) EXPECT_NEAR(static_cast<double>(count), 3906, 620);
}

TEST(RngServiceTest, StreamsTheLargestAnswerInSmallPieces) {
  RngService service("host", milliseconds(0));
  const HttpResponse response = Answer(service, "/33554431");
  ASSERT_EQ(response.status, 200);
  ASSERT_EQ(response.stream_bytes, RngService::kMaxBytes);
  size_t bytes = 0;
  size_t largest = 0;
  EXPECT_TRUE(response.stream(0, response.stream_bytes, [&](const char* /*data*/, size_t size) {
    bytes += size;
    largest = std::max(largest, size);
    return true;
  }));
  EXPECT_EQ(bytes, RngService::kMaxBytes);
  EXPECT_LE(largest, size_t{64} * 1024);
}

TEST(RngServiceTest, EndsTheStreamWhenTheClientTakesNoMore) {
  RngService service("host", milliseconds(0));
  const HttpResponse response = Answer(service, "/1000000");
  int pieces = 0;
  EXPECT_FALSE(
      response.stream(0, 1'000'000, [&](const char* /*data*/, size_t /*size*/) { return ++pieces < 2; }));
  EXPECT_EQ(pieces, 2);
}

TEST(RngServiceTest, RefusesMoreThanOneReadOfUrandomYields) {
  RngService service("host", milliseconds(0));
  for (const std::string number : {"33554432", "4294967296", "4294967328", "18446744073709551615",
                                   "18446744073709551648", "99999999999999999999999999"}) {
    const HttpResponse response = Answer(service, "/" + number);
    EXPECT_EQ(response.status, 400) << number;
    EXPECT_EQ(response.content_type, "text/plain; charset=utf-8");
    EXPECT_EQ(BodyOf(response), "400 Bad Request: at most 33554431 bytes are given at once\n");
  }
  EXPECT_EQ(Answer(service, "/" + std::string(8000, '9')).status, 400);
}

TEST(RngServiceTest, TakesLeadingZeros) {
  RngService service("host", milliseconds(0));
  EXPECT_EQ(BodyOf(Answer(service, "/0032")).size(), 32U);
  EXPECT_EQ(BodyOf(Answer(service, "/" + std::string(8000, '0') + "7")).size(), 7U);
}

TEST(RngServiceTest, KnowsTwoKindsOfPaths) {
  const RngService service("host", milliseconds(0));
  for (const char* path : {"/", "/0", "/32", "/0032", "/33554431", "/99999999999999999999999999"}) {
    EXPECT_EQ(service.AllowedMethods(path), "GET, HEAD") << path;
  }
  for (const char* path :
       {"", "32", "//", "//32", "/-1", "/+1", "/abc", "/3.5", "/32/", "/32a", "/a32", "/32 ", "/ 32", "/0x20",
        "/1e3", "/favicon.ico", "/32/32", "*", "/\xd9\xa3\xd9\xa2"}) {
    EXPECT_EQ(service.AllowedMethods(path), "") << path;
  }
  EXPECT_EQ(service.AllowedMethods(std::string_view("/3\0", 3)), "");
}

TEST(RngServiceTest, HasOneRouteForAllNumbers) {
  const RngService service("host", milliseconds(0));
  EXPECT_EQ(service.Routes(), (std::vector<std::string>{"/", "/N"}));
  EXPECT_EQ(service.Route("/"), "/");
  for (const char* path : {"/0", "/32", "/0032", "/99999999999999999999999999"}) {
    EXPECT_EQ(service.Route(path), "/N") << path;
  }
  for (const char* path : {"", "/N", "/abc", "/32/"}) EXPECT_EQ(service.Route(path), "") << path;
}

TEST(RngServiceTest, TakesItsTime) {
  RngService service("host", milliseconds(50));
  const Stopwatch watch;
  EXPECT_EQ(Answer(service, "/32").status, 200);
  EXPECT_GE(watch.Elapsed(), milliseconds(50));
}

TEST_F(CutRngServiceTest, TheDelayIsOfTheBytes) {
  EXPECT_EQ(StatusOf("/32"), 503);
  EXPECT_EQ(StatusOf("/0"), 503);
  EXPECT_EQ(StatusOf("/32", "HEAD"), 503) << "HEAD is served as GET";
}

TEST_F(CutRngServiceTest, TheFrontPageAndRefusalsTakeNoDelay) {
  EXPECT_EQ(StatusOf("/"), 200);
  EXPECT_EQ(StatusOf("/", "HEAD"), 200);
  EXPECT_EQ(StatusOf("/33554432"), 400);
}

}  // namespace
}  // namespace dockercoins
