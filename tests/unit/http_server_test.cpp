#include "common/http/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/unit/http_server_fixture.h"
#include "tests/unit/samples.h"

namespace dockercoins {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

TEST_F(HttpServerTest, AHandlerThatFailsIsA500AndALineInTheLog) {
  Start();
  EXPECT_EQ(Ask(port(), Get("/fail")).body, "500 Internal Server Error: the answer failed\n");
  EXPECT_EQ(Ask(port(), Get("/a")).status, 200) << "the next one is served";
  EXPECT_THAT(log_.Text(), StartsWith("ERROR:test:In an answer: out of luck\n"));
}

TEST_F(HttpServerTest, ServesOneAtATimeInTheOrderInWhichRequestsBecameComplete) {
  Start({.threads = 1});
  const UniqueFd held = Hold();
  const UniqueFd half_sent = Delivered("GET /half-sent-first HTTP/1.1\r\n");
  std::vector<std::string> expected = {"/held"};
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 20; ++i) {
    expected.push_back("/" + std::to_string(i));
    clients.push_back(Delivered(Get(expected.back())));
  }
  Settle();
  Deliver(half_sent, "Host: x\r\n\r\n");
  expected.emplace_back("/half-sent-first");
  EXPECT_THAT(handler_.Paths(), ElementsAre("/held")) << "nobody overtakes the one in service";
  handler_.gate().Open();
  for (const UniqueFd& client : clients) EXPECT_EQ(AnswerOn(client).status, 200);
  EXPECT_EQ(AnswerOn(half_sent).status, 200);
  EXPECT_EQ(handler_.Paths(), expected);
}

TEST_F(HttpServerTest, ArrivingLargeBodiesGetAtMostHalfOfTheThreads) {
  Start({.threads = 4});
  std::vector<UniqueFd> slow;
  for (int i = 0; i < 5; ++i)
    slow.push_back(Delivered("POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\nbegin"));
  ASSERT_TRUE(Eventually([this] { return handler_.Paths().size() == 2; }));
  const UniqueFd first = Hold();
  const UniqueFd second = Hold();
  EXPECT_THAT(handler_.Paths(), ElementsAre("/", "/", "/held", "/held"));
  handler_.gate().Open();
  for (const UniqueFd& client : slow) {
    Send(client, std::string(100'000 - 5, 'x'));
    EXPECT_EQ(AnswerOn(client).body, "/");
  }
}

TEST_F(HttpServerTest, ALargeBodyHasItsTurnAfterTenOthers) {
  Start({.threads = 1});
  const UniqueFd held = Hold();
  std::vector<UniqueFd> clients;
  clients.push_back(Delivered("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"));
  std::vector<std::string> expected = {"/held"};
  for (int i = 0; i < 20; ++i) {
    if (i == 10) expected.emplace_back("/");
    expected.push_back("/" + std::to_string(i));
    clients.push_back(Delivered(Get(expected.back())));
  }
  Settle();
  handler_.gate().Open();
  for (const UniqueFd& client : clients) EXPECT_EQ(AnswerOn(client).status, 200);
  EXPECT_EQ(handler_.Paths(), expected);
}

TEST_F(HttpServerTest, CountsEveryRequestOfWhichItWritesALine) {
  Metrics metrics;
  const HttpMetrics http_metrics(metrics, routes_);
  Start({.skip_clients_that_left = true, .metrics = &http_metrics});
  const auto await_waiting = [&metrics](int count) {
    return Eventually([&] { return Samples(metrics).at("http_requests_waiting") == count; });
  };
  std::map<std::string, double> expected;
  const auto expect = [&](const std::string& route, const std::string& method, const std::string& status) {
    ++expected["{method=\"" + method + "\",route=\"" + route + "\",status=\"" + status + "\"}"];
  };
  for (const std::string method : {"GET", "HEAD", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}) {
    expect("/page", method, method == "GET" || method == "HEAD" ? "200" : "405");
    Ask(port(), method + " http://host/%70age?x=y HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
  }
  for (const std::string status : {"302", "417", "431"}) {
    expect("other", "GET", status);
    Ask(port(), Get("/status/" + status));
  }
  expect("/", "POST", "200");
  Ask(port(), "POST / HTTP/1.1\r\nContent-Length: 20000\r\n\r\n" + std::string(20'000, 'x'));
  expect("other", "other", "400");
  Ask(port(), "nonsense\r\n\r\n");
  expect("/page", "GET", "400");
  Ask(port(), "GET /page?x HTTP/1.1\r\nno header\r\n\r\n");
  expect("/held", "GET", "200");
  const UniqueFd held = Hold();
  expect("/page", "GET", "none");
  {
    const UniqueFd leaves = Delivered(Get("/page"));
  }
  expect("other", "GET", "200");
  const UniqueFd stays = Delivered(Get("/a"));
  EXPECT_TRUE(await_waiting(2));
  handler_.gate().Open();
  EXPECT_TRUE(await_waiting(0));
  expect("other", "GET", "503");
  const UniqueFd cut = Delivered(Get("/until-cut"));
  EXPECT_TRUE(Eventually([this] { return handler_.Paths().back() == "/until-cut"; }));
  expect("/held", "HEAD", "503");
  const UniqueFd waits = Delivered("HEAD /held?x=y HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(await_waiting(1));
  server_.reset();  // Its end is a stop, which also waits for what a busy machine made late.
  EXPECT_TRUE(await_waiting(0));

  std::map<std::string, double> counted;
  for (const auto& [name, value] : Samples(metrics)) {
    if (name.starts_with("http_requests_total")) counted[name.substr(name.find('{'))] = value;
  }
  EXPECT_EQ(counted, expected);
}

}  // namespace
}  // namespace dockercoins
