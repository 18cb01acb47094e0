#include "worker/http_upstream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/settings.h"
#include "tests/unit/eventually.h"
#include "tests/unit/gate.h"
#include "tests/unit/sockets.h"
#include "tests/unit/stopwatch.h"

namespace dockercoins {
namespace {

using ::testing::HasSubstr;

/// 32 bytes that are no text.
const std::string kBytes("\0\r\n\r\n\xff\xfe\x80%00\t\x7f 0123456789abcdefg", 32);
const std::string kBroken = "the connection broke before the answer was complete";
const std::string kDigest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

std::string Ok(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

/// A server that gives every request the same answer.
class HttpUpstreamTest : public ::testing::Test {
 protected:
  ~HttpUpstreamTest() override { gate_.Open(); }

  /// From now on this is the answer. What is in `held` follows when the gate is open.
  void Answer(const std::string& answer, const std::string& held = "") {
    const std::lock_guard lock(mutex_);
    answer_ = answer;
    held_ = held;
  }

  [[nodiscard]] std::vector<std::string> Requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

  [[nodiscard]] HttpUrl Url() const {
    return {.server = {.host = "127.0.0.1", .port = server_.port()}, .path = "/base"};
  }
  [[nodiscard]] std::string Name() const { return Url().server.ToString(); }

  /// The result; or why there is none, without the server's name.
  template <typename Function>
  std::string Result(Function function) {
    std::string reason;
    try {
      return function();
    } catch (const UnreachableError& error) {
      return std::string("unreachable: ") + error.what();
    } catch (const std::runtime_error& error) {
      reason = error.what();
    }
    EXPECT_TRUE(reason.starts_with(Name() + ": ")) << reason;
    return reason.substr(std::min(reason.size(), Name().size() + 2));
  }
  std::string Draw() {
    return Result([this] { return HttpRandomSource(Url(), stop_.get_token()).Draw(); });
  }
  std::string Hash() {
    return Result([this] { return HttpHasher(Url(), stop_.get_token()).Hash(kBytes); });
  }

  /// Expects that a stop ends the request when this much of the answer has come.
  void ExpectAStopEndsTheWait(const std::string& answer, const std::string& held) {
    Answer(answer, held);
    const std::jthread stopper([this] {
      if (gate_.AwaitArrived(1)) stop_.request_stop();
    });
    const Stopwatch watch;
    EXPECT_EQ(Draw(), kBroken);
    EXPECT_LT(watch.Elapsed(), kPatience / 2);
    EXPECT_EQ(Draw(), "unreachable: " + Name() + ": interrupted") << "nothing begins after a stop";
    EXPECT_EQ(Requests().size(), 1U);
  }

  Gate gate_;
  std::stop_source stop_;
  std::atomic<unsigned> segments_ = 0;  ///< TCP segments in which the last request came.

 private:
  void Serve(const UniqueFd& connection) {
    const std::string request = ReceiveRequest(connection);
    tcp_info info{};
    socklen_t size = sizeof(info);
    ::getsockopt(connection.get(), IPPROTO_TCP, TCP_INFO, &info, &size);
    segments_ = info.tcpi_data_segs_in;
    std::unique_lock lock(mutex_);
    requests_.push_back(request);
    Send(connection, answer_);
    const std::string held = held_;
    lock.unlock();
    if (held.empty()) return;
    gate_.Pass();
    Send(connection, held);
  }

  std::mutex mutex_;
  std::string answer_ = Ok(kBytes);
  std::string held_;
  std::vector<std::string> requests_;
  const FakeServer server_{[this](const UniqueFd& connection) { Serve(connection); }};
};

TEST_F(HttpUpstreamTest, DrawsAndHasBytesHashedAsTheyAreOnANewConnectionEach) {
  HttpRandomSource rng(Url(), {});
  // The server takes one connection at a time and does not close an answered one before its client does.
  for (int i = 0; i < 2; ++i) EXPECT_EQ(rng.Draw(), kBytes);
  Answer(Ok(kDigest));
  EXPECT_EQ(Hash(), kDigest);
  EXPECT_EQ(segments_, 1U) << "head and body come together, so that hasher wakes up once";
  const std::string headers = "Accept: */*\r\nConnection: close\r\nHost: " + Name() + "\r\n";
  const std::string draw = "GET /base/32 HTTP/1.1\r\n" + headers + "\r\n";
  const std::string hash = "POST /base/ HTTP/1.1\r\nContent-Length: 32\r\n" + headers +
                           "Content-Type: application/octet-stream\r\n\r\n" + kBytes;
  EXPECT_EQ(Requests(), (std::vector{draw, draw, hash}));
}

TEST_F(HttpUpstreamTest, TakesAnswersThatEndWithTheConnectionOrComeInChunks) {
  Answer("HTTP/1.0 200 OK\r\n\r\n" + kBytes);
  EXPECT_EQ(Draw(), kBytes);
  Answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1f\r\n" + kBytes.substr(0, 31) + "\r\n1\r\n" +
         kBytes.substr(31) + "\r\n0\r\n\r\n");
  EXPECT_EQ(Draw(), kBytes);
}

TEST_F(HttpUpstreamTest, RefusesEveryAnswerButTheRightOneAndSaysWhy) {
  const std::string too_long = "it answered with more than 32 bytes instead of 32";
  for (const auto& [answer, reason] : std::vector<std::pair<std::string, std::string>>{
           {"HTTP/1.1 201 Created\r\nContent-Length: 32\r\n\r\n" + kBytes, "it answered with status 201"},
           {"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
            "it answered with status 302"},
           {"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 32\r\n\r\n" + kBytes,
            "it answered with status 503"},
           {"HTTP/1.1 204 No Content\r\n\r\n", "it answered with 0 bytes instead of 32"},
           {Ok(kBytes.substr(1)), "it answered with 31 bytes instead of 32"},
           {Ok(""), "it answered with 0 bytes instead of 32"},
           {"HTTP/1.0 200 OK\r\n\r\n" + kBytes.substr(1), "it answered with 31 bytes instead of 32"},
           {Ok(kBytes + "x"), too_long},
           {Ok(std::string(1'000'000, 'x')), too_long},
           {"HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n" + kBytes.substr(1), kBroken},
           {"HTTP/1.1 200 OK\r\nContent-Le", kBroken},
           {"", kBroken},
           {"nonsense\r\n\r\n", kBroken},
           {"SSH-2.0-OpenSSH_9.2\r\n", kBroken},
           {"\r\n\r\n", kBroken}}) {
    Answer(answer);
    EXPECT_EQ(Draw(), reason) << answer;
  }
  EXPECT_EQ(Requests().size(), 15U) << "a redirect is not followed";
  // It does not wait for the end of an answer that is too long.
  Answer("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + std::string(1000, 'x'), "held");
  EXPECT_EQ(Draw(), too_long);
}

TEST_F(HttpUpstreamTest, RefusesWhatIsNoDigest) {
  const std::string no_digest = "it answered with something else than 64 lower-case hexadecimal digits";
  for (const auto& [digest, reason] : std::vector<std::pair<std::string, std::string>>{
           {std::string(64, 'g'), no_digest},
           {std::string(64, 'A'), no_digest},
           {kDigest.substr(1) + "\n", no_digest},
           {kDigest.substr(1), "it answered with 63 bytes instead of 64"},
           {kDigest + "\n", "it answered with more than 64 bytes instead of 64"}}) {
    Answer(Ok(digest));
    EXPECT_EQ(Hash(), reason);
  }
}

TEST_F(HttpUpstreamTest, SaysWhoIsNotReachable) {
  const ClosedPort closed;
  const HttpUrl url{.server = {.host = "127.0.0.1", .port = closed.port()}, .path = ""};
  const std::string reason = "unreachable: " + url.server.ToString() + ": connection refused";
  EXPECT_EQ(Result([&] { return HttpRandomSource(url, {}).Draw(); }), reason);
  EXPECT_EQ(Result([&] { return HttpHasher(url, {}).Hash(kBytes); }), reason);
}

TEST_F(HttpUpstreamTest, WaitsForAnAnswerAsLongAsAThousandWorkersMayHaveToAndNotForEver) {
  EXPECT_EQ(HttpUpstream::kAnswerTimeout, std::chrono::minutes(10));
  Answer("", Ok(kBytes));
  HttpUpstream impatient(Url(), {}, std::chrono::milliseconds(200));
  const Stopwatch watch;
  EXPECT_EQ(Result([&] { return impatient.Get("/32", 32); }), kBroken);
  EXPECT_GE(watch.Elapsed(), std::chrono::milliseconds(190));
}

TEST_F(HttpUpstreamTest, AStopEndsTheWaitForAnAnswer) { ExpectAStopEndsTheWait("", Ok(kBytes)); }

TEST_F(HttpUpstreamTest, AStopEndsTheWaitForTheRestOfAnAnswer) {
  ExpectAStopEndsTheWait("HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\nx", kBytes.substr(1));
}

TEST(HttpUpstreamHostTest, HasBracketsForIpv6AndNoDefaultPort) {
  const std::pair<const char*, uint16_t> listeners[] = {{"127.9.9.9", 80}, {"::1", 0}};
  for (const auto& [address, port] : listeners) {
    try {
      std::promise<std::string> request;
      const FakeServer server([&](const UniqueFd& client) { request.set_value(ReceiveRequest(client)); },
                              address, port);
      const Endpoint endpoint{.host = address, .port = server.port()};
      EXPECT_THROW(HttpRandomSource({.server = endpoint, .path = ""}, {}).Draw(), std::runtime_error);
      EXPECT_THAT(request.get_future().get(),
                  HasSubstr("\r\nHost: " + (port == 80 ? address : endpoint.ToString()) + "\r\n"));
    } catch (const StartError& error) {
      GTEST_SKIP() << "this machine or user has no such port: " << error.what();
    }
  }
}

}  // namespace
}  // namespace dockercoins
