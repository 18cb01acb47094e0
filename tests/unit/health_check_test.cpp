#include "common/health_check.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <mutex>
#include <string>

#include "tests/unit/sockets.h"

namespace dockercoins {
namespace {

/// Why CheckHealth fails; empty when it does not.
std::string Failure(uint16_t admin_port, uint16_t port, bool has_service_port = true,
                    const std::string& address = "127.0.0.1") {
  try {
    CheckHealth({.address = address, .port = port, .admin_port = admin_port, .admin_asked = true},
                has_service_port);
  } catch (const StartError& error) {
    return error.what();
  }
  return "";
}

/// An admin port that answers with `status`.
class HealthCheckTest : public ::testing::Test {
 protected:
  void Answer(const std::string& status) {
    const std::lock_guard lock(mutex_);
    status_ = status;
  }

  [[nodiscard]] std::string Request() {
    const std::lock_guard lock(mutex_);
    return request_;
  }

 private:
  std::mutex mutex_;
  std::string status_ = "200 OK";
  std::string request_;

 protected:
  const FakeServer admin_{[this](const UniqueFd& connection) {
    const std::string request = ReceiveRequest(connection);
    const std::lock_guard lock(mutex_);
    request_ = request;
    Send(connection, "HTTP/1.1 " + status_ + "\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  }};
  const ListenSocket service_ = Listen("127.0.0.1", 0);
  const ClosedPort closed_;
};

TEST_F(HealthCheckTest, PassesWhenTheAdminPortAnswersAndTheServiceAccepts) {
  EXPECT_EQ(Failure(admin_.port(), service_.port), "");
  EXPECT_TRUE(Request().starts_with("GET /healthz HTTP/1.1\r\n")) << Request();
}

TEST_F(HealthCheckTest, ReachesAServiceThatListensOnAllAddresses) {
  EXPECT_EQ(Failure(admin_.port(), service_.port, true, "0.0.0.0"), "");
}

TEST_F(HealthCheckTest, FailsWhenNobodyListensOnTheAdminPort) {
  EXPECT_EQ(Failure(closed_.port(), service_.port),
            "no answer from the admin port 127.0.0.1:" + std::to_string(closed_.port()));
}

TEST_F(HealthCheckTest, FailsWhenTheAdminPortIsUnwell) {
  Answer("503 Service Unavailable");
  EXPECT_EQ(Failure(admin_.port(), service_.port),
            "the admin port 127.0.0.1:" + std::to_string(admin_.port()) + " answers 503");
}

TEST_F(HealthCheckTest, FailsWhenTheServiceDoesNotAccept) {
  EXPECT_EQ(Failure(admin_.port(), closed_.port()),
            "127.0.0.1:" + std::to_string(closed_.port()) + ": connection refused");
}

TEST_F(HealthCheckTest, AsksNoServicePortOfTheWorker) {
  EXPECT_EQ(Failure(admin_.port(), closed_.port(), false), "");
}

TEST_F(HealthCheckTest, FailsWhenAPortIsNotKnown) {
  EXPECT_NE(Failure(0, service_.port), "");
  EXPECT_NE(Failure(admin_.port(), 0), "");
}

TEST_F(HealthCheckTest, SendsTheServiceNothing) {
  EXPECT_EQ(Failure(admin_.port(), service_.port), "");
  const UniqueFd accepted(::accept4(service_.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(accepted);
  EXPECT_EQ(ReceiveAll(accepted), "");
}

}  // namespace
}  // namespace dockercoins
