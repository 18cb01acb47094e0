#include "common/http_handler.h"

#include <gtest/gtest.h>

namespace dockercoins {
namespace {

TEST(HttpResponseTest, IsAnEmpty200UnlessToldOtherwise) {
  const HttpResponse response;
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "");
  EXPECT_EQ(response.stream_bytes, 0U);
}

TEST(HttpResponseTest, AnErrorIsOneLineOfPlainTextThatBeginsWithItsStatus) {
  HttpResponse response;
  response.SetError(404, "there is no such path");
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.content_type, "text/plain; charset=utf-8");
  EXPECT_EQ(response.body, "404 Not Found: there is no such path\n");
}

TEST(HttpResponseTest, StoppingIs503) {
  HttpResponse response;
  response.SetStopping();
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body, "503 Service Unavailable: the service is stopping\n");
}

/// The names of RFC 9110, section 15.
TEST(StatusTextTest, NamesEveryStatusThatTheServicesAnswer) {
  EXPECT_STREQ(StatusText(400), "Bad Request");
  EXPECT_STREQ(StatusText(404), "Not Found");
  EXPECT_STREQ(StatusText(405), "Method Not Allowed");
  EXPECT_STREQ(StatusText(408), "Request Timeout");
  EXPECT_STREQ(StatusText(413), "Content Too Large");
  EXPECT_STREQ(StatusText(414), "URI Too Long");
  EXPECT_STREQ(StatusText(431), "Request Header Fields Too Large");
  EXPECT_STREQ(StatusText(500), "Internal Server Error");
  EXPECT_STREQ(StatusText(503), "Service Unavailable");
}

}  // namespace
}  // namespace dockercoins
