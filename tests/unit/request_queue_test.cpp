#include "common/request_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/eventually.h"
#include "tests/unit/gate.h"
#include "tests/unit/samples.h"
#include "tests/unit/sockets.h"

namespace dockercoins {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

enum class Lane { kComplete, kArriving };

std::unique_ptr<Connection> Request(const std::string& name, Lane lane = Lane::kComplete) {
  auto connection = std::make_unique<Connection>();
  connection->client = name;
  connection->complete = lane == Lane::kComplete;
  return connection;
}

bool SubmitTo(RequestQueue& queue, const std::string& name, Lane lane = Lane::kComplete) {
  auto connection = Request(name, lane);
  return queue.Submit(connection);
}

std::vector<std::string> Names(const std::vector<std::unique_ptr<Connection>>& connections) {
  std::vector<std::string> names;
  for (const auto& connection : connections) names.push_back(connection->client);
  return names;
}

/// Names that threads add, in the order in which they did.
class Record {
 public:
  void Add(const std::string& name) {
    const std::lock_guard lock(mutex_);
    names_.push_back(name);
  }

  [[nodiscard]] std::vector<std::string> Names() const {
    const std::lock_guard lock(mutex_);
    return names_;
  }

  [[nodiscard]] bool AwaitSize(size_t size) const {
    return Eventually([&] { return Names().size() >= size; });
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> names_;
};

/// A queue whose server records its calls and their concurrency; names that begin with "held" wait at the
/// gate.
class RequestQueueTest : public ::testing::Test {
 protected:
  ~RequestQueueTest() override { gate_.Open(); }

  RequestQueue& MakeQueue(size_t threads) {
    queue_ = std::make_unique<RequestQueue>(
        threads,
        [this] {
          ++servers_;
          return [this](Connection& connection) { Serve(connection); };
        },
        [this](std::unique_ptr<Connection> connection) { done_.Add(connection->client); });
    return *queue_;
  }

  void Serve(const Connection& connection) {
    const size_t now = ++in_service_;
    size_t most = most_in_service_;
    while (most < now && !most_in_service_.compare_exchange_weak(most, now)) {
    }
    served_.Add(connection.client);
    if (connection.client.starts_with("held")) gate_.Pass();
    --in_service_;
  }

