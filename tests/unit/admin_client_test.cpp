#include "common/admin_client.h"

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

ListenSettings AdminSettings(uint16_t admin_port) {
  return {.address = "127.0.0.1", .port = 0, .admin_port = admin_port, .admin_asked = true};
}

/// An admin port that answers with `status` and a body.
class AdminClientTest : public ::testing::Test {
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
    Send(connection, "HTTP/1.1 " + status_ + "\r\nConnection: close\r\nContent-Length: 4\r\n\r\nup 1");
  }};
  const ListenSocket service_ = Listen("127.0.0.1", 0);
  const ClosedPort closed_;
};

TEST_F(AdminClientTest, PassesWhenTheAdminPortAnswersAndTheServiceAccepts) {
  EXPECT_EQ(Failure(admin_.port(), service_.port), "");
  EXPECT_TRUE(Request().starts_with("GET /healthz HTTP/1.1\r\n")) << Request();
}

TEST_F(AdminClientTest, ReachesAServiceThatListensOnAllAddresses) {
  EXPECT_EQ(Failure(admin_.port(), service_.port, true, "0.0.0.0"), "");
}

TEST_F(AdminClientTest, FailsWhenNobodyListensOnTheAdminPort) {
  EXPECT_EQ(Failure(closed_.port(), service_.port),
            "no answer from the admin port 127.0.0.1:" + std::to_string(closed_.port()));
}

TEST_F(AdminClientTest, FailsWhenTheAdminPortIsUnwell) {
  Answer("503 Service Unavailable");
  EXPECT_EQ(Failure(admin_.port(), service_.port),
            "the admin port 127.0.0.1:" + std::to_string(admin_.port()) + " answers 503");
}

TEST_F(AdminClientTest, FailsWhenTheServiceDoesNotAccept) {
  EXPECT_EQ(Failure(admin_.port(), closed_.port()),
            "127.0.0.1:" + std::to_string(closed_.port()) + ": connection refused");
}

TEST_F(AdminClientTest, AsksNoServicePortOfTheWorker) {
  EXPECT_EQ(Failure(admin_.port(), closed_.port(), false), "");
}

TEST_F(AdminClientTest, FailsWhenAPortIsNotKnown) {
  EXPECT_NE(Failure(0, service_.port), "");
  EXPECT_NE(Failure(admin_.port(), 0), "");
}

TEST_F(AdminClientTest, SendsTheServiceNothing) {
  EXPECT_EQ(Failure(admin_.port(), service_.port), "");
  const UniqueFd accepted(::accept4(service_.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(accepted);
  EXPECT_EQ(ReceiveAll(accepted), "");
}

TEST_F(AdminClientTest, FetchesTheMetrics) {
  EXPECT_EQ(FetchMetrics(AdminSettings(admin_.port())), "up 1");
  EXPECT_TRUE(Request().starts_with("GET /metrics HTTP/1.1\r\n")) << Request();
}

TEST_F(AdminClientTest, SaysWhyThereAreNoMetrics) {
  const auto failure = [](uint16_t admin_port) -> std::string {
    try {
      return "no failure, but " + FetchMetrics(AdminSettings(admin_port));
    } catch (const StartError& error) {
      return error.what();
    }
  };
  EXPECT_EQ(failure(0), "ADMIN_PORT=0: there is no admin port to ask");
  EXPECT_EQ(failure(closed_.port()),
            "no answer from the admin port 127.0.0.1:" + std::to_string(closed_.port()));
  Answer("404 Not Found");
  EXPECT_EQ(failure(admin_.port()),
            "the admin port 127.0.0.1:" + std::to_string(admin_.port()) + " answers 404");
}

}  // namespace
}  // namespace dockercoins
