#include "common/exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/captured_log.h"
#include "tests/unit/eventually.h"
#include "tests/unit/http_answer.h"
#include "tests/unit/sockets.h"

namespace dockercoins {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr uint64_t kMaxBody = 20'000;
constexpr uint64_t kStreamBytes = 300'000;

/// "/" gives a POST's body back; the other paths are called after what they do.
class FakeHandler final : public HttpHandler {
 public:
  [[nodiscard]] std::string_view AllowedMethods(std::string_view path) const override {
    if (path == "/") return "GET, HEAD, POST";
    if (path == "/page" || path == "/stream" || path == "/fail" || path == "/cut") return "GET, HEAD";
    return "";
  }

  [[nodiscard]] uint64_t MaxBodyBytes() const override { return kMaxBody; }

  void Serve(const HttpRequest& request, HttpResponse& response, const BodyReader& body,
             std::stop_token cut) override {
    ++served;
    last = request;
    if (request.method == "POST") {
      std::string text;
      const bool whole = body([&](const char* data, size_t size) {
        text.append(data, size);
        return true;
      });
      response.SetContent(whole ? text : "not whole", "text/plain");
    } else if (request.path == "/fail") {
      throw std::runtime_error("out of luck");
    } else if (request.path == "/stream") {
      response.SetStream(kStreamBytes, "application/octet-stream",
                         [](size_t /*offset*/, size_t size, const TakeBytes& write) {
                           return write(std::string(size, 'a').data(), size);
                         });
    } else if (request.path == "/cut" && cut.stop_requested()) {
      response.SetStopping();
    } else {
      response.headers.emplace_back("X-Fake", "yes");
      response.SetContent("page", "text/html");
    }
  }

  int served = 0;
  HttpRequest last;
};

class ExchangeTest : public ::testing::Test {
 protected:
  /// Has `request` served, of which the head has been received already, as HttpServer does it.
  HttpAnswer Serve(const std::string& request) { return ServeBy(exchange_, request); }

  static HttpAnswer ServeBy(Exchange& exchange, const std::string& request) {
    SocketPair pair = ConnectedPair();
    Connection connection;
    connection.fd = std::move(pair.server);
    connection.client = "192.0.2.7";
    connection.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
    const size_t head = request.find("\r\n\r\n") + 4;
    connection.received = request.substr(0, head);
    std::optional<std::string> raw;
    std::jthread client([&] {
      Send(pair.client, std::string_view(request).substr(head));
      raw = ReceiveAll(pair.client);
    });
    exchange.Serve(connection);
    client.join();
    EXPECT_TRUE(raw) << "the answer does not end";
    return ParseAnswer(raw.value_or(""));
  }

  /// The end of the only line in the access log, from the request on.
  [[nodiscard]] std::string AccessLine() const {
    const auto lines = log_.Lines();
    if (lines.size() != 1) return "not one line, but " + std::to_string(lines.size());
    const size_t at = lines.front().find("] ");
    return at == std::string::npos ? lines.front() : lines.front().substr(at + 2);
  }

