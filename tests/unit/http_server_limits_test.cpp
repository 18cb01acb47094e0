#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "common/socket.h"
#include "tests/unit/file_limit.h"
#include "tests/unit/http_server_fixture.h"
#include "tests/unit/samples.h"

namespace dockercoins {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ContainsRegex;
using ::testing::EndsWith;
using ::testing::MatchesRegex;

/// Nearly as large as a head may be; an empty line completes it.
const std::string kLargeHalf = [] {
  std::string half = "GET /large HTTP/1.1\r\n";
  for (int i = 0; i < 4; ++i) half += "X: " + std::string(4000, 'x') + "\r\n";
  return half;
}();
const std::string kHalfPost = "POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\nbegin";
const std::string kOfApacheBench =
    "GET /32 HTTP/1.0\r\nHost: localhost:8001\r\nUser-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\n";

auto EntriesOf(const char* folder) {
  const std::filesystem::directory_iterator entries(folder);
  return std::distance(begin(entries), end(entries));
}

size_t CountReadable(const std::vector<UniqueFd>& clients) {
  return static_cast<size_t>(
      std::ranges::count_if(clients, [](const UniqueFd& client) { return IsReadable(client); }));
}

/// No time ends a connection.
HttpServer::Options Patient() {
  HttpServer::Options options;
  options.arriving.time = options.outgoing.pause = options.outgoing.time = options.lingering.time = hours(1);
  return options;
}

class HttpServerLimitsTest : public HttpServerTest {
 protected:
  /// A client of "/endless" that takes no more than its small buffer holds.
  [[nodiscard]] UniqueFd SlowReader() const {
    UniqueFd client = TcpSocket();
    const int small = 16 * 1024;
    ::setsockopt(client.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    EXPECT_TRUE(Connect(client, port()));
    Deliver(client, Get("/endless"));
    return client;
  }
};

TEST_F(HttpServerLimitsTest, StopTellsWhatTakesLongerAndCutsOffWhatDoesNotListenOrIsNotComplete) {
  const auto stop = [this](const std::string& path) {
    Start();
    const size_t before = handler_.Paths().size();
    const UniqueFd half_sent = Delivered("GET / HTTP/1.1\r\n");
    const UniqueFd client = Delivered(Get(path));
    EXPECT_TRUE(Eventually([&] { return handler_.Paths().size() > before; }));
    server_->Stop();
    EXPECT_TRUE(IsReadable(half_sent)) << "closed";
    return ResponseOn(client).status;
  };
  ExpectTime(milliseconds(450), milliseconds(900), [&] { EXPECT_EQ(stop("/until-cut"), 503); });
  ExpectTime(milliseconds(550), milliseconds(1100), [&] { EXPECT_EQ(stop("/endless"), 0); });
  EXPECT_EQ(stop("/held"), 0) << "a stop waits for no handler";
}

TEST_F(HttpServerLimitsTest, WaitsForASlowReaderAndCutsOffOneThatTakesNothing) {
  EXPECT_EQ(HttpServer::Options().outgoing.pause, seconds(30));
  // So much must be taken before the socket counts as writable again, which takes this client over a second.
  ListenSocket socket = Listen("127.0.0.1", 0);
  const int large = 512 * 1024;
  ::setsockopt(socket.fd.get(), SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
  Start({.outgoing = {.pause = seconds(1)}}, std::move(socket));
  const UniqueFd client = SlowReader();
  const Stopwatch watch;
  while (watch.Elapsed() < milliseconds(2500)) {
    EXPECT_EQ(Receive(client, 8 * 1024).size(), size_t{8 * 1024});
    std::this_thread::sleep_for(milliseconds(50));
  }
  EXPECT_EQ(Receive(client, 4'000'000).size(), 4'000'000U);
  EXPECT_TRUE(Eventually([&] { return IsReset(client.get()); }));
  EXPECT_THAT(log_.Text(), ContainsRegex("GET /endless HTTP/1.1\" 200 4[0-9][0-9][0-9][0-9][0-9][0-9]\n"));
}

TEST_F(HttpServerLimitsTest, HasRoomForTwoThousandWaitingRequestsOfApacheBench) {
  const FileLimit limit(6'000);
  Start({.threads = 1});
  const UniqueFd held = Hold();
  const auto clients = Many(2'000, kOfApacheBench);
  Settle();
  EXPECT_EQ(CountReadable(clients), 0U);
  handler_.gate().Open();
  for (const UniqueFd& client : clients) EXPECT_EQ(ResponseOn(client).status, 200);
}

TEST_F(HttpServerLimitsTest, FreesWhatLingersThenTheOldestIncompleteThenTheReaderThenRefuses) {
  auto options = Patient();
  options.budget_bytes = size_t{256} * 1024;
  Start(options);
  const auto lingering = Many(30, "POST /a HTTP/1.1\r\nContent-Length: 20000\r\n\r\n");
  const auto incomplete = Many(3, kLargeHalf);
  std::vector<UniqueFd> readers, waiting;
  for (int i = 0; i < 5; ++i) readers.push_back(SlowReader());
  const UniqueFd held = Hold();
  const auto begin = EntriesOf("/proc/self/fd");
  std::string seen;
  do {
    waiting.push_back(Delivered(kOfApacheBench));
    ASSERT_TRUE(Eventually([&] {
      return IsReadable(waiting.back()) ||
             Samples(metrics_).at("http_requests_waiting") == static_cast<double>(waiting.size());
    }));
    std::string gone(CountReadable(incomplete), 'i');
    for (const UniqueFd& reader : readers) gone += IsReset(reader.get()) ? "r" : "";
    if (gone == "i" && seen.empty()) {
      EXPECT_EQ(begin + 2 * std::ssize(waiting) - EntriesOf("/proc/self/fd"), std::ssize(lingering) + 1);
    }
    EXPECT_THAT(gone, MatchesRegex("i{0,3}|iiir+"));
    seen = gone;
  } while (!IsReadable(waiting.back()));
  EXPECT_THAT(seen, EndsWith("r"));
  EXPECT_EQ(ResponseOn(waiting.back()).body, "503 Service Unavailable: too many requests wait\n");
  waiting.pop_back();
  const auto refused = Many(20, "");
  for (const UniqueFd& client : refused) Send(client, kOfApacheBench);
  for (const UniqueFd& client : refused) EXPECT_EQ(ResponseOn(client).status, 503);
  EXPECT_EQ(CountReadable(waiting), 0U) << "what waits stays";
  handler_.gate().Open();
  for (const UniqueFd& client : waiting) EXPECT_EQ(ResponseOn(client).status, 200);
  EXPECT_EQ(Ask(port(), Get("/a")).status, 200) << "there is room again";
  server_.reset();
}

TEST_F(HttpServerLimitsTest, RefusesTheOldestOfTooManyArrivingBodies) {
  auto options = Patient();
  options.arriving.bodies = 3;
  Start(options);
  const UniqueFd first = ConnectTo(port());  // Its body is the last.
  const auto clients = Many(3, kHalfPost);
  Settle();
  Deliver(first, kHalfPost);
  EXPECT_EQ(ResponseOn(clients.front()).status, 503);
  EXPECT_EQ(CountReadable(clients), 1U);
  Send(first, std::string(100'000 - 5, 'x'));
  EXPECT_EQ(ResponseOn(first).body, "100000");
}

TEST_F(HttpServerLimitsTest, ARequestHasItsTimeAndABodyMoreForWhatHasCome) {
  Start({.arriving = {.time = milliseconds(500), .body_bytes_per_second = 10'000}});
  const UniqueFd silent = ConnectTo(port());
  const UniqueFd half_sent = Delivered("GET / HTTP/1.1\r\n");
  const UniqueFd half_posted = Delivered(kHalfPost);
  const UniqueFd has_sent = Delivered(kHalfPost + std::string(80'000, 'x'));
  EXPECT_TRUE(AwaitClosed(silent));
  EXPECT_EQ(ResponseOn(half_sent).status, 408);
  EXPECT_EQ(ResponseOn(half_posted).status, 408);
  EXPECT_FALSE(IsReadable(has_sent));
  Send(has_sent, std::string(20'000 - 5, 'x'));
  EXPECT_EQ(ResponseOn(has_sent).body, "100000");
}

TEST_F(HttpServerLimitsTest, HasRoomForTwoThousandAndFortyEightConnectionsThenTheOldestGoes) {
  const FileLimit limit(6'000);
  Start(Patient());
  const auto clients = Many(2'048, "");
  // It is accepted once all of them have been, and would be the last to go.
  const UniqueFd more = Delivered(Get("/a"));
  EXPECT_EQ(ResponseOn(more).status, 200);
  EXPECT_EQ(CountReadable(clients), 1U);
  EXPECT_TRUE(IsReadable(clients.front()));
}

TEST_F(HttpServerLimitsTest, StartsNoMoreThreadsThanAreNeeded) {
  Start({.threads = 64});
  const auto before = EntriesOf("/proc/self/task");
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Ask(port(), Get("/a")).status, 200);
  EXPECT_LT(EntriesOf("/proc/self/task") - before, 25);
}

/// A test process without free descriptors.
class NoDescriptorsTest : public HttpServerLimitsTest {
 protected:
  NoDescriptorsTest() {
    // What UBSan needs is seen before: see FileLimit.
    Start(Patient());
    const auto before = EntriesOf("/proc/self/fd");
    EXPECT_EQ(Ask(port(), Get("/a")).status, 200);
    EXPECT_EQ(Ask(port(), "nonsense\r\n\r\n").status, 400);
    EXPECT_TRUE(Eventually([&] { return EntriesOf("/proc/self/fd") == before + 1; })) << "the spare one";
  }

  /// Clients that have their sockets before. (No part of the fixture: UBSan looks at what has a vtable.)
  class Clients {
   public:
    explicit Clients(uint16_t port) : port_(port) {
      for (int i = 0; i < 100; ++i) sockets_.push_back(TcpSocket());
    }

    /// The next one, which sends `text`.
    const UniqueFd& Next(std::string_view text) {
      const UniqueFd& client = sockets_.at(next_++);
      if (Connect(client, port_)) Send(client, text);
      return client;
    }

   private:
    const uint16_t port_;
    std::vector<UniqueFd> sockets_;
    size_t next_ = 0;
  };
};

TEST_F(NoDescriptorsTest, ServesWhoHasARequestWhileManyComeAndSendNothing) {
  const UniqueFd idle = ConnectTo(port());
  const UniqueFd held = Hold();  // It came later, so the idle one has been accepted.
  handler_.gate().Open();
  Clients clients(port());
  std::vector<int> statuses;
  {
    // Nothing is expected in here: UBSan, which looks at what a failure prints, has no descriptor either.
    const FileLimit no_more(LowestFreeDescriptor());
    for (int client = 1; client <= 88; ++client) {
      const UniqueFd& next = clients.Next(client % 11 == 0 ? Get("/a") : "");
      if (client % 11 == 0) statuses.push_back(ResponseOn(next).status);
    }
  }
  EXPECT_EQ(statuses, std::vector<int>(8, 200));
  EXPECT_TRUE(AwaitClosed(idle)) << "it makes room for one that has something to say";
}

TEST_F(NoDescriptorsTest, RefusesWhenNothingCanBeClosed) {
  const UniqueFd held = Hold();
  Clients clients(port());
  std::vector<std::string> bodies;
  {
    const FileLimit no_more(LowestFreeDescriptor());
    for (int i = 0; i < 5; ++i) bodies.push_back(ResponseOn(clients.Next(Get("/a"))).body);
  }
  EXPECT_EQ(bodies, std::vector<std::string>(5, "503 Service Unavailable: there is no free descriptor\n"));
  EXPECT_EQ(Ask(port(), "nonsense\r\n\r\n").status, 400);
  handler_.gate().Open();
  EXPECT_EQ(ResponseOn(held).status, 200);
}

TEST_F(HttpServerLimitsTest, OfTooManySlowReadersTheOneGoesThatHasTakenNothingForLongest) {
  auto options = Patient();
  options.outgoing.readers = 3;
  Start(options);
  std::vector<UniqueFd> readers;
  for (int i = 0; i < 3; ++i) readers.push_back(SlowReader());
  const auto await_look = [this] {
    std::this_thread::sleep_for(milliseconds(150));
    Settle();
    Settle();
  };
  await_look();
  for (const size_t i : {0U, 2U}) EXPECT_EQ(Receive(readers[i], 1'000'000).size(), 1'000'000U);
  await_look();
  readers.push_back(SlowReader());
  EXPECT_TRUE(Eventually([&] { return IsReset(readers[1].get()); }));
  for (const size_t i : {0U, 2U, 3U}) EXPECT_EQ(Receive(readers[i], 1'000'000).size(), 1'000'000U);
}

}  // namespace
}  // namespace dockercoins
