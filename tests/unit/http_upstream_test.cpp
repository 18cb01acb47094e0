#include "worker/http_upstream.h"

#include <gtest/gtest.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <future>
#include <stdexcept>
#include <string>

#include "tests/unit/eventually.h"
#include "tests/unit/file_limit.h"
#include "tests/unit/sockets.h"
#include "tests/unit/stopwatch.h"

namespace dockercoins {
namespace {

class HttpUpstreamTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string Failure(const std::stop_token& stop, std::chrono::milliseconds timeout) const {
    try {
      return HttpUpstream(url_, stop, timeout).Get("/32", 32);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  }

  const ListenSocket listener_ = Listen("127.0.0.1", 0);
  const HttpUrl url_{.server = {.host = "127.0.0.1", .port = listener_.port}, .path = "/base"};
  const std::string name_ = url_.server.ToString();
  const std::string broken_ = name_ + ": the connection broke before the answer was complete";
};

TEST_F(HttpUpstreamTest, SendsHeadAndBodyTogetherSoThatHasherWakesUpOnce) {
  const std::string digest(64, 'a');
  const std::string bytes("\0\r\n\r\n\xff\xfe\x80%00\t\x7f 0123456789abcdefg", 32);
  auto answer = std::async(std::launch::async, [&] { return HttpServices(url_, url_, {}).Hash(bytes); });
  const UniqueFd connection = Accept(listener_);
  const std::string request =
      "POST /base/ HTTP/1.1\r\nContent-Length: 32\r\nAccept: */*\r\nConnection: close\r\nHost: " + name_ +
      "\r\nContent-Type: application/octet-stream\r\n\r\n" + bytes;
  EXPECT_EQ(Receive(connection, request.size()), request);
  tcp_info info{};
  socklen_t size = sizeof(info);
  ::getsockopt(connection.get(), IPPROTO_TCP, TCP_INFO, &info, &size);
  EXPECT_EQ(info.tcpi_data_segs_in, 1U);
  Send(connection, "HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + digest);
  EXPECT_EQ(answer.get(), digest);
}

TEST_F(HttpUpstreamTest, WaitsTenMinutesForAnAnswer) {
  EXPECT_EQ(HttpUpstream::kAnswerTimeout, std::chrono::minutes(10));
  const Stopwatch watch;
  EXPECT_EQ(Failure({}, std::chrono::milliseconds(200)), broken_);
  EXPECT_GE(watch.Elapsed(), std::chrono::milliseconds(190));
}

TEST_F(HttpUpstreamTest, AStopEndsTheWaitForAnAnswerOrItsRestAndOneThatIsTooLongIsNotWaitedFor) {
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
  for (const std::string& begin : {std::string(), head + "x", head + std::string(1000, 'x')}) {
    const bool too_long = begin.size() > 1000;
    std::stop_source stop;
    auto failure = std::async(std::launch::async, [&] { return Failure(stop.get_token(), kPatience); });
    const UniqueFd connection = Accept(listener_);
    EXPECT_EQ(Receive(connection, 12), "GET /base/32");
    Send(connection, begin);
    const Stopwatch watch;
    if (!too_long) stop.request_stop();
    EXPECT_EQ(failure.get(),
              too_long ? name_ + ": it answered with more than 32 bytes instead of 32" : broken_);
    EXPECT_LT(watch.Elapsed(), kPatience / 2);
  }
}

TEST_F(HttpUpstreamTest, SaysThatDescriptorsHaveRunOutWhereOnlyTheSocketStillGetsOne) {
  // What UBSan needs is seen before: see FileLimit.
  const ClosedPort closed;
  EXPECT_THROW(
      HttpUpstream({.server = {.host = "127.0.0.1", .port = closed.port()}, .path = ""}, {}).Get("", 1),
      UnreachableError);
  std::string failure;
  {
    const FileLimit one_more(LowestFreeDescriptor() + 1);
    failure = Failure({}, std::chrono::milliseconds(200));
  }
  EXPECT_EQ(failure, name_ + ": too many open files");
}

}  // namespace
}  // namespace dockercoins
