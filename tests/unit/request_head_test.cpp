#include "common/request_head.h"

#include <gtest/gtest.h>

namespace dockercoins {
namespace {

/// The status with which a head is refused; 0 when it is not, or not yet.
int RefusalOf(std::string_view received) {
  const HeadProgress progress = InspectHead(received);
  return progress.refusal ? progress.refusal->status : 0;
}

bool IsComplete(std::string_view received) { return InspectHead(received).head.has_value(); }

std::string WithHeader(const std::string& header) {
  return "POST / HTTP/1.1\r\nHost: x\r\n" + header + "\r\n\r\n";
}

TEST(InspectHeadTest, WaitsForTheLastByteOfTheHead) {
  const std::string request = "POST / HTTP/1.1\r\nHost: rng\r\nContent-Length: 3\r\n\r\n";
  for (size_t size = 0; size < request.size(); ++size) {
    const HeadProgress progress = InspectHead(std::string_view(request).substr(0, size));
    EXPECT_FALSE(progress.head || progress.refusal) << size;
  }
  const HeadProgress progress = InspectHead(request + "abc");
  ASSERT_TRUE(progress.head);
  EXPECT_FALSE(progress.refusal);
  EXPECT_EQ(progress.head->bytes, request.size());
  EXPECT_EQ(progress.head->content_length, 3U);
}

TEST(InspectHeadTest, TakesARequestWithoutHeaders) {
  const HeadProgress progress = InspectHead("HEAD / HTTP/1.0\r\n\r\n");
  ASSERT_TRUE(progress.head);
  EXPECT_EQ(progress.head->bytes, 19U);
  EXPECT_EQ(progress.head->content_length, 0U);
  EXPECT_FALSE(progress.head->chunked);
  EXPECT_FALSE(progress.head->expects_continue);
}

TEST(InspectHeadTest, FindsHeadersWhateverTheirCaseAndBlanks) {
  EXPECT_EQ(InspectHead(WithHeader("cOnTeNt-LeNgTh:\t 17 \t")).head->content_length, 17U);
  EXPECT_EQ(InspectHead(WithHeader("CONTENT-LENGTH:17")).head->content_length, 17U);
  EXPECT_TRUE(InspectHead(WithHeader("transfer-ENCODING: Chunked")).head->chunked);
  EXPECT_TRUE(InspectHead(WithHeader("expect: 100-continue")).head->expects_continue);
  EXPECT_EQ(InspectHead(WithHeader("X-Content-Length: 17")).head->content_length, 0U);
  EXPECT_EQ(InspectHead(WithHeader("Content-Length: 18446744073709551615")).head->content_length, UINT64_MAX);
  EXPECT_EQ(InspectHead(WithHeader("Content-Length: 18446744073709551616")).head->content_length, UINT64_MAX);
}

TEST(InspectHeadTest, DoesNotLookIntoTheBody) {
  const std::string body("\nContent-Length: 7\r\n\0\r\n\r\n", 26);
  const HeadProgress progress = InspectHead(WithHeader("Content-Length: 26") + body);
  ASSERT_TRUE(progress.head);
  EXPECT_EQ(progress.head->content_length, 26U);
}

TEST(InspectHeadTest, RefusesLengthsThatCouldBeReadInTwoWays) {
  for (const char* header : {"Content-Length:",
                             "Content-Length: ",
                             "Content-Length: abc",
                             "Content-Length: -1",
                             "Content-Length: +5",
                             "Content-Length: 0x5",
                             "Content-Length: 18446744073709551616x",
                             "Content-Length: 5 5",
                             "Content-Length: 5,5",
                             "Content-Length: 5.0",
                             "Content-Length: 5\r\nContent-Length: 5",
                             "Content-Length: 5\r\ncontent-length: 6",
                             "Content-Length: 5\r\nTransfer-Encoding: chunked",
                             "Transfer-Encoding: chunked\r\nContent-Length: 5",
                             "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                             "Transfer-Encoding:",
                             "Transfer-Encoding: gzip",
                             "Transfer-Encoding: gzip, chunked",
                             "Transfer-Encoding: identity",
                             "Transfer-Encoding: chunkedx"}) {
    EXPECT_EQ(RefusalOf(WithHeader(header)), 400) << header;
  }
}

TEST(InspectHeadTest, RefusesLinesThatAreNoHeaders) {
  for (const char* line : {"nocolon", ": no name", "Content-Length : 5", "two words: x", " Content-Length: 5",
                           "\tfolded: x", "X: y\r\n folded"}) {
    EXPECT_EQ(RefusalOf(WithHeader(line)), 400) << line;
  }
}

TEST(InspectHeadTest, RefusesRequestLinesOfAnotherForm) {
  for (const char* line : {"", " ", "GET", "GET /", "GET / ", "GET /  HTTP/1.1", "GET  / HTTP/1.1",
                           " GET / HTTP/1.1", "GET / HTTP/1.1 ", "GET / x HTTP/1.1", "GET / http/1.1",
                           "GET / FTP/1.1", "/ HTTP/1.1", "GET\t/\tHTTP/1.1"}) {
    EXPECT_EQ(RefusalOf(std::string(line) + "\r\nHost: x\r\n\r\n"), 400) << line;
  }
}

TEST(InspectHeadTest, RefusesBareLineFeedsAtOnce) {
  EXPECT_EQ(RefusalOf("\n"), 400);
  EXPECT_EQ(RefusalOf("GET / HTTP/1.1\n"), 400);
  EXPECT_EQ(RefusalOf("GET / HTTP/1.1\r\nHost: x\n"), 400);
  EXPECT_EQ(RefusalOf("GET / HTTP/1.1\r\nHost: x\n\r\n\r\n"), 400);
  EXPECT_EQ(RefusalOf("GET / HTTP/1.1\n\n"), 400);
}

TEST(InspectHeadTest, RefusesNulsAtOnce) {
  EXPECT_EQ(RefusalOf(std::string_view("GET /\0", 6)), 400);
  EXPECT_EQ(RefusalOf(std::string_view("GET / HTTP/1.1\r\nHost: \0\r\n\r\n", 27)), 400);
}

TEST(InspectHeadTest, RefusesALineOverEightKilobytesWithoutWaitingForItsEnd) {
  const std::string longest =
      "GET /" + std::string(RequestHead::kMaxRequestLineBytes - 15, 'a') + " HTTP/1.1";
  EXPECT_TRUE(IsComplete(longest + "\r\n\r\n"));
  EXPECT_EQ(RefusalOf(std::string(RequestHead::kMaxRequestLineBytes, 'a')), 0);
  EXPECT_EQ(RefusalOf(std::string(RequestHead::kMaxRequestLineBytes + 1, 'a')), 414);
  EXPECT_EQ(RefusalOf("GET /" + std::string(RequestHead::kMaxRequestLineBytes, 'a') + " HTTP/1.1\r\n\r\n"),
            414);
}

TEST(InspectHeadTest, RefusesAHeadOverSixteenKilobytesWithoutWaitingForItsEnd) {
  const std::string begin = "GET / HTTP/1.1\r\nX: ";
  const std::string longest =
      begin + std::string(RequestHead::kMaxBytes - begin.size() - 4, 'x') + "\r\n\r\n";
  EXPECT_TRUE(IsComplete(longest));
  EXPECT_EQ(RefusalOf(begin + std::string(RequestHead::kMaxBytes - begin.size(), 'x')), 0);
  EXPECT_EQ(RefusalOf(begin + std::string(RequestHead::kMaxBytes - begin.size() + 1, 'x')), 431);
  EXPECT_EQ(RefusalOf(begin + std::string(RequestHead::kMaxBytes - begin.size() - 3, 'x') + "\r\n\r\n"), 431);
}

TEST(InspectHeadTest, ABodyDoesNotCountAsHead) {
  EXPECT_TRUE(IsComplete(WithHeader("Content-Length: 60000") + std::string(60000, '\n')));
}

TEST(InspectHeadTest, TakesAHundredHeadersAndNotOneMore) {
  std::string head = "GET / HTTP/1.1\r\n";
  for (size_t i = 0; i < RequestHead::kMaxHeaders; ++i) head += "X: y\r\n";
  EXPECT_TRUE(IsComplete(head + "\r\n"));
  EXPECT_EQ(RefusalOf(head + "X: y\r\n\r\n"), 431);
}

TEST(RequestLineTest, IsTheFirstLineOnceThatIsComplete) {
  EXPECT_EQ(RequestLine("GET /32 HTTP/1.1\r\nHost: x\r\n\r\n"), "GET /32 HTTP/1.1");
  EXPECT_EQ(RequestLine("GET /32 HTTP/1.1\r\n"), "GET /32 HTTP/1.1");
  EXPECT_EQ(RequestLine("GET /32 HTTP/1.1\r"), "");
  EXPECT_EQ(RequestLine("GET /32"), "");
  EXPECT_EQ(RequestLine(""), "");
}

std::string Without(std::string received, std::string_view name) {
  RemoveHeader(received, name);
  return received;
}

TEST(RemoveHeaderTest, RemovesEveryOneOfThatName) {
  EXPECT_EQ(Without("GET / HTTP/1.1\r\nRange: a\r\nHost: x\r\nRANGE:b\r\nrange: c\r\n\r\n", "range"),
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(Without("GET / HTTP/1.1\r\nRange: a\r\n\r\n", "range"), "GET / HTTP/1.1\r\n\r\n");
}

TEST(RemoveHeaderTest, LeavesTheRestAsItIs) {
  for (const char* request :
       {"GET / HTTP/1.1\r\n\r\n", "range: a\r\n\r\n",
        "GET /range: HTTP/1.1\r\nIf-Range: a\r\nRanges: b\r\n\r\n",
        "POST / HTTP/1.1\r\nX: range: 1\r\n\r\nrange: in the body\r\n\r\n", "GET / HTTP/1.1", ""}) {
    EXPECT_EQ(Without(request, "range"), request);
  }
}

}  // namespace
}  // namespace dockercoins
