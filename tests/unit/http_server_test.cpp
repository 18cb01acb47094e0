#include "common/http/http_server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/http_server_fixture.h"
#include "tests/unit/samples.h"

namespace dockercoins {
namespace {

using ::testing::ElementsAre;
using ::testing::IsSupersetOf;
using ::testing::StartsWith;

TEST_F(HttpServerTest, WhatFailsIsA500AndALineInTheLog) {
  Start();
  for (const std::string path : {"/fail", "/check-fails"})
    EXPECT_EQ(Ask(port(), Get(path)).body, "500 Internal Server Error: the response failed\n");
  EXPECT_EQ(Ask(port(), Get("/a")).status, 200) << "the next one is served";
  EXPECT_THAT(log_.Lines(),
              IsSupersetOf({"ERROR:test:In a response: out of luck", "ERROR:test:In a response: no luck"}));
}

TEST_F(HttpServerTest, ServesWhoClosesItsSideLaterUnlessTheyAreToLeave) {
  Start({.threads = 1});
  const UniqueFd held = Hold();
  const UniqueFd client = Delivered(Get("/b"));
  Settle();
  std::this_thread::sleep_for(WaitingClient::kHalfCloseTime);
  ::shutdown(client.get(), SHUT_WR);
  Settle();
  handler_.gate().Open();
  EXPECT_EQ(ResponseOn(client).body, "/b");
}

TEST_F(HttpServerTest, CountsWhatWaitsWhatLeftAndWhatAStopEnds) {
  Start({.withdraw_clients_that_left = true});
  const auto await_waiting = [this](int count) {
    return Eventually([&] { return Samples(metrics_).at("http_requests_waiting") == count; });
  };
  const UniqueFd held = Hold();
  {
    const UniqueFd leaves = Delivered(Get("/page"));
    EXPECT_TRUE(await_waiting(1));
    std::this_thread::sleep_for(WaitingClient::kHalfCloseTime);
  }
  EXPECT_TRUE(await_waiting(0));
  const UniqueFd stays = Delivered(Get("/a"));
  EXPECT_TRUE(await_waiting(1));
  handler_.gate().Open();
  EXPECT_TRUE(await_waiting(0));
  const UniqueFd cut = Delivered(Get("/until-cut"));
  EXPECT_TRUE(Eventually([this] { return handler_.Paths().back() == "/until-cut"; }));
  const UniqueFd waits = Delivered("HEAD /held?x=y HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(await_waiting(1));
  server_.reset();  // Its end is a stop, which also waits for what a busy machine made late.
  EXPECT_TRUE(await_waiting(0));

  std::map<std::string, double> counted;
  for (const auto& [name, value] : Samples(metrics_)) {
    if (name.starts_with("http_requests_total")) counted[name.substr(name.find('{'))] = value;
  }
  EXPECT_EQ(counted, (std::map<std::string, double>{{R"({method="GET",route="/held",status="200"})", 1},
                                                    {R"({method="GET",route="/page",status="none"})", 1},
                                                    {R"({method="GET",route="/other",status="200"})", 1},
                                                    {R"({method="GET",route="/other",status="503"})", 1},
                                                    {R"({method="HEAD",route="/held",status="503"})", 1}}));
}

TEST_F(HttpServerTest, ServesOneAtATimeInTheOrderInWhichRequestsBecameComplete) {
  Start({.threads = 1});
  const UniqueFd held = Hold();
  const UniqueFd half_sent = Delivered("GET /half-sent-first HTTP/1.1\r\n");
  const UniqueFd half_posted = Delivered("POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\nbegin");
  std::vector<std::string> expected = {"/held"};
  std::vector<UniqueFd> clients;
  const auto add = [&](const std::string& method, const std::string& rest) {
    expected.push_back("/" + std::to_string(clients.size()));
    clients.push_back(Delivered(method + " " + expected.back() + " HTTP/1.1\r\n" + rest + "\r\n"));
  };
  for (int i = 0; i < 8; ++i) {
    add("GET", "");
    add("GET", "Transfer-Encoding: chunked\r\n");
    add("HEAD", "Content-Length: 20000\r\n");
    add("GET", "Content-Length: 20\r\nExpect: 100-continue\r\n\r\nnot all");
  }
  Settle();
  Deliver(half_sent, "Host: x\r\n\r\n");
  expected.emplace_back("/half-sent-first");
  Settle();
  Send(half_posted, std::string(100'000 - 5, 'x'));
  expected.emplace_back("/");
  Settle();
  EXPECT_THAT(handler_.Paths(), ElementsAre("/held")) << "nobody overtakes the one in service";
  handler_.gate().Open();
  for (const UniqueFd& client : clients)
    EXPECT_THAT(ResponseOn(client).raw, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(ResponseOn(half_sent).status, 200);
  EXPECT_EQ(ResponseOn(half_posted).body, "100000");
  EXPECT_EQ(handler_.Paths(), expected);
}

TEST(AccessLogTest, WritesTheContractsLineInUtc) {
  const auto line = [](const RequestRecord& record) {
    return FormatAccessLine(record, std::chrono::system_clock::from_time_t(1'795'244'931));
  };
  const std::string begin = "c - - [21/Nov/2026:07:08:51 +0000] ";
  ::setenv("TZ", "EST5", 1);
  ::tzset();
  EXPECT_EQ(line({.client = "c", .request_line = "GET /32 HTTP/1.1", .status = 200, .body_bytes = 0}),
            begin + R"("GET /32 HTTP/1.1" 200 0)");
  EXPECT_EQ(line({.client = "c", .request_line = R"(GET /"a\b)", .status = 404, .body_bytes = 5'000'000'000}),
            begin + R"("GET /\"a\\b" 404 5000000000)");
  EXPECT_EQ(line({}), R"(- - - [21/Nov/2026:07:08:51 +0000] "-" - -)");
  ::unsetenv("TZ");
  ::tzset();
}

TEST(ListenTest, DoesNotBlockAndHasRoomForAThousandWorkersThatConnectTogether) {
  const ListenSocket socket = Listen("127.0.0.1", 0);
  EXPECT_NE(::fcntl(socket.fd.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(::fcntl(socket.fd.get(), F_GETFD) & FD_CLOEXEC, 0);
  uint32_t most = 0;
  std::ifstream("/proc/sys/net/core/somaxconn") >> most;
  tcp_info info{};
  socklen_t size = sizeof(info);
  ::getsockopt(socket.fd.get(), IPPROTO_TCP, TCP_INFO, &info, &size);
  EXPECT_EQ(info.tcpi_sacked, std::min(most, uint32_t{1024})) << "the backlog, for a socket that listens";
}

}  // namespace
}  // namespace dockercoins
