#include "hasher/hasher_service.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/unit/response_body.h"
#include "tests/unit/stopwatch.h"

namespace dockercoins {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr const char* kDigestOfAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr uint64_t kMebibyte = 1024 * 1024;

HttpResponse Post(HasherService& service, const BodyReader& body, std::stop_token cut = {}) {
  HttpResponse response;
  service.Serve({.method = "POST", .path = "/"}, response, body, std::move(cut));
  return response;
}

/// A body that comes in these pieces.
BodyReader Pieces(std::vector<std::string> pieces) {
  return [pieces = std::move(pieces)](const TakeBytes& take) {
    for (const std::string& piece : pieces) {
      if (!take(piece.data(), piece.size())) return false;
    }
    return true;
  };
}

/// A body of so many zeros; `given` counts how many of them were taken.
BodyReader Zeros(uint64_t bytes, uint64_t& given) {
  return [bytes, &given](const TakeBytes& take) {
    const std::string piece(kMebibyte, '\0');
    for (uint64_t left = bytes; left > 0;) {
      const auto size = std::min<uint64_t>(left, piece.size());
      given += size;
      if (!take(piece.data(), size)) return false;
      left -= size;
    }
    return true;
  };
}

TEST(HasherServiceTest, SaysWhereItRunsAtOnce) {
  HasherService service("9f2e", hours(1));
  for (const char* method : {"GET", "HEAD"}) {
    HttpResponse response;
    service.Serve({.method = method, .path = "/"}, response, NoBody, {});
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.content_type, "text/html; charset=utf-8");
    EXPECT_EQ(BodyOf(response), "HASHER running on 9f2e\n");
  }
}

TEST(HasherServiceTest, AnswersTheDigestOfTheBody) {
  HasherService service("host", milliseconds(0));
  const HttpResponse response = Post(service, Pieces({"abc"}));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "text/plain; charset=utf-8");
  EXPECT_EQ(BodyOf(response), kDigestOfAbc);
}

TEST(HasherServiceTest, HashesTheBodyHoweverItIsCut) {
  HasherService service("host", milliseconds(0));
  EXPECT_EQ(BodyOf(Post(service, Pieces({"a", "", "bc"}))), kDigestOfAbc);
}

TEST(HasherServiceTest, HashesNothingToo) {
  HasherService service("host", milliseconds(0));
  EXPECT_EQ(BodyOf(Post(service, NoBody)),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(HasherServiceTest, KeepsRequestsApart) {
  HasherService service("host", milliseconds(0));
  Post(service, Pieces({"something else"}));
  EXPECT_EQ(BodyOf(Post(service, Pieces({"abc"}))), kDigestOfAbc);
}

TEST(HasherServiceTest, TakesSixtyFourMebibytesAndNotAByteMore) {
  HasherService service("host", milliseconds(0));
  uint64_t given = 0;
  const HttpResponse largest = Post(service, Zeros(64 * kMebibyte, given));
  EXPECT_EQ(largest.status, 200);
  EXPECT_EQ(BodyOf(largest), "3b6a07d0d404fab4e23b6d34bc6696a6a312dd92821332385e5af7c01c421351");

  const HttpResponse larger = Post(service, Zeros(64 * kMebibyte + 1, given));
  EXPECT_EQ(larger.status, 413);
  EXPECT_EQ(BodyOf(larger), "413 Content Too Large: at most 67108864 bytes are taken\n");
  EXPECT_EQ(service.MaxBodyBytes(), 64 * kMebibyte);
}

TEST(HasherServiceTest, StopsReadingWhatIsTooLarge) {
  HasherService service("host", milliseconds(0));
  uint64_t given = 0;
  EXPECT_EQ(Post(service, Zeros(1000 * kMebibyte, given)).status, 413);
  EXPECT_EQ(given, 65 * kMebibyte);
}

TEST(HasherServiceTest, RefusesABodyThatDidNotArriveWhole) {
  HasherService service("host", milliseconds(0));
  const HttpResponse response = Post(service, [](const TakeBytes& take) { return take("abc", 3) && false; });
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(BodyOf(response), "400 Bad Request: the body did not arrive as it was declared\n");
}

TEST(HasherServiceTest, KnowsOnePath) {
  const HasherService service("host", milliseconds(0));
  EXPECT_EQ(service.AllowedMethods("/"), "GET, HEAD, POST");
  for (const char* path : {"", "//", "/hash", "/index.html", "*"})
    EXPECT_EQ(service.AllowedMethods(path), "") << path;
}

TEST(HasherServiceTest, HasOneRoute) {
  const HasherService service("host", milliseconds(0));
  EXPECT_EQ(service.Routes(), (std::vector<std::string>{"/"}));
  EXPECT_EQ(service.Route("/"), "/");
}

TEST(HasherServiceTest, TakesItsTime) {
  HasherService service("host", milliseconds(50));
  const Stopwatch watch;
  EXPECT_EQ(Post(service, Pieces({"abc"})).status, 200);
  EXPECT_GE(watch.Elapsed(), milliseconds(50));
}

TEST(HasherServiceTest, GivesNoDigestForWorkThatAStopCutOff) {
  HasherService service("host", hours(1));
  std::stop_source cut;
  cut.request_stop();
  const HttpResponse response = Post(service, Pieces({"abc"}), cut.get_token());
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(BodyOf(response), "503 Service Unavailable: the service is stopping\n");
}

TEST(HasherServiceTest, RefusalsTakeNoDelay) {
  HasherService service("host", hours(1));
  uint64_t given = 0;
  EXPECT_EQ(Post(service, Zeros(65 * kMebibyte, given)).status, 413);
  EXPECT_EQ(Post(service, [](const TakeBytes&) { return false; }).status, 400);
}

}  // namespace
}  // namespace dockercoins