  Gate gate_;
  std::atomic<size_t> servers_ = 0;
  std::atomic<size_t> in_service_ = 0;
  std::atomic<size_t> most_in_service_ = 0;
  Record served_;
  Record done_;
  std::unique_ptr<RequestQueue> queue_;
};

TEST_F(RequestQueueTest, ServesInArrivalOrder) {
  RequestQueue& queue = MakeQueue(1);
  std::vector<std::string> expected = {"held"};
  ASSERT_TRUE(SubmitTo(queue, "held"));
  for (int i = 0; i < 100; ++i) {
    expected.push_back(std::to_string(i));
    ASSERT_TRUE(SubmitTo(queue, std::to_string(i)));
  }
  gate_.Open();
  ASSERT_TRUE(done_.AwaitSize(expected.size()));
  EXPECT_EQ(served_.Names(), expected);
}

TEST_F(RequestQueueTest, ServesOneAtATimeWithOneThread) {
  RequestQueue& queue = MakeQueue(1);
  {
    std::vector<std::jthread> clients;
    for (int i = 0; i < 4; ++i) {
      clients.emplace_back([&] {
        for (int n = 0; n < 100; ++n) EXPECT_TRUE(SubmitTo(queue, "x"));
      });
    }
  }
  ASSERT_TRUE(done_.AwaitSize(400));
  EXPECT_EQ(most_in_service_, 1U);
  EXPECT_EQ(servers_, 1U);
}

TEST_F(RequestQueueTest, NobodyOvertakesTheOneInService) {
  RequestQueue& queue = MakeQueue(1);
  ASSERT_TRUE(SubmitTo(queue, "held"));
  ASSERT_TRUE(gate_.AwaitArrived(1));
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(SubmitTo(queue, name));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // Time for a wrong queue to serve one of them.
  EXPECT_THAT(served_.Names(), ElementsAre("held"));
}

TEST_F(RequestQueueTest, ServesAsManyAtATimeAsItHasThreads) {
  RequestQueue& queue = MakeQueue(4);
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(SubmitTo(queue, "held"));
  ASSERT_TRUE(gate_.AwaitArrived(4));
  gate_.Open();
  ASSERT_TRUE(done_.AwaitSize(6));
  EXPECT_EQ(most_in_service_, 4U);
}

TEST_F(RequestQueueTest, StartsThreadsWhenTheyAreNeeded) {
  RequestQueue& queue = MakeQueue(64);
  EXPECT_EQ(servers_, 0U);
  for (size_t i = 1; i <= 20; ++i) {
    ASSERT_TRUE(SubmitTo(queue, "one after another"));
    ASSERT_TRUE(done_.AwaitSize(i));
  }
  EXPECT_EQ(servers_, 1U);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(SubmitTo(queue, "held together"));
  ASSERT_TRUE(gate_.AwaitArrived(3));
  EXPECT_EQ(servers_, 3U);
}

TEST_F(RequestQueueTest, GivesArrivingRequestsHalfOfTheThreads) {
  RequestQueue& queue = MakeQueue(4);
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(SubmitTo(queue, "held, arriving", Lane::kArriving));
  ASSERT_TRUE(gate_.AwaitArrived(2));
  ASSERT_TRUE(SubmitTo(queue, "complete"));
  ASSERT_TRUE(SubmitTo(queue, "complete"));
  ASSERT_TRUE(done_.AwaitSize(2));
  EXPECT_THAT(done_.Names(), ElementsAre("complete", "complete"));
  EXPECT_EQ(gate_.Arrived(), 2U);
  gate_.Open();
  EXPECT_TRUE(done_.AwaitSize(8));
}

TEST_F(RequestQueueTest, GivesCompleteRequestsAllOfTheThreads) {
  RequestQueue& queue = MakeQueue(4);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(SubmitTo(queue, "held"));
  EXPECT_TRUE(gate_.AwaitArrived(4));
}

TEST_F(RequestQueueTest, ServesArrivingRequestsInTheirOrderWithOneThreadToo) {
  RequestQueue& queue = MakeQueue(1);
  ASSERT_TRUE(SubmitTo(queue, "held", Lane::kArriving));
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(SubmitTo(queue, name, Lane::kArriving));
  gate_.Open();
  ASSERT_TRUE(done_.AwaitSize(4));
  EXPECT_THAT(served_.Names(), ElementsAre("held", "a", "b", "c"));
}

TEST_F(RequestQueueTest, GivesARequestThatIsStillArrivingItsTurnThoughCompleteOnesWait) {
  RequestQueue& queue = MakeQueue(1);
  std::vector<std::string> expected = {"held"};
  ASSERT_TRUE(SubmitTo(queue, "held"));
  ASSERT_TRUE(gate_.AwaitArrived(1));
  ASSERT_TRUE(SubmitTo(queue, "arriving", Lane::kArriving));
  for (int i = 0; i < 20; ++i) {
    if (i == 10) expected.emplace_back("arriving");
    expected.push_back(std::to_string(i));
    ASSERT_TRUE(SubmitTo(queue, std::to_string(i)));
  }
  gate_.Open();
  ASSERT_TRUE(done_.AwaitSize(expected.size()));
  EXPECT_EQ(served_.Names(), expected);
}

TEST_F(RequestQueueTest, GivesEachThreadAServerOfItsOwn) {
  std::mutex mutex;
  std::vector<std::set<std::thread::id>> threads;
  Gate gate;
  RequestQueue queue(
      3,
      [&] {
        const std::lock_guard lock(mutex);
        const size_t number = threads.size();
        threads.emplace_back();
        return [&, number](Connection&) {
          {
            const std::lock_guard lock_for_insertion(mutex);
            threads.at(number).insert(std::this_thread::get_id());
          }
          gate.Pass();
        };
      },
      [](const std::unique_ptr<Connection>&) {});
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(SubmitTo(queue, "x"));
  ASSERT_TRUE(gate.AwaitArrived(3));
  gate.Open();
  const std::lock_guard lock(mutex);
  ASSERT_EQ(threads.size(), 3U);
  std::set<std::thread::id> all;
  for (const auto& of_one_server : threads) {
    EXPECT_EQ(of_one_server.size(), 1U);
    all.insert(of_one_server.begin(), of_one_server.end());
  }
  EXPECT_EQ(all.size(), 3U);
}

TEST_F(RequestQueueTest, StopReturnsWhatWaitsInItsOrder) {
  RequestQueue& queue = MakeQueue(1);
  ASSERT_TRUE(SubmitTo(queue, "held"));
  ASSERT_TRUE(gate_.AwaitArrived(1));
  ASSERT_TRUE(SubmitTo(queue, "arriving", Lane::kArriving));
  for (const char* name : {"a", "b"}) ASSERT_TRUE(SubmitTo(queue, name));
  EXPECT_THAT(Names(queue.Stop()), ElementsAre("a", "b", "arriving"));
  gate_.Open();
  ASSERT_TRUE(done_.AwaitSize(1));
  EXPECT_THAT(served_.Names(), ElementsAre("held"));
}

TEST_F(RequestQueueTest, ShowsHowManyWait) {
  Metrics metrics;
  Gate gate;
  RequestQueue queue(
      1, [&] { return [&](Connection&) { gate.Pass(); }; },
      [this](std::unique_ptr<Connection> connection) { done_.Add(connection->client); },
      metrics.AddGauge("waiting", "Waiting."));
  const auto waiting = [&] { return Samples(metrics).at("waiting"); };
  EXPECT_EQ(waiting(), 0);
  ASSERT_TRUE(SubmitTo(queue, "held"));
  ASSERT_TRUE(gate.AwaitArrived(1));
  EXPECT_EQ(waiting(), 0) << "it is in service";
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(SubmitTo(queue, "x"));
  ASSERT_TRUE(SubmitTo(queue, "y", Lane::kArriving));
  EXPECT_EQ(waiting(), 4);
  gate.Open();
  ASSERT_TRUE(done_.AwaitSize(5));
  EXPECT_EQ(waiting(), 0);
}

TEST_F(RequestQueueTest, NobodyWaitsAfterAStop) {
  Metrics metrics;
  Gate gate;
  RequestQueue queue(
      1, [&] { return [&](Connection&) { gate.Pass(); }; }, [](const std::unique_ptr<Connection>&) {},
      metrics.AddGauge("waiting", "Waiting."));
  ASSERT_TRUE(SubmitTo(queue, "held"));
  ASSERT_TRUE(gate.AwaitArrived(1));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(SubmitTo(queue, "x"));
  EXPECT_EQ(queue.Stop().size(), 3U);
  EXPECT_EQ(Samples(metrics).at("waiting"), 0);
  gate.Open();
}

TEST_F(RequestQueueTest, TakesNothingOnceStopped) {
  RequestQueue& queue = MakeQueue(1);
  EXPECT_THAT(queue.Stop(), IsEmpty());
  auto late = Request("late");
  EXPECT_FALSE(queue.Submit(late));
  ASSERT_NE(late, nullptr) << "it stays the caller's";
  EXPECT_EQ(late->client, "late");
  EXPECT_EQ(servers_, 0U);
}

TEST_F(RequestQueueTest, AwaitIdleWaitsForWhatIsInService) {
  RequestQueue& queue = MakeQueue(1);
  const auto now = [] { return std::chrono::steady_clock::now(); };
  EXPECT_TRUE(queue.AwaitIdle(now()));
  ASSERT_TRUE(SubmitTo(queue, "held"));
  ASSERT_TRUE(gate_.AwaitArrived(1));
  EXPECT_THAT(queue.Stop(), IsEmpty());
  EXPECT_FALSE(queue.AwaitIdle(now() + std::chrono::milliseconds(10)));
  const std::jthread opener([this] { gate_.Open(); });
  EXPECT_TRUE(queue.AwaitIdle(now() + kPatience));
  EXPECT_EQ(in_service_, 0U);
}

TEST_F(RequestQueueTest, CutOffEndsTheReadsOfWhatIsInService) {
  SocketPair pair = ConnectedPair();
  SocketPair waiting = ConnectedPair();
  std::atomic<int> reading = 0;
  RequestQueue queue(
      1,
      [&] {
        return [&](Connection& connection) {
          ++reading;
          Receive(connection.fd, 1);
        };
      },
      [](const std::unique_ptr<Connection>&) {});
  auto connection = Request("silent");
  connection->fd = std::move(pair.server);
  ASSERT_TRUE(queue.Submit(connection));
  ASSERT_TRUE(Eventually([&] { return reading == 1; }));
  auto next = Request("waiting");
  next->fd = std::move(waiting.server);
  ASSERT_TRUE(queue.Submit(next));
  const auto waits = queue.Stop();
  queue.CutOff();
  EXPECT_TRUE(queue.AwaitIdle(std::chrono::steady_clock::now() + kPatience / 2));
  EXPECT_TRUE(AwaitClosed(pair.client));
  EXPECT_FALSE(IsReadable(waiting.client)) << "what waits is the caller's to refuse";
}

TEST_F(RequestQueueTest, HoldsFourThousandRequestsAndRefusesMore) {
  constexpr size_t kRoom = 4096;
  RequestQueue& queue = MakeQueue(1);
  ASSERT_TRUE(SubmitTo(queue, "held"));
  ASSERT_TRUE(gate_.AwaitArrived(1));
  for (size_t i = 0; i < kRoom; ++i) ASSERT_TRUE(SubmitTo(queue, "x"));
  auto one_too_many = Request("y");
  EXPECT_FALSE(queue.Submit(one_too_many));
  EXPECT_NE(one_too_many, nullptr) << "it stays the caller's";
  EXPECT_TRUE(SubmitTo(queue, "x", Lane::kArriving)) << "the other line has room of its own";
  gate_.Open();
  ASSERT_TRUE(done_.AwaitSize(kRoom + 2));
  EXPECT_TRUE(queue.Submit(one_too_many)) << "there is room again";
}

TEST_F(RequestQueueTest, HoldsTwoMegabytesOfRequestsAndRefusesMore) {
  RequestQueue& queue = MakeQueue(1);
  ASSERT_TRUE(SubmitTo(queue, "held"));
  ASSERT_TRUE(gate_.AwaitArrived(1));
  const auto submit_large = [&] {
    auto connection = Request("x");
    connection->received = std::string(size_t{16} * 1024, 'x');
    return queue.Submit(connection);
  };
  for (int i = 0; i < 128; ++i) ASSERT_TRUE(submit_large());
  EXPECT_FALSE(submit_large());
  gate_.Open();
  ASSERT_TRUE(done_.AwaitSize(129));
  EXPECT_TRUE(submit_large()) << "there is room again";
}

TEST_F(RequestQueueTest, HoldsAHundredSlowSendersWhoTurnNobodyElseAway) {
  RequestQueue& queue = MakeQueue(2);
  ASSERT_TRUE(SubmitTo(queue, "held, arriving", Lane::kArriving));
  ASSERT_TRUE(gate_.AwaitArrived(1));
  for (int i = 0; i < 128; ++i) ASSERT_TRUE(SubmitTo(queue, "x", Lane::kArriving));
  EXPECT_FALSE(SubmitTo(queue, "x", Lane::kArriving));
  ASSERT_TRUE(SubmitTo(queue, "complete"));
  EXPECT_TRUE(done_.AwaitSize(1));
}

TEST_F(RequestQueueTest, GivesEachConnectionBackOnce) {
  RequestQueue& queue = MakeQueue(8);
  std::vector<std::string> expected;
  for (int i = 0; i < 200; ++i) {
    expected.push_back(std::to_string(i));
    ASSERT_TRUE(SubmitTo(queue, std::to_string(i), i % 3 == 0 ? Lane::kArriving : Lane::kComplete));
  }
  ASSERT_TRUE(done_.AwaitSize(expected.size()));
  queue_.reset();
  auto done = done_.Names();
  std::sort(done.begin(), done.end());
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(done, expected);
}

TEST_F(RequestQueueTest, ItsEndWaitsForWhatIsInService) {
  MakeQueue(2);
  ASSERT_TRUE(SubmitTo(*queue_, "held"));
  ASSERT_TRUE(gate_.AwaitArrived(1));
  const std::jthread opener([this] { gate_.Open(); });
  queue_.reset();
  EXPECT_EQ(in_service_, 0U);
  EXPECT_THAT(done_.Names(), ElementsAre("held"));
}

}  // namespace
}  // namespace dockercoins
