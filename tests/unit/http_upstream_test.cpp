#include "worker/http_upstream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/eventually.h"
#include "tests/unit/gate.h"
#include "tests/unit/sockets.h"
#include "tests/unit/stopwatch.h"

namespace dockercoins {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// 32 bytes that are no text.
const std::string kBytes("\0\r\n\r\n\xff\xfe\x80%00\t\x7f 0123456789abcdefg", 32);
const std::string kDigest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

std::string Ok(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

/// A server that gives every request the same answer.
class HttpUpstreamTest : public ::testing::Test {
 protected:
  ~HttpUpstreamTest() override { gate_.Open(); }

  void Answer(const std::string& answer) {
    const std::lock_guard lock(mutex_);
    answer_ = answer;
  }

  /// From now on an answer is held up, after so much of it has been sent.
  void HoldAfter(size_t bytes) {
    const std::lock_guard lock(mutex_);
    hold_after_ = bytes;
  }

  [[nodiscard]] std::vector<std::string> Requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

  /// In how many TCP segments the last request came.
  [[nodiscard]] unsigned Segments() {
    const std::lock_guard lock(mutex_);
    return segments_;
  }

  [[nodiscard]] HttpUrl Url(const std::string& path = "") const {
    return {.server = {.host = "127.0.0.1", .port = server_.port()}, .path = path};
  }
  [[nodiscard]] std::string Name() const { return "127.0.0.1:" + std::to_string(server_.port()); }

  std::string Draw() { return HttpRandomSource(Url(), stop_.get_token()).Draw(); }
  std::string Hash(const std::string& bytes) { return HttpHasher(Url(), stop_.get_token()).Hash(bytes); }

  /// Why Draw or Hash fails; "unreachable: ..." when there was no connection, empty when it does not fail.
  template <typename Function>
  static std::string Failure(Function function) {
    try {
      (void)function();
    } catch (const UnreachableError& error) {
      return std::string("unreachable: ") + error.what();
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  }
  std::string DrawFailure() {
    return Failure([this] { return Draw(); });
  }
  std::string HashFailure() {
    return Failure([this] { return Hash(kBytes); });
  }

  Gate gate_;
  std::stop_source stop_;

 private:
  void Serve(const UniqueFd& connection) {
    std::string answer;
    size_t hold_after = 0;
    const std::string request = ReceiveRequest(connection);
    tcp_info info{};
    socklen_t size = sizeof(info);
    ::getsockopt(connection.get(), IPPROTO_TCP, TCP_INFO, &info, &size);
    {
      const std::lock_guard lock(mutex_);
      segments_ = info.tcpi_data_segs_in;
      requests_.push_back(request);
      answer = answer_;
      hold_after = hold_after_;
    }
    Send(connection, std::string_view(answer).substr(0, hold_after));
    if (hold_after < answer.size()) {
      gate_.Pass();
      Send(connection, std::string_view(answer).substr(hold_after));
    }
  }

  std::mutex mutex_;
  std::string answer_ = Ok(kBytes);
  size_t hold_after_ = SIZE_MAX;
  std::vector<std::string> requests_;
  unsigned segments_ = 0;
  const FakeServer server_{[this](const UniqueFd& connection) { Serve(connection); }};
};

TEST_F(HttpUpstreamTest, WaitsForAnAnswerAsLongAsAThousandWorkersMayHaveToAndNotForEver) {
  EXPECT_EQ(HttpUpstream::kAnswerTimeout, std::chrono::minutes(10));
  HoldAfter(0);
  HttpUpstream impatient(Url(), stop_.get_token(), std::chrono::milliseconds(200));
  const Stopwatch watch;
  EXPECT_THAT(Failure([&] { return impatient.Get("/32", 32); }), StartsWith(Name()));
  EXPECT_GE(watch.Elapsed(), std::chrono::milliseconds(190));
}

TEST_F(HttpUpstreamTest, DrawsThirtyTwoBytesAsTheyAre) {
  EXPECT_EQ(Draw(), kBytes);
  ASSERT_EQ(Requests().size(), 1U);
  EXPECT_THAT(Requests().front(), StartsWith("GET /32 HTTP/1.1\r\n"));
  EXPECT_THAT(Requests().front(), HasSubstr("Host: " + Name() + "\r\n"));
}

TEST_F(HttpUpstreamTest, HasTheBytesHashedAsTheyAre) {
  Answer(Ok(kDigest));
  EXPECT_EQ(Hash(kBytes), kDigest);
  ASSERT_EQ(Requests().size(), 1U);
  EXPECT_THAT(Requests().front(), StartsWith("POST / HTTP/1.1\r\n"));
  EXPECT_THAT(Requests().front(), HasSubstr("Host: " + Name() + "\r\n"));
  EXPECT_THAT(Requests().front(), HasSubstr("Content-Length: 32\r\n"));
  EXPECT_TRUE(Requests().front().ends_with("\r\n\r\n" + kBytes));
}

TEST_F(HttpUpstreamTest, SendsHeadAndBodyTogetherSoThatTheServerWakesUpOnce) {
  Answer(Ok(kDigest));
  EXPECT_EQ(Hash(kBytes), kDigest);
  EXPECT_EQ(Segments(), 1U);
}

TEST_F(HttpUpstreamTest, PutsItsPathsBehindTheUrlsPath) {
  HttpRandomSource rng(Url("/base"), {});
  EXPECT_EQ(rng.Draw(), kBytes);
  Answer(Ok(kDigest));
  HttpHasher hasher(Url("/base"), {});
  EXPECT_EQ(hasher.Hash(kBytes), kDigest);
  EXPECT_THAT(Requests(),
              ElementsAre(StartsWith("GET /base/32 HTTP/1.1\r\n"), StartsWith("POST /base/ HTTP/1.1\r\n")));
}

TEST_F(HttpUpstreamTest, UsesANewConnectionForEachRequest) {
  HttpRandomSource rng(Url(), {});
  // The server takes one connection at a time and does not close an answered one before its client does.
  for (int i = 0; i < 3; ++i) EXPECT_EQ(rng.Draw(), kBytes);
  EXPECT_EQ(Requests().size(), 3U);
}

TEST_F(HttpUpstreamTest, TakesAnswersThatEndWithTheConnectionOrComeInChunks) {
  Answer("HTTP/1.0 200 OK\r\n\r\n" + kBytes);
  EXPECT_EQ(Draw(), kBytes);
  Answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1f\r\n" + kBytes.substr(0, 31) + "\r\n1\r\n" +
         kBytes.substr(31) + "\r\n0\r\n\r\n");
  EXPECT_EQ(Draw(), kBytes);
}

TEST_F(HttpUpstreamTest, RefusesEveryOtherStatus) {
  for (const char* status :
       {"201 Created", "206 Partial Content", "301 Moved", "302 Found", "400 Bad Request", "404 Not Found",
        "500 Internal Server Error", "503 Service Unavailable"}) {
    const std::string answer =
        "HTTP/1.1 " + std::string(status) + "\r\nLocation: /elsewhere\r\nContent-Length: 32\r\n\r\n" + kBytes;
    Answer(answer);
    EXPECT_EQ(DrawFailure(), Name() + ": it answered with status " + std::string(status).substr(0, 3));
  }
  EXPECT_EQ(Requests().size(), 8U) << "a redirect is not followed";
  Answer("HTTP/1.1 204 No Content\r\n\r\n");
  EXPECT_THAT(DrawFailure(), StartsWith(Name() + ": it answered with "));
}

TEST_F(HttpUpstreamTest, RefusesAnAnswerThatIsTooShort) {
  Answer(Ok(kBytes.substr(1)));
  EXPECT_EQ(DrawFailure(), Name() + ": it answered with 31 bytes instead of 32");
  Answer(Ok(""));
  EXPECT_EQ(DrawFailure(), Name() + ": it answered with 0 bytes instead of 32");
  Answer("HTTP/1.0 200 OK\r\n\r\n" + kBytes.substr(1));
  EXPECT_EQ(DrawFailure(), Name() + ": it answered with 31 bytes instead of 32");
}

TEST_F(HttpUpstreamTest, RefusesAnAnswerThatIsTooLong) {
  Answer(Ok(kBytes + "x"));
  EXPECT_EQ(DrawFailure(), Name() + ": it answered with more than 32 bytes instead of 32");
  Answer(Ok(std::string(1'000'000, 'x')));
  EXPECT_EQ(DrawFailure(), Name() + ": it answered with more than 32 bytes instead of 32");
}

TEST_F(HttpUpstreamTest, DoesNotReadAnEndlessAnswerToItsEnd) {
  Answer("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + std::string(1000, 'x') + "held");
  HoldAfter(1000);
  EXPECT_EQ(DrawFailure(), Name() + ": it answered with more than 32 bytes instead of 32");
}

TEST_F(HttpUpstreamTest, RefusesAnAnswerThatBreaksOff) {
  Answer("HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n" + kBytes.substr(1));
  EXPECT_EQ(DrawFailure(), Name() + ": the connection broke before the answer was complete");
  Answer("HTTP/1.1 200 OK\r\nContent-Le");
  EXPECT_THAT(DrawFailure(), StartsWith(Name() + ": "));
  Answer("");
  EXPECT_EQ(DrawFailure(), Name() + ": the connection broke before the answer was complete");
}

TEST_F(HttpUpstreamTest, RefusesWhatIsNoAnswer) {
  for (const char* answer : {"nonsense\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "\r\n\r\n"}) {
    Answer(answer);
    EXPECT_THAT(DrawFailure(), StartsWith(Name() + ": ")) << answer;
  }
}

TEST_F(HttpUpstreamTest, RefusesWhatIsNoDigest) {
  for (std::string digest :
       {std::string(64, 'g'), std::string(64, 'A'), kDigest.substr(1) + "\n", " " + kDigest.substr(1)}) {
    Answer(Ok(digest));
    EXPECT_EQ(HashFailure(),
              Name() + ": it answered with something else than 64 lower-case hexadecimal digits");
  }
  Answer(Ok(kDigest.substr(1)));
  EXPECT_EQ(HashFailure(), Name() + ": it answered with 63 bytes instead of 64");
  Answer(Ok(kDigest + "\n"));
  EXPECT_EQ(HashFailure(), Name() + ": it answered with more than 64 bytes instead of 64");
}

TEST_F(HttpUpstreamTest, SaysWhoIsNotReachable) {
  const ClosedPort closed;
  const HttpUrl url{.server = {.host = "127.0.0.1", .port = closed.port()}, .path = ""};
  const std::string reason =
      "unreachable: 127.0.0.1:" + std::to_string(closed.port()) + ": connection refused";
  EXPECT_EQ(Failure([&] { return HttpRandomSource(url, {}).Draw(); }), reason);
  EXPECT_EQ(Failure([&] { return HttpHasher(url, {}).Hash(kBytes); }), reason);
}

TEST_F(HttpUpstreamTest, AStopEndsTheWaitForAnAnswer) {
  HoldAfter(0);
  const std::jthread stopper([this] {
    if (gate_.AwaitArrived(1)) stop_.request_stop();
  });
  const Stopwatch watch;
  EXPECT_NE(DrawFailure(), "");
  EXPECT_LT(watch.Elapsed(), kPatience / 2);
}

TEST_F(HttpUpstreamTest, AStopEndsAnAnswerThatStalls) {
  HoldAfter(50);  // In the middle of the body.
  const std::jthread stopper([this] {
    if (gate_.AwaitArrived(1)) stop_.request_stop();
  });
  const Stopwatch watch;
  EXPECT_NE(DrawFailure(), "");
  EXPECT_LT(watch.Elapsed(), kPatience / 2);
}

TEST_F(HttpUpstreamTest, SendsNothingOnceStopped) {
  stop_.request_stop();
  EXPECT_NE(DrawFailure(), "");
  EXPECT_TRUE(Requests().empty());
}

}  // namespace
}  // namespace dockercoins
