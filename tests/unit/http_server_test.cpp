#include "common/http/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

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

TEST_F(HttpServerTest, CountsEveryRequestOfWhichItWritesALine) {
  Start({.withdraw_clients_that_left = true});
  const auto await_waiting = [this](int count) {
    return Eventually([&] { return Samples(metrics_).at("http_requests_waiting") == count; });
  };
  std::map<std::string, double> expected;
  const auto expect = [&](const std::string& route, const std::string& method, const std::string& status) {
    ++expected["{method=\"" + method + "\",route=\"" + route + "\",status=\"" + status + "\"}"];
  };
  for (const std::string method : {"GET", "HEAD", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}) {
    expect("/page", method, method == "GET" || method == "HEAD" || method == "OPTIONS" ? "200" : "405");
    Ask(port(), method + " http://host/%70age?x=y HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
  }
  for (const std::string status : {"302", "417", "431"}) {
    expect("/other", "GET", status);
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
    EXPECT_TRUE(await_waiting(1));
    std::this_thread::sleep_for(WaitingClient::kHalfCloseTime);
  }
  EXPECT_TRUE(await_waiting(0));
  expect("/other", "GET", "200");
  const UniqueFd stays = Delivered(Get("/a"));
  EXPECT_TRUE(await_waiting(1));
  handler_.gate().Open();
  EXPECT_TRUE(await_waiting(0));
  expect("/other", "GET", "503");
  const UniqueFd cut = Delivered(Get("/until-cut"));
  EXPECT_TRUE(Eventually([this] { return handler_.Paths().back() == "/until-cut"; }));
  expect("/held", "HEAD", "503");
  const UniqueFd waits = Delivered("HEAD /held?x=y HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(await_waiting(1));
  server_.reset();  // Its end is a stop, which also waits for what a busy machine made late.
  EXPECT_TRUE(await_waiting(0));

  std::map<std::string, double> counted;
  for (const auto& [name, value] : Samples(metrics_)) {
    if (name.starts_with("http_requests_total")) counted[name.substr(name.find('{'))] = value;
  }
  EXPECT_EQ(counted, expected);
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

}  // namespace
}  // namespace dockercoins
