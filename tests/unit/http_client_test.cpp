#include "common/http_client.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <future>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/listen.h"
#include "tests/unit/file_limit.h"
#include "tests/unit/sockets.h"
#include "tests/unit/timing.h"
#include "worker/http_upstream.h"

namespace dockercoins {
namespace {

using std::chrono::milliseconds;

constexpr size_t kMaxBody = 4;
constexpr size_t kMaxHead = size_t{16} * 1024;
const std::string kBroken = "the connection broke before the response was complete";
const std::string kTooLate = "no complete response in time";
const std::string kOk = "HTTP/1.1 200 OK\r\n";
const std::string kFour = "Content-Length: 4\r\n\r\n";

class HttpClientTest : public ::testing::Test {
 protected:
  /// Begins a request. Its outcome is the response's status and body, or why there is none.
  [[nodiscard]] std::future<std::string> Begin(milliseconds time, const std::string& body = "",
                                               bool keep = false) {
    return std::async(std::launch::async, [=, this]() -> std::string {
      httplib::Request request;
      request.method = body.empty() ? "GET" : "POST";
      request.path = "/base/32";
      request.body = body;
      request.set_header("X-Extra", "1");
      try {
        const auto response = client_.Send(request, {.time = time, .body = kMaxBody, .keep = keep}, {});
        return std::to_string(response.status) + " " + response.body;
      } catch (const std::runtime_error& error) {
        const std::string name = client_.Server().ToString() + ": ";
        EXPECT_TRUE(std::string(error.what()).starts_with(name));
        return error.what() + name.size();
      }
    });
  }

  const ListenSocket listener_ = Listen("127.0.0.1", 0);
  HttpClient client_{{.host = "127.0.0.1", .port = listener_.port}};
};

TEST_F(HttpClientTest, SendsHeadAndBodyTogetherSoThatTheServerWakesUpOnce) {
  const std::string bytes("\0\r\n\r\n\xff\xfe\x80%00\t\x7f 0123456789abcdefg", 32);
  auto outcome = Begin(kPatience, bytes);
  const UniqueFd connection = Accept(listener_);
  const std::string request =
      "POST /base/32 HTTP/1.1\r\nContent-Length: 32\r\nContent-Type: text/plain\r\nAccept: */*\r\n"
      "Connection: close\r\nHost: 127.0.0.1:" +
      std::to_string(listener_.port) + "\r\nX-Extra: 1\r\n\r\n" + bytes;
  EXPECT_EQ(Receive(connection, request.size()), request);
  EXPECT_EQ(PacketsReceived(connection), 1U);
  Send(connection, kOk + kFour + "body");
  EXPECT_EQ(outcome.get(), "200 body");
}

TEST_F(HttpClientTest, TakesAResponseWithinItsLimitsAndWaitsForNothingElse) {
  const std::string chunked = "Transfer-Encoding: chunked\r\n\r\n";
  const auto header = [](size_t size) { return "X: " + std::string(size - 5, 'x') + "\r\n"; };
  const std::string fill = header(6000) + header(6000) + header(kMaxHead - kOk.size() - kFour.size() - 12000);
  const std::string too_large_head = "its response's head is larger than 16 KiB";
  const std::string unreadable = "its response could not be read";
  constexpr bool kCloses = true;
  const struct {
    std::string sent, outcome;
    bool closes = false;
  } cases[] = {
      {kOk + kFour + "body", "200 body"},
      {kOk + "Content-Length: 0\r\n\r\n", "200 "},
      {"HTTP/1.0 200 OK\r\n\r\nbody", "200 body", kCloses},
      {kOk + chunked + "1\r\nb\r\n1\r\no\r\n1\r\nd\r\n1\r\ny\r\n0\r\n\r\n", "200 body"},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" + kOk + kFour + "body",
       "200 body"},
      {"HTTP/1.1 101 Switching Protocols\r\n\r\n", "101 "},
      {"HTTP/1.1 204 No Content\r\n\r\n", "204 "},
      {"HTTP/1.1 500 Internal Server Error\r\n" + kFour + "bo", "500 "},
      {"HTTP/1.1 302 Found\r\nLocation: /\r\n" + kFour, "302 "},
      {kOk + kFour + "bod", kBroken, kCloses},
      {kOk + "Content-Length: 100000\r\n\r\nbody+", "it responded with more than 4 bytes"},
      {kOk + chunked + "5\r\nbody+", "it responded with more than 4 bytes"},
      {kOk + chunked + "4;" + std::string(2 * kMaxHead, 'x'), "its response is too large"},
      {kOk + fill + kFour + "body", "200 body"},
      {kOk + "Y" + fill + kFour + "body", too_large_head},
      {kOk + fill + header(kMaxHead), too_large_head},
      {"HTTP/1.1 200", kBroken, kCloses},
      {"", kBroken, kCloses},
      {"SSH-2.0", "its response is not HTTP/1"},
      {"HTTP/1.1 abc\r\n\r\n", unreadable},
      {kOk + "Content-Encoding: gzip\r\n" + kFour + "body", unreadable},
  };
  const rlim_t free = LowestFreeDescriptor();
  for (const auto& [sent, outcome, closes] : cases) {
    auto received = Begin(2 * kPatience);
    const UniqueFd connection = Accept(listener_);
    EXPECT_EQ(Receive(connection, 12), "GET /base/32");
    Send(connection, sent);
    if (closes) ::shutdown(connection.get(), SHUT_WR);
    const Stopwatch watch;
    EXPECT_EQ(received.get(), outcome) << sent.substr(0, 200);
    EXPECT_LT(watch.Elapsed(), kPatience) << sent.substr(0, 200);
  }
  EXPECT_EQ(LowestFreeDescriptor(), free);
}

TEST_F(HttpClientTest, HasOneDeadlineForAllOfIt) {
  EXPECT_EQ(HttpUpstream::kTimeout, std::chrono::minutes(10));
  constexpr auto kTime = milliseconds(300);
  const std::string interim = "HTTP/1.1 103 Early Hints\r\n\r\n";
  const struct {
    size_t request;           ///< How long its body is.
    std::string begin, drip;  ///< `drip` follows every millisecond.
  } cases[] = {{0, "", ""}, {0, "HTTP/1.1 200 OK\r\nX: ", "x"}, {0, "", interim}, {64'000'000, "", ""}};
  for (const auto& [request, begin, drip] : cases) {
    const Stopwatch watch;
    auto outcome = Begin(kTime, std::string(request, 'x'));
    const UniqueFd connection = Accept(listener_);
    Send(connection, begin);
    while (outcome.wait_for(milliseconds(1)) == std::future_status::timeout && watch.Elapsed() < kPatience)
      Send(connection, drip);
    EXPECT_EQ(outcome.get(), kTooLate) << drip;
    EXPECT_GE(watch.Elapsed(), kTime);
    EXPECT_LT(watch.Elapsed(), kPatience / 2);
  }
}

TEST_F(HttpClientTest, AKeptConnectionThatFallsSilentIsNotUsedAgain) {
  for (const bool again : {false, true}) {
    auto outcome = Begin(kPatience, "", true);
    const UniqueFd connection = Accept(listener_);
    Send(connection, kOk + kFour + "body");
    EXPECT_EQ(outcome.get(), "200 body") << again;
    EXPECT_EQ(Begin(milliseconds(300), "", true).get(), kTooLate);
  }
}

}  // namespace
}  // namespace dockercoins
