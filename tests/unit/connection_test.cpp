#include "common/connection.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>

#include "tests/unit/eventually.h"
#include "tests/unit/sockets.h"

namespace dockercoins {
namespace {

class ConnectionTest : public ::testing::Test {
 protected:
  ConnectionTest() {
    SocketPair pair = ConnectedPair();
    client_ = std::move(pair.client);
    connection_.fd = std::move(pair.server);
  }

  UniqueFd client_;
  Connection connection_;
};

TEST_F(ConnectionTest, AClientThatWaitsHasNotLeft) {
  EXPECT_FALSE(HasLeft(connection_));
  Deliver(client_, "GET / HTTP/1.1\r\n\r\n");
  EXPECT_FALSE(HasLeft(connection_));
}

TEST_F(ConnectionTest, AClientThatClosedItsSideHasLeft) {
  Deliver(client_, "GET / HTTP/1.1\r\n\r\n");
  ::shutdown(client_.get(), SHUT_WR);
  EXPECT_TRUE(Eventually([this] { return HasLeft(connection_); }));
}

TEST_F(ConnectionTest, AClientThatResetTheConnectionHasLeft) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(client_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  client_.Reset();
  EXPECT_TRUE(Eventually([this] { return HasLeft(connection_); }));
}

TEST_F(ConnectionTest, SendNowSendsAllOrSaysThatItCouldNot) {
  EXPECT_TRUE(SendNow(connection_, "hello"));
  EXPECT_EQ(Receive(client_, 5), "hello");
  // More than the buffers of both sides hold.
  EXPECT_FALSE(SendNow(connection_, std::string(50'000'000, 'x')));
}

TEST_F(ConnectionTest, SendNowSurvivesAClientThatHasGone) {
  client_.Reset();
  EXPECT_TRUE(Eventually([this] { return !SendNow(connection_, "x"); }));
}

}  // namespace
}  // namespace dockercoins
