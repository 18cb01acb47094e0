#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/file_limit.h"
#include "tests/unit/http_server_fixture.h"
#include "tests/unit/stopwatch.h"

namespace dockercoins {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Nearly as large as a head may be; an empty line completes it.
const std::string kLargeHalf = [] {
  std::string half = "GET /large HTTP/1.1\r\n";
  for (int i = 0; i < 4; ++i) half += "X: " + std::string(4000, 'x') + "\r\n";
  return half;
}();
const std::string kHalfPost = "POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\nbegin";

auto EntriesOf(const char* folder) {
  const std::filesystem::directory_iterator entries(folder);
  return std::distance(begin(entries), end(entries));
}

size_t CountReadable(const std::vector<UniqueFd>& clients) {
  return static_cast<size_t>(std::count_if(clients.begin(), clients.end(), IsReadable));
}

class HttpServerLimitsTest : public HttpServerTest {
 protected:
  /// Clients that all have sent `text`.
  [[nodiscard]] std::vector<UniqueFd> Many(size_t count, std::string_view text) const {
    std::vector<UniqueFd> clients;
    for (size_t i = 0; i < count; ++i) clients.push_back(Delivered(text));
    return clients;
  }

  /// Fills a queue and expects that the next one is refused, and that there is room again once all are
  /// served.
  void ExpectRoom(const std::string& request, size_t room) {
    const FileLimit limit(12'000);
    Start({.threads = 1});
    const UniqueFd held = Hold();
    const auto clients = Many(room + 1, request);
    EXPECT_EQ(AnswerOn(clients.back()).body, "503 Service Unavailable: too many requests wait\n");
    EXPECT_EQ(CountReadable(clients), 1U);
    handler_.gate().Open();
    for (size_t i = 0; i < room; ++i) EXPECT_EQ(AnswerOn(clients.at(i)).status, 200);
    EXPECT_EQ(Ask(port(), request).status, 200);
  }
};

TEST_F(HttpServerLimitsTest, StopRefusesWhatWaitsAndClosesWhatIsNotComplete) {
  Start({.threads = 1});
  const UniqueFd held = Hold();
  const auto waiting = Many(300, Get("/waiting"));
  const UniqueFd half_sent = Delivered("GET / HTTP/1.1\r\n");
  Settle();
  server_->Stop();
  for (const UniqueFd& client : waiting) EXPECT_EQ(AnswerOn(client).status, 503);
  EXPECT_EQ(AnswerOn(half_sent).raw, "");
  EXPECT_EQ(handler_.Paths().size(), 1U);
}

TEST_F(HttpServerLimitsTest, StopTellsWhatTakesLongerAndCutsOffWhatDoesNotListen) {
  UniqueFd client;
  const auto serve = [&](const std::string& request) {
    Start();
    const size_t before = handler_.Paths().size();
    client = Delivered(request);
    ASSERT_TRUE(Eventually([&] { return handler_.Paths().size() > before; }));
  };
  ExpectTime(milliseconds(450), milliseconds(900), [&] {
    serve(Get("/until-cut"));
    server_->Stop();
    EXPECT_EQ(AnswerOn(client).status, 503);
  });
  for (const std::string& request : {kHalfPost, Get("/endless")}) {
    ExpectTime(milliseconds(550), milliseconds(1100), [&] {
      serve(request);
      server_->Stop();
      EXPECT_TRUE(AwaitClosed(client));
    });
  }
  serve(Get("/held"));
  server_->Stop();
  EXPECT_TRUE(AwaitClosed(client)) << "it waits for no handler";
}

TEST_F(HttpServerLimitsTest, GoesOnServingASlowClient) {
  // So much must be taken before the socket counts as writable again, which takes this client over a second.
  ListenSocket socket = Listen("127.0.0.1", 0);
  const int large = 512 * 1024;
  ::setsockopt(socket.fd.get(), SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
  Start({}, std::move(socket));
  const UniqueFd client = TcpSocket();
  const int small = 16 * 1024;
  ::setsockopt(client.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
  ASSERT_TRUE(Connect(client, port()));
  Deliver(client, Get("/endless"));
  for (const Stopwatch watch; watch.Elapsed() < milliseconds(1500);) {
    EXPECT_EQ(Receive(client, 8 * 1024).size(), size_t{8 * 1024});
    std::this_thread::sleep_for(milliseconds(100));
  }
  EXPECT_EQ(Receive(client, 4'000'000).size(), 4'000'000U);
}

TEST_F(HttpServerLimitsTest, CutsTheSlowestOffWhenMoreThanFiveHundredAndTwelveAreSlowToRead) {
  const FileLimit limit(6'000);
  Start();
  for (int tries = 0; tries < 10; ++tries) {
    const auto clients = Many(600, "");
    Settle();
    const Stopwatch watch;
    for (const UniqueFd& client : clients) Send(client, Get("/endless"));
    EXPECT_EQ(Ask(port(), Get("/a")).status, 200) << "behind all of them";
    // After a second all are cut off.
    if (watch.Elapsed() > milliseconds(500)) continue;
    size_t cut = 0;
    EXPECT_TRUE(Eventually([&] {
      cut = static_cast<size_t>(
          std::ranges::count_if(clients, [](const UniqueFd& client) { return !Send(client, "x"); }));
      return cut >= 88 || watch.Elapsed() > milliseconds(950);
    }));
    EXPECT_EQ(cut, 88U);
    return;
  }
  GTEST_SKIP() << "this machine is too busy to serve 600 requests in half a second";
}

TEST_F(HttpServerLimitsTest, HasRoomForFourThousandWaitingRequests) { ExpectRoom(Get("/a"), 4'096); }

TEST_F(HttpServerLimitsTest, HasRoomForTwoMebibytesOfWaitingRequests) {
  const std::string request = kLargeHalf + "\r\n";
  ExpectRoom(request, 2'097'152 / request.size() + 1);
}

TEST_F(HttpServerLimitsTest, RefusesOnlyWhatExceedsAHundredArrivingLargeBodies) {
  Start({.threads = 2});
  const auto serving = Many(1, kHalfPost);
  ASSERT_TRUE(Eventually([this] { return handler_.Paths().size() == 1; }));
  const auto clients = Many(129, kHalfPost);
  EXPECT_EQ(AnswerOn(clients.back()).status, 503);
  EXPECT_EQ(CountReadable(clients), 1U);
  EXPECT_EQ(Ask(port(), Get("/a")).status, 200);
}

TEST_F(HttpServerLimitsTest, ClosesTheOldestHalfSentRequestsWhenTheyHoldTooMuchMemory) {
  Start();
  auto clients = Many(200, "");
  Settle();
  for (const UniqueFd& client : clients) Deliver(client, kLargeHalf);
  Settle();
  EXPECT_EQ(AnswerOn(clients.front()).raw, "") << "closed, not timed out";
  EXPECT_EQ(CountReadable(clients), 200 - 2'097'152 / kLargeHalf.size());
  Deliver(clients.back(), "\r\n");
  EXPECT_EQ(AnswerOn(clients.back()).status, 200);
}

TEST_F(HttpServerLimitsTest, ClosesTheOldestConnectionsWhenThereAreTooMany) {
  const FileLimit limit(6'000);
  Start();
  const auto clients = Many(2100, "");
  EXPECT_TRUE(AwaitClosed(clients.front()));
  Deliver(clients.back(), Get("/a"));
  EXPECT_EQ(AnswerOn(clients.back()).status, 200);
  EXPECT_LE(CountReadable(clients), 100U) << "2,000 browsers are to have room";
}

TEST_F(HttpServerLimitsTest, StartsNoMoreThreadsThanAreNeeded) {
  Start({.threads = 64});
  const auto before = EntriesOf("/proc/self/task");
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Ask(port(), Get("/a")).status, 200);
  EXPECT_LT(EntriesOf("/proc/self/task") - before, 25);
}

TEST_F(HttpServerLimitsTest, GoesOnAfterItRanOutOfDescriptors) {
  Start({.threads = 2});
  // What UBSan needs is seen before: see FileLimit.
  const auto before = EntriesOf("/proc/self/fd");
  EXPECT_EQ(Ask(port(), Get("/a")).status, 200);
  ASSERT_TRUE(Eventually([&] { return EntriesOf("/proc/self/fd") == before; }));
  const UniqueFd idle = ConnectTo(port());
  const UniqueFd held = Hold();  // It came later, so the idle one has been accepted.
  const UniqueFd client = TcpSocket();
  const rlim_t lowest_free = LowestFreeDescriptor();
  int status = 0;
  const Stopwatch watch;
  {
    // Nothing is expected in here: UBSan, which looks at what a failure prints, has no descriptor either.
    const FileLimit no_more(lowest_free);
    if (Connect(client, port()) && Send(client, Get("/a"))) status = AnswerOn(client).status;
  }
  EXPECT_EQ(status, 200);
  EXPECT_LT(watch.Elapsed(), seconds(5)) << "the idle one's time is not yet over";
  EXPECT_TRUE(AwaitClosed(idle)) << "it makes room for one that has something to say";
}

}  // namespace
}  // namespace dockercoins
