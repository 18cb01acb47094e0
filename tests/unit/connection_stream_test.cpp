#include "common/connection_stream.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <string>
#include <thread>

#include "tests/unit/eventually.h"
#include "tests/unit/gate.h"
#include "tests/unit/sockets.h"
#include "tests/unit/stopwatch.h"

namespace dockercoins {
namespace {

using std::chrono::milliseconds;

void SetBuffer(const UniqueFd& fd, int option, int bytes) {
  ::setsockopt(fd.get(), SOL_SOCKET, option, &bytes, sizeof(bytes));
}

class ConnectionStreamTest : public ::testing::Test {
 protected:
  ConnectionStreamTest() {
    SocketPair pair = ConnectedPair();
    client_ = std::move(pair.client);
    connection_.fd = std::move(pair.server);
    connection_.client = "192.0.2.7";
    connection_.deadline = std::chrono::steady_clock::now() + kPatience;
  }

  /// What one call of read gives; "failed" when it fails.
  std::string Read(size_t size) {
    std::string text(size, '\0');
    const ssize_t count = stream_.read(text.data(), size);
    if (count < 0) return "failed";
    text.resize(static_cast<size_t>(count));
    return text;
  }

  UniqueFd client_;
  Connection connection_;
  ConnectionStream stream_{connection_};
};

TEST_F(ConnectionStreamTest, ReadsWhatWasReceivedBeforeWhatComes) {
  connection_.received = "abc";
  Deliver(client_, "def");
  EXPECT_EQ(Read(2), "ab");
  EXPECT_EQ(Read(10), "c");
  EXPECT_EQ(Read(10), "def");
}

TEST_F(ConnectionStreamTest, ReadsByteByByteWithoutLosingAny) {
  connection_.received = "a";
  Deliver(client_, "bcdefgh");
  EXPECT_EQ(Read(1), "a");
  EXPECT_EQ(Read(1), "b");
  EXPECT_EQ(Read(1), "c");
  EXPECT_EQ(Read(3), "def");
  EXPECT_EQ(Read(1), "g");
  Deliver(client_, "ij");
  EXPECT_EQ(Read(9), "h");
  EXPECT_EQ(Read(9), "ij");
}

TEST_F(ConnectionStreamTest, WaitsForWhatHasNotComeYet) {
  const std::jthread sender([this] {
    std::this_thread::sleep_for(milliseconds(20));  // So that the reader most likely waits.
    Send(client_, "x");
  });
  EXPECT_EQ(Read(10), "x");
}

TEST_F(ConnectionStreamTest, ReadsTheEndWhenTheClientHasClosed) {
  client_.Reset();
  EXPECT_EQ(Read(10), "");
  EXPECT_EQ(Read(1), "");
}

TEST_F(ConnectionStreamTest, GivesUpOnARequestThatDoesNotArriveInTime) {
  connection_.deadline = std::chrono::steady_clock::now() + milliseconds(50);
  const Stopwatch watch;
  EXPECT_EQ(Read(10), "failed");
  EXPECT_GE(watch.Elapsed(), milliseconds(50));
  EXPECT_LT(watch.Elapsed(), kPatience / 2);
}

TEST_F(ConnectionStreamTest, GivesALargeBodyThatKeepsComingMoreTime) {
  constexpr size_t kTenSecondsMore = size_t{640} * 1024;
  Gate overdue;
  const std::jthread sender([&] {
    Send(client_, std::string(kTenSecondsMore, 'x'));
    overdue.Pass();
    std::this_thread::sleep_for(milliseconds(20));  // So that the reader most likely waits.
    Send(client_, "y");
  });
  size_t have = 0;
  while (have < kTenSecondsMore) {
    const std::string piece = Read(kTenSecondsMore - have);
    ASSERT_EQ(piece.find_first_not_of('x'), std::string::npos);
    ASSERT_FALSE(piece.empty());
    have += piece.size();
  }
  connection_.deadline = std::chrono::steady_clock::now() - milliseconds(1);
  overdue.Open();
  EXPECT_EQ(Read(10), "y");
}

TEST_F(ConnectionStreamTest, CollectsSmallWritesUntilTheFlush) {
  EXPECT_EQ(stream_.write("ab"), 2);
  EXPECT_EQ(stream_.write("cd"), 2);
  EXPECT_FALSE(IsReadable(client_));
  EXPECT_TRUE(stream_.Flush());
  EXPECT_EQ(Receive(client_, 4), "abcd");
}

TEST_F(ConnectionStreamTest, KeepsTheOrderOfSmallAndLargeWrites) {
  const std::string large(200'000, 'x');
  std::string received;
  std::jthread reader([&] { received = Receive(client_, 200'004); });
  EXPECT_EQ(stream_.write("ab"), 2);
  EXPECT_EQ(stream_.write(large), 200'000);
  EXPECT_EQ(stream_.write("cd"), 2);
  EXPECT_TRUE(stream_.Flush());
  reader.join();
  EXPECT_TRUE(received == "ab" + large + "cd");
}

TEST_F(ConnectionStreamTest, HasSentWhatWasWrittenBeforeItWaitsForInput) {
  connection_.deadline = std::chrono::steady_clock::now();
  stream_.write("HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(Read(10), "failed");
  EXPECT_EQ(Receive(client_, 25), "HTTP/1.1 100 Continue\r\n\r\n");
}

TEST_F(ConnectionStreamTest, KnowsTheStatusAndTheBodysSize) {
  EXPECT_EQ(stream_.status(), std::nullopt);
  stream_.write("HTTP/1.1 404 Not Found\r\nContent-Length: 23\r\n\r\n");
  stream_.write("HTTP/1.1 200 in the body");
  EXPECT_EQ(stream_.status(), 404);
  EXPECT_TRUE(stream_.Flush());
  EXPECT_EQ(stream_.body_bytes(), 24U);
}

TEST_F(ConnectionStreamTest, DoesNotTakeContinueForTheAnswer) {
  stream_.write("HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(stream_.status(), std::nullopt);
  EXPECT_TRUE(stream_.Flush());
  EXPECT_EQ(stream_.body_bytes(), 0U);
  stream_.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
  stream_.write("ok");
  EXPECT_TRUE(stream_.Flush());
  EXPECT_EQ(stream_.status(), 200);
  EXPECT_EQ(stream_.body_bytes(), 2U);
}

TEST_F(ConnectionStreamTest, CountsOnlyWhatWasSentOfABody) {
  stream_.write("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
  EXPECT_TRUE(stream_.Flush());
  EXPECT_EQ(stream_.body_bytes(), 0U);
  client_.Reset();
  const std::string piece(100'000, 'x');
  uint64_t written = 0;
  while (stream_.write(piece) > 0 && written < 100'000'000) written += piece.size();
  EXPECT_LT(written, 100'000'000U);
  EXPECT_LE(stream_.body_bytes(), written + piece.size());
  EXPECT_FALSE(stream_.Flush());
  EXPECT_FALSE(stream_.is_writable());
}

TEST_F(ConnectionStreamTest, CutsOffAClientThatTakesNothingForASecond) {
  SetBuffer(connection_.fd, SO_SNDBUF, 65'536);
  const std::string piece(100'000, 'x');
  const Stopwatch watch;
  while (stream_.write(piece) > 0) ASSERT_LT(watch.Elapsed(), kPatience);
  EXPECT_GE(watch.Elapsed(), milliseconds(950));
  EXPECT_LT(watch.Elapsed(), milliseconds(1900)) << "a second is promised";
  EXPECT_FALSE(stream_.is_writable());
  EXPECT_EQ(stream_.write("more"), -1);
  EXPECT_FALSE(stream_.Flush());
}

TEST_F(ConnectionStreamTest, GoesOnServingASlowClient) {
  // So much must be taken before the socket counts as writable again, which takes this client over a second.
  SetBuffer(connection_.fd, SO_SNDBUF, 512 * 1024);
  SetBuffer(client_, SO_RCVBUF, 16 * 1024);
  constexpr size_t kSize = 4'000'000;
  size_t received = 0;
  std::jthread client([&] {
    const Stopwatch watch;
    while (watch.Elapsed() < milliseconds(1500)) {
      received += Receive(client_, 8 * 1024).size();
      std::this_thread::sleep_for(milliseconds(100));
    }
    while (received < kSize) {
      const size_t count = Receive(client_, std::min<size_t>(kSize - received, 65'536)).size();
      if (count == 0) return;
      received += count;
    }
  });
  const std::string piece(100'000, 'x');
  size_t written = 0;
  while (written < kSize && stream_.write(piece) > 0) written += piece.size();
  EXPECT_TRUE(stream_.Flush());
  ::shutdown(connection_.fd.get(), SHUT_RDWR);
  client.join();
  EXPECT_EQ(received, kSize);
}

TEST_F(ConnectionStreamTest, KnowsTheClientsAddress) {
  std::string ip;
  int port = 0;
  stream_.get_remote_ip_and_port(ip, port);
  EXPECT_EQ(ip, "192.0.2.7");
}

}  // namespace
}  // namespace dockercoins
