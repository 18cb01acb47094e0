#include "common/http/request_head.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace dockercoins {
namespace {

/// What InspectHead says: "more" while the head is not complete, the status and reason of a refusal, or the
/// head.
std::string Verdict(std::string_view received) {
  const HeadProgress progress = InspectHead(received);
  if (progress.refusal) return std::to_string(progress.refusal->status) + " " + progress.refusal->reason;
  if (!progress.head) return "more";
  return std::to_string(progress.head->bytes) + " bytes and " +
         std::to_string(progress.head->content_length) + (progress.head->chunked ? ", chunked" : "") +
         (progress.head->expects_continue ? ", expects" : "");
}

std::string WithHeader(const std::string& header) { return "POST / HTTP/1.1\r\n" + header + "\r\n\r\n"; }

TEST(InspectHeadTest, WaitsForTheLastByteOfTheHeadAndDoesNotLookIntoTheBody) {
  const std::string head = WithHeader("Content-Length: 26");
  for (size_t size = 0; size < head.size(); ++size) EXPECT_EQ(Verdict(head.substr(0, size)), "more");
  EXPECT_EQ(Verdict(head + std::string("\nContent-Length: 7\r\n\0\r\n\r\n", 26)), "39 bytes and 26");
  EXPECT_EQ(Verdict(head + std::string(60'000, '\n')), "39 bytes and 26");
}

TEST(InspectHeadTest, FindsHeadersWhateverTheirCaseAndBlanks) {
  const std::string most = "18446744073709551615";
  for (const auto& [header, found] :
       std::vector<std::pair<std::string, std::string>>{{"Host: x", "0"},
                                                        {"cOnTeNt-LeNgTh:\t 17 \t", "17"},
                                                        {"CONTENT-LENGTH:17", "17"},
                                                        {"transfer-ENCODING: Chunked", "0, chunked"},
                                                        {"expect: 100-Continue", "0, expects"},
                                                        {"Expect: 101-continue", "0"},
                                                        {"X-Content-Length: 17", "0"},
                                                        {"Content-Length: " + most, most},
                                                        {"Content-Length: 18446744073709551616", most}}) {
    EXPECT_EQ(Verdict(WithHeader(header)), std::to_string(header.size() + 21) + " bytes and " + found)
        << header;
  }
}

TEST(InspectHeadTest, RefusesWhatCouldBeReadInTwoWays) {
  const std::string two_lengths = "400 two Content-Length headers";
  const std::string both = "400 both Content-Length and Transfer-Encoding";
  for (const auto& [header, refusal] : std::vector<std::pair<std::string, std::string>>{
           {"Content-Length: 5\r\nContent-Length: 5", two_lengths},
           {"Content-Length: 5\r\ncontent-length: 6", two_lengths},
           {"Content-Length: 5\r\nTransfer-Encoding: chunked", both},
           {"Transfer-Encoding: chunked\r\nContent-Length: 5", both},
           {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "400 two Transfer-Encoding headers"},
           {"Host: x\r\nhost: x", "400 two Host headers"}}) {
    EXPECT_EQ(Verdict(WithHeader(header)), refusal) << header;
  }
  EXPECT_EQ(Verdict("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "400 a Transfer-Encoding in HTTP/1.0");
  EXPECT_EQ(Verdict("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"), "41 bytes and 0");
  for (const char* value : {"", " ", "abc", "-1", "+5", "0x5", "18446744073709551616x", "5 5", "5,5", "5.0"})
    EXPECT_EQ(Verdict(WithHeader("Content-Length:" + std::string(value))),
              "400 Content-Length is not a number");
  for (const std::string value : {"", "gzip", "gzip, chunked", "identity", "chunkedx", "chunke"}) {
    EXPECT_EQ(Verdict(WithHeader("Transfer-Encoding: " + value)),
              "400 a Transfer-Encoding other than chunked");
  }
  for (const char* line : {"nocolon", ": no name", "Content-Length : 5", "two words: x", " Content-Length: 5",
                           "X: y\r\n\tfolded", "na(me: x", "n\xc3\xa4me: x", "X: y\rZ: y", "X: \x01"}) {
    EXPECT_EQ(Verdict(WithHeader(line)), "400 a line of the request head is not a header") << line;
  }
  for (const std::string line :
       {"", " ", "GET", "GET /", "GET / ", "GET  / HTTP/1.1", " GET / HTTP/1.1", "/ HTTP/1.1",
        "GET\t/\tHTTP/1.1", "G(T / HTTP/1.1", "GET / http/1.1", "GET / HTTP/1.2", "GET / HTTP/2.0",
        "GET / HTTP/1.1x", "GET / HTTP/1.1 ", "GET / HTTP/"}) {
    EXPECT_EQ(Verdict(line + "\r\nHost: x\r\n\r\n"), "400 the request line is malformed") << line;
  }
  for (const std::string target :
       {"/ ",      "/ x",        "/\t",       "\t/",          "/\x01",        "/\x7f",       "/\r/",
        "x",       "%2F5",       "**",        "/#x",          "/%",           "/%5",         "/%5g",
        "/%u0035", "https://x/", "http:///5", "http://:80/5", "http://x%2F5", "http%3A//x/5"}) {
    EXPECT_EQ(Verdict("GET " + target + " HTTP/1.1\r\n\r\n"), "400 the request line is malformed") << target;
  }
  for (const std::string target : {"*", "/%2f", "/?%41", "http://x", "HTTP://x:80/%35?y", "http://[::1]?/"}) {
    EXPECT_EQ(Verdict("GET " + target + " HTTP/1.1\r\n\r\n"),
              std::to_string(target.size() + 17) + " bytes and 0");
  }
  for (const char* head : {"\n", "GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nHost: x\n\r\n\r\n"}) {
    EXPECT_EQ(Verdict(head), "400 a line of the request head ends without a carriage return") << head;
  }
  EXPECT_EQ(Verdict(std::string_view("GET /\0", 6)), "400 a NUL in the request head");
}

TEST(InspectHeadTest, RefusesWhatIsTooLongWithoutWaitingForItsEnd) {
  const std::string longest_line = "GET /" + std::string(8'192 - 15, 'a') + " HTTP/1.1";
  EXPECT_EQ(Verdict(longest_line + "\r\n\r\n"), "8195 bytes and 0");
  EXPECT_EQ(Verdict(std::string(8'192, 'a')), "more");
  EXPECT_EQ(Verdict(std::string(8'193, 'a')), "414 the request line is longer than 8 KiB");
  const std::string begin = "GET / HTTP/1.1\r\nX: ";
  const std::string large = begin + std::string(16'384 - begin.size() - 4, 'x');
  EXPECT_EQ(Verdict(large + "\r\n\r\n"), "16384 bytes and 0");
  EXPECT_EQ(Verdict(large + "xxxx"), "more");
  EXPECT_EQ(Verdict(large + "xxxxx"), "431 the request head is larger than 16 KiB");
  std::string headers;
  for (int i = 0; i < 100; ++i) headers += "\r\nX: y";
  EXPECT_EQ(Verdict("GET / HTTP/1.1" + headers + "\r\n\r\n"), "618 bytes and 0");
  EXPECT_EQ(Verdict("GET / HTTP/1.1\r\nX: y" + headers + "\r\n\r\n"), "431 more than 100 headers");
}

TEST(RemoveHeaderTest, RemovesEveryOneOfThatNameAndLeavesTheRestAsItIs) {
  const auto without = [](std::string received) {
    RemoveHeader(received, "range");
    return received;
  };
  EXPECT_EQ(without("GET / HTTP/1.1\r\nRange: a\r\nHost: x\r\nRANGE:b\r\nrange: c\r\n\r\n"),
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  for (const char* request :
       {"GET / HTTP/1.1\r\n\r\n", "range: a\r\n\r\n", "GET / HTTP/1.1\r\nIf-Range: a\r\nRanges: b\r\n\r\n",
        "POST / HTTP/1.1\r\nX: range: 1\r\n\r\nrange: in the body\r\n\r\n", "GET / HTTP/1.1", ""}) {
    EXPECT_EQ(without(request), request);
  }
}

}  // namespace
}  // namespace dockercoins
