#include "common/service/admin_client.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "tests/unit/sockets.h"

namespace dockercoins {
namespace {

TEST(CheckHealthTest, NamesTheReason) {
  const ListenSocket service = Listen("127.0.0.1", 0);
  const ListenSocket admin = Listen("127.0.0.1", 0);
  const auto check = [&](uint16_t port, const std::string& answer) -> std::string {
    UniqueFd client;
    const std::jthread answering([&] {
      client = Accept(admin);
      EXPECT_EQ(Receive(client, 14), "GET /healthz H");
      Send(client, "HTTP/1.1 " + answer + "\r\nContent-Length: 0\r\n\r\n");
    });
    try {
      CheckHealth({.address = "127.0.0.1", .port = port, .admin_port = admin.port, .admin_asked = true},
                  true);
    } catch (const StartError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(check(service.port, "200 OK"), "");
  EXPECT_EQ(check(0, "200 OK"), "PORT=0: the port that the service took is not known");
  EXPECT_EQ(check(service.port, "500 No"),
            "the admin port 127.0.0.1:" + std::to_string(admin.port) + " answers 500");
}

}  // namespace
}  // namespace dockercoins
