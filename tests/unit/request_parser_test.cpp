#include "common/http/request_parser.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace dockercoins {
namespace {

constexpr size_t kMaxBody = 30'000;

/// The body is what came.
class KeepingSink final : public BodySink {
 public:
  void Take(const char* data, size_t size) override { body_.append(data, size); }
  std::string Finish() override { return body_; }

 private:
  std::string body_;
};

/// "/" takes GET and POST, all else GET, but for "/nowhere" and "/broken".
const Routes& TestRoutes() {
  static const Routes routes = [] {
    Routes made;
    const auto serve = [](const httplib::Request&, httplib::Response&) {};
    made.Get("/", serve);
    made.Post("/", kMaxBody, std::make_unique<KeepingSink>, serve);
    made.Get("/:rest", serve).check = [](const httplib::Request& request) -> std::optional<Refusal> {
      if (request.path == "/broken") throw std::runtime_error("out of luck");
      if (request.path == "/nowhere") return Refusal{.status = httplib::NotFound_404, .reason = "nowhere"};
      return std::nullopt;
    };
    return made;
  }();
  return routes;
}

/// "more" while a request is not complete, the status and reason of a refusal, or method, path and body.
std::string VerdictInPieces(std::string_view bytes, size_t size) {
  RequestParser parser(TestRoutes(), true);
  for (; !bytes.empty(); bytes.remove_prefix(std::min(size, bytes.size()))) {
    if (const auto refusal = parser.Take(bytes.substr(0, size)))
      return std::to_string(refusal->status) + " " + refusal->reason;
  }
  if (parser.stage() != RequestParser::Stage::kComplete)
    return parser.expects_continue() ? "more, expects" : "more";
  const httplib::Request request = std::move(parser.TakeRequest("")->http);
  return request.method + " " + request.path + " " + request.body + (parser.leaves_body() ? "[left]" : "");
}

/// The same however the bytes arrive.
std::string Verdict(std::string_view bytes) {
  const std::string verdict = VerdictInPieces(bytes, bytes.size());
  for (const size_t size : {1U, 2U, 7U}) EXPECT_EQ(VerdictInPieces(bytes, size), verdict) << bytes;
  return verdict;
}

std::string Repeated(size_t count, const std::string& text) {
  std::string all;
  for (size_t i = 0; i < count; ++i) all += text;
  return all;
}

std::string WithHeader(const std::string& header) { return "POST / HTTP/1.1\r\n" + header + "\r\n\r\n"; }
std::string InChunks(const std::string& body) { return WithHeader("Transfer-Encoding: chunked") + body; }

template <typename... Text>
std::vector<std::string> List(Text... texts) {
  return {texts...};
}

using Table = std::vector<std::pair<std::string, std::string>>;

TEST(RequestParserTest, IsCompleteWithTheLastByteAndIgnoresWhatFollows) {
  const std::string body("he\n\r\0", 5);
  for (const std::string& request :
       {WithHeader("Content-Length: 5") + body,
        InChunks("0002\r\nhe\r\n3;a=\"b;c\";d\r\n" + body.substr(2) + "\r\n0;x\r\nX: y\r\n\r\n")}) {
    for (size_t size = 0; size < request.size(); ++size)
      EXPECT_EQ(VerdictInPieces(request.substr(0, size), 50), "more");
    EXPECT_EQ(Verdict(request), "POST / " + body);
    EXPECT_EQ(Verdict(request + "\0GET / HTTP/1.1\r\n"), "POST / " + body);
  }
  EXPECT_EQ(Verdict(InChunks("aB\r\n" + std::string(171, 'x') + "\r\n0\r\n\r\n")),
            "POST / " + std::string(171, 'x'));
}

TEST(RequestParserTest, UnderstandsEveryFormOfARequestAndRefusesByTheHeadWhatGetsNoTurn) {
  for (const auto& [request, verdict] : Table{
           {"GET / HTTP/1.0\r\n\r\n", "GET / "},
           {"\r\n\r\nHEAD /a HTTP/1.1\r\n\r\n", "HEAD /a "},
           {"GET /a%2f%00?%41 HTTP/1.1\r\nHost: x\r\n\r\n", std::string("GET /a/\0 ", 9)},
           {"GET HTTP://x:80/%35?y HTTP/1.1\r\n\r\n", "GET /5 "},
           {"GET http://[::1]?/ HTTP/1.1\r\n\r\n", "GET / "},
           {"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnonsense", "GET / [left]"},
           {"HEAD / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n",
            "HEAD / [left]"},
           {"GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "GET / "},
           {WithHeader("Upgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 2") + "ab", "POST / ab"},
           {WithHeader("X-Content-Length: 17"), "POST / "},
           {WithHeader("cOnTeNt-LeNgTh:\t 2 ") + "ab", "POST / ab"},
           {WithHeader("transfer-ENCODING: Chunked") + "0\r\n\r\n", "POST / "},
           {WithHeader("Content-Length: 2\r\nexpect: 100-Continue"), "more, expects"},
           {WithHeader("Content-Length: 2\r\nExpect: 101-continue"), "more"},
           {"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", "more"},
           {"GET /nowhere HTTP/1.1\r\n\r\n", "404 nowhere"},
           {"POST /nowhere HTTP/1.1\r\nContent-Length: 9\r\n\r\n", "404 nowhere"},
           {"GET * HTTP/1.1\r\n\r\n", "404 there is no such path"},
           {"GET /broken HTTP/1.1\r\n\r\n", "500 the response failed"},
           {"OPTIONS * HTTP/1.1\r\n\r\n", "200 "},
           {"OPTIONS / HTTP/1.1\r\nContent-Length: 9\r\n\r\n", "200 "},
           {"PUT / HTTP/1.1\r\n\r\n", "405 allowed are GET, HEAD, POST, OPTIONS"},
           {"POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\n", "405 allowed are GET, HEAD, OPTIONS"},
           {"CONNECT / HTTP/1.1\r\n", "405 allowed are GET, HEAD, POST, OPTIONS"},
           {WithHeader("Content-Length: 30001"), "413 at most 30000 bytes are accepted"},
           {WithHeader("Content-Length: 18446744073709551616"), "413 at most 30000 bytes are accepted"},
           {InChunks("7531\r\n" + std::string(30'001, 'x')), "413 at most 30000 bytes are accepted"},
           {WithHeader("Host: x\r\nhost: x"), "400 two Host headers"},
           {WithHeader("Transfer-Encoding: gzip, chunked"), "400 a Transfer-Encoding other than chunked"},
           {WithHeader("Transfer-Encoding: "), "400 a Transfer-Encoding other than chunked"},
           {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400 a Transfer-Encoding in HTTP/1.0"},
           {"GET / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n", "400 Content-Length overflow"},
           {WithHeader("Content-Length: 5x"), "400 Invalid character in Content-Length"}}) {
    EXPECT_EQ(Verdict(request), verdict) << request;
  }
}

TEST(RequestParserTest, RefusesWhatCouldBeReadInTwoWays) {
  const auto expect_refused = [](const std::string& request) {
    EXPECT_TRUE(Verdict(request).starts_with("400 ")) << request;
  };
  for (const std::string& line :
       List(" ", "GET", "GET /", "GET / ", "GET  / HTTP/1.1", " GET / HTTP/1.1", "/ HTTP/1.1",
            "GET\t/\tHTTP/1.1", "G(T / HTTP/1.1", "get / HTTP/1.1", "PROPFIND / HTTP/1.1", "PRI * HTTP/2.0",
            "GET / http/1.1", "GET / HTTP/0.9", "GET / HTTP/1.2", "GET / HTTP/2.0", "GET / HTTP/1.1x",
            "GET / HTTP/1.1 ", "GET / HTTP/", "GET / RTSP/1.0"))
    expect_refused(line + "\r\nHost: x\r\n\r\n");
  for (const std::string& target : List("/ ", "/ x", "/\t", "\t/", "/\x01", "/\x7f", "/\r/", "x", "%2F5",
                                        "**", "/#x", "/%", "/%5", "/%5g", "/%u0035", "/?%", "https://x/",
                                        "http:///5", "http://:80/5", "http://x%2F5", "http%3A//x/5"))
    expect_refused("GET " + target + " HTTP/1.1\r\n\r\n");
  for (const std::string& header :
       List("Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5", "Content-Length:", "Content-Length: -1",
            "Content-Length: +5", "Content-Length: 0x5", "Content-Length: 5 5", "Content-Length: 5,5",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: chunked\t", "Transfer-Encoding: identity", "Transfer-Encoding: chunkedx",
            "nocolon", ": no name", "Content-Length : 5", " Content-Length: 5", "X: y\r\n\tfolded",
            "na(me: x", "X: y\rZ: y", "X: \x01", "X: y\nZ: y"))
    expect_refused(WithHeader(header));
  for (const std::string& head :
       List("\n", "GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nHost: x\r\n\n",
            std::string("GET /\0 HTTP/1.1\r\n", 17), std::string("GET / HTTP/1.1\r\nX: \0\r\n\r\n", 23)))
    expect_refused(head);
  for (const std::string& size : List("", ";x", "x", "-5", "+5", "0x5", " 5", "5 ", "5,5", "5\r", "5;\x01",
                                      "5;a\rb", "10000000000000000", "5\n", "5x\n"))
    expect_refused(InChunks(size + "\r\nhello\r\n0\r\n\r\n"));
  for (const char* body :
       {"5\r\nhello0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello!\r\n0\r\n\r\n", "0\r\nno header\r\n\r\n",
        "0\r\nX : y\r\n\r\n", "5\r\nhello\r\n0\n\r\n", "0\r\nContent-Length: 3\r\n\r\n"})
    expect_refused(InChunks(body));
}

TEST(RequestParserTest, RefusesWhatIsTooLongWithoutWaitingForItsEnd) {
  const std::string longest = "GET /" + std::string(8'190 - 14, 'a') + " HTTP/1.1";
  EXPECT_TRUE(Verdict(longest + "\r\n\r\n").starts_with("GET /aaa"));
  EXPECT_EQ(Verdict(std::string(8'192, 'a')), "more");
  EXPECT_EQ(Verdict(std::string(8'193, 'a')), "414 the request line is longer than 8 KiB");
  const std::string begin = "\r\n\r\nGET / HTTP/1.1\r\nX: ";
  const std::string large = begin + std::string(16'384 - begin.size() - 4, 'x');
  EXPECT_EQ(Verdict(large + "\r\n\r\n"), "GET / ") << "empty lines before a request count";
  EXPECT_EQ(Verdict(large + "xxxx"), "more");
  EXPECT_EQ(Verdict(large + "xxxxx"), "431 the request head is larger than 16 KiB");
  EXPECT_EQ(Verdict(Repeated(8'193, "\r\n")), "431 the request head is larger than 16 KiB");
  const std::string headers = "\r\nX: y\r\nZ:" + Repeated(98, "\r\nX: y");
  EXPECT_EQ(Verdict("GET / HTTP/1.1" + headers + "\r\n\r\n"), "GET / ");
  EXPECT_EQ(Verdict("GET / HTTP/1.1\r\nX: y" + headers + "\r\n\r\n"), "431 more than 100 headers");
}

TEST(RequestParserTest, TakesAnyNumberOfChunksButLittleBesidesTheirSizes) {
  const std::string too_much = "400 more than 16 KiB of chunk extensions and trailers";
  EXPECT_EQ(Verdict(InChunks(Repeated(20'000, "0000001\r\nx\r\n") + "0\r\n\r\n")),
            "POST / " + std::string(20'000, 'x'));
  EXPECT_EQ(
      Verdict(InChunks(Repeated(10, "1;" + std::string(1'500, 'x') + "\r\nx\r\n") + "0\r\nX: y\r\n\r\n")),
      "POST / xxxxxxxxxx");
  EXPECT_EQ(Verdict(InChunks("1;" + std::string(17'000, 'x'))), too_much);
  EXPECT_EQ(Verdict(InChunks(std::string(17'000, '0'))), too_much);
  EXPECT_EQ(Verdict(InChunks(Repeated(200, "1;a=" + std::string(100, 'x') + "\r\nx\r\n"))), too_much);
  EXPECT_EQ(Verdict(InChunks("0\r\n" + Repeated(4'000, "Xx: yyy\r\n"))), too_much);
}

TEST(RequestParserTest, RecordsTheLineAsItCameWithTheFirstKibibyteOfItsTarget) {
  for (const auto& [line, recorded] : Table{{"GET /%41\x01?b HTTP/1.1\r\n", "GET /%41\x01?b HTTP/1.1"},
                                            {"no line\r\n", "no line"},
                                            {"GET /" + std::string(5'000, 'a') + " HTTP/1.1\r\n\r\n",
                                             "GET /" + std::string(1'023, 'a') + " HTTP/1.1"},
                                            {"GET /\r" + std::string(2'000, 'a') + " HTTP/1.1\r\n",
                                             "GET /\r" + std::string(1'022, 'a') + " HTTP/1.1"},
                                            {std::string(9'000, 'a'), std::string(1'024, 'a')},
                                            {"half of a li", ""}}) {
    RequestParser parser(TestRoutes(), true);
    (void)parser.Take(line);
    EXPECT_EQ(parser.TakeRecord("").request_line, recorded);
  }
}

}  // namespace
}  // namespace dockercoins