  CapturedLog log_;
  FakeHandler handler_;
  std::stop_source cut_;
  const AccessLog access_log_{&log_.log(), nullptr};
  Exchange exchange_{handler_, log_.log(), access_log_, cut_.get_token()};
};

TEST_F(ExchangeTest, AnswersWithLengthTypeAndTheEndOfTheConnection) {
  const HttpAnswer answer = Serve("GET /page HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.raw, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(answer.Header("Content-Length"), "4");
  EXPECT_EQ(answer.Header("Content-Type"), "text/html");
  EXPECT_EQ(answer.Header("Connection"), "close");
  EXPECT_EQ(answer.Header("X-Fake"), "yes");
  EXPECT_EQ(answer.headers.count("Transfer-Encoding"), 0U);
  EXPECT_EQ(answer.body, "page");
}

TEST_F(ExchangeTest, ClosesTheConnectionAlsoWhenAskedToKeepIt) {
  const HttpAnswer answer = Serve("GET /page HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(answer.Header("Connection"), "close");
  EXPECT_EQ(answer.headers.count("Keep-Alive"), 0U);
}

TEST_F(ExchangeTest, AnswersHttp10) {
  const HttpAnswer answer = Serve("GET /page HTTP/1.0\r\n\r\n");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.Header("Content-Length"), "4");
  EXPECT_EQ(answer.Header("Connection"), "close");
  EXPECT_EQ(answer.body, "page");
}

TEST_F(ExchangeTest, HeadHasTheHeadersOfGetAndNoBody) {
  for (const std::string path : {"/page", "/stream"}) {
    const HttpAnswer get = Serve("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
    const HttpAnswer head = Serve("HEAD " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.headers, get.headers);
    EXPECT_EQ(head.body, "");
  }
}

TEST_F(ExchangeTest, StreamsALargeBody) {
  const HttpAnswer answer = Serve("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(answer.Header("Content-Length"), std::to_string(kStreamBytes));
  EXPECT_TRUE(answer.body == std::string(kStreamBytes, 'a'));
  EXPECT_EQ(AccessLine(), R"("GET /stream HTTP/1.1" 200 300000)");
}

TEST_F(ExchangeTest, RefusesPathsThatTheHandlerDoesNotKnow) {
  const HttpAnswer answer = Serve("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.Header("Content-Type"), "text/plain; charset=utf-8");
  EXPECT_EQ(answer.body, "404 Not Found: there is no such path\n");
  EXPECT_EQ(Serve("POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc").status, 404);
  EXPECT_EQ(handler_.served, 0);
}

TEST_F(ExchangeTest, RefusesMethodsThatAPathDoesNotKnowAndSaysWhichItKnows) {
  for (const std::string method : {"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"}) {
    const HttpAnswer answer = Serve(method + " /page HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    EXPECT_EQ(answer.status, 405) << method;
    EXPECT_EQ(answer.Header("Allow"), "GET, HEAD");
    EXPECT_EQ(answer.body, "405 Method Not Allowed: allowed are GET, HEAD\n");
  }
  EXPECT_EQ(Serve("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").Header("Allow"),
            "GET, HEAD, POST");
  EXPECT_EQ(handler_.served, 0);
}

TEST_F(ExchangeTest, RefusesMethodsThatNobodyKnows) {
  EXPECT_EQ(Serve("BREW / HTTP/1.1\r\nHost: x\r\n\r\n").status, 400);
  EXPECT_EQ(Serve("get / HTTP/1.1\r\nHost: x\r\n\r\n").status, 400);
  EXPECT_EQ(handler_.served, 0);
}

TEST_F(ExchangeTest, RefusesABodyThatIsDeclaredTooLargeBeforeItIsRead) {
  EXPECT_EQ(Serve("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20001\r\n\r\n").status, 413);
  EXPECT_EQ(Serve("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551615\r\n\r\n").status, 413);
  EXPECT_EQ(handler_.served, 0);
  const std::string largest(kMaxBody, 'x');
  EXPECT_EQ(Serve("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + largest).body, largest);
}

TEST_F(ExchangeTest, TakesABodyAsItCameWhateverItIsCalled) {
  std::string all_bytes;
  for (int i = 0; i < 256; ++i) all_bytes += static_cast<char>(i);
  // httplib refuses forms of more than 8 KiB.
  const std::string form = "a=" + std::string(10'000, '%');
  const std::string multipart = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n";
  for (const std::string& body : {all_bytes, form, multipart}) {
    for (const char* header :
         {"", "Content-Type: application/x-www-form-urlencoded\r\n",
          "Content-Type: multipart/form-data; boundary=x\r\n", "Content-Type: multipart/form-data\r\n",
          "Content-Type: application/octet-stream\r\n", "Content-Encoding: gzip\r\n",
          "Content-Encoding: br\r\n", "Content-Encoding: nonsense\r\n"}) {
      const HttpAnswer answer = Serve("POST / HTTP/1.1\r\nHost: x\r\n" + std::string(header) +
                                      "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
      EXPECT_EQ(answer.status, 200) << header;
      EXPECT_EQ(answer.body, body) << header;
    }
  }
}

TEST_F(ExchangeTest, TakesABodyInChunks) {
  EXPECT_EQ(Serve("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "3\r\nabc\r\n1;x=y\r\nd\r\nA\r\n0123456789\r\n0\r\n\r\n")
                .body,
            "abcd0123456789");
}

TEST_F(ExchangeTest, TellsTheHandlerThatABodyDidNotArriveWhole) {
  EXPECT_EQ(Serve("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc").body, "not whole");
}

TEST_F(ExchangeTest, TakesAPostWithoutLengthAndChunksAsEmpty) {
  const HttpAnswer answer = Serve("POST / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "");
}

TEST_F(ExchangeTest, SaysThatTheBodyMayComeToWhomWaitsForThat) {
  const HttpAnswer answer =
      Serve("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc");
  EXPECT_THAT(answer.raw, StartsWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(answer.body, "abc");
  EXPECT_EQ(AccessLine(), R"("POST / HTTP/1.1" 200 3)");
}

TEST_F(ExchangeTest, RefusesWithoutCallingForTheBody) {
  const std::string rest = " HTTP/1.1\r\nHost: x\r\nContent-Length: 20001\r\nExpect: 100-continue\r\n\r\n";
  EXPECT_THAT(Serve("POST /" + rest).raw, StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(Serve("POST /page" + rest).raw, StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(Serve("POST /nowhere" + rest).raw, StartsWith("HTTP/1.1 404 "));
}

TEST_F(ExchangeTest, KnowsNoRanges) {
  for (const char* range : {"bytes=0-1", "bytes=5-", "bytes=9-1", "nonsense"}) {
    const HttpAnswer answer =
        Serve("GET /page HTTP/1.1\r\nHost: x\r\nRange: " + std::string(range) + "\r\n\r\n");
    EXPECT_EQ(answer.status, 200) << range;
    EXPECT_EQ(answer.body, "page") << range;
    EXPECT_EQ(answer.headers.count("Accept-Ranges"), 0U);
  }
}

TEST_F(ExchangeTest, GivesTheHandlerThePathDecodedAndWithoutQuery) {
  EXPECT_EQ(Serve("GET /%70age?a=b HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
  EXPECT_EQ(handler_.last.path, "/page");
  EXPECT_EQ(handler_.last.method, "GET");
  EXPECT_EQ(AccessLine(), R"("GET /%70age?a=b HTTP/1.1" 200 4)") << "the log has it as it came";
}

TEST_F(ExchangeTest, TakesTheAbsoluteForm) {
  EXPECT_EQ(Serve("GET http://rng:80/page HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
  EXPECT_EQ(handler_.last.path, "/page");
  EXPECT_EQ(Serve("GET http://rng HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
  EXPECT_EQ(handler_.last.path, "/");
  EXPECT_NE(Serve("GET http:///page HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
  EXPECT_NE(Serve("GET http:// HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
}

TEST_F(ExchangeTest, AHandlerThatFailsIsA500AndALineInTheLog) {
  const HttpAnswer answer = Serve("GET /fail HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.body, "500 Internal Server Error: the answer failed\n")
      << "what failed is not the client's business";
  EXPECT_THAT(log_.Lines(), ElementsAre("ERROR:test:In an answer: out of luck", EndsWith(" 500 45")));
  EXPECT_EQ(Serve("GET /page HTTP/1.1\r\nHost: x\r\n\r\n").status, 200) << "the next one is served";
}

TEST_F(ExchangeTest, PassesTheCutOnToTheHandler) {
  EXPECT_EQ(Serve("GET /cut HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
  cut_.request_stop();
  EXPECT_EQ(Serve("GET /cut HTTP/1.1\r\nHost: x\r\n\r\n").status, 503);
}

TEST_F(ExchangeTest, WritesAnAccessLineForEveryRequest) {
  Serve("GET /page HTTP/1.1\r\nHost: x\r\n\r\n");
  Serve("HEAD /page HTTP/1.0\r\n\r\n");
  Serve("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
  Serve("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_THAT(
      log_.Lines(),
      ElementsAre(EndsWith(R"("GET /page HTTP/1.1" 200 4)"), EndsWith(R"("HEAD /page HTTP/1.0" 200 0)"),
                  EndsWith(R"("GET /nowhere HTTP/1.1" 404 37)"), EndsWith(R"("POST / HTTP/1.1" 200 3)")));
  EXPECT_THAT(log_.Lines().front(), StartsWith("192.0.2.7 - - ["));
}

TEST_F(ExchangeTest, WritesNoAccessLineUnlessAskedTo) {
  const AccessLog none(nullptr, nullptr);
  Exchange silent(handler_, log_.log(), none, {});
  EXPECT_EQ(ServeBy(silent, "GET /page HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
  EXPECT_THAT(log_.Lines(), IsEmpty());
}

TEST_F(ExchangeTest, CountsWhatAClientTookBeforeItLeft) {
  SocketPair pair = ConnectedPair();
  Connection connection;
  connection.fd = std::move(pair.server);
  connection.received = "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n";
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(pair.client.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  pair.client.Reset();
  exchange_.Serve(connection);
  EXPECT_THAT(AccessLine(), Not(HasSubstr("300000")));
}

}  // namespace
}  // namespace dockercoins
