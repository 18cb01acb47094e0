#include "common/admin_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "common/admin_client.h"
#include "tests/unit/captured_log.h"
#include "tests/unit/http_answer.h"
#include "tests/unit/sockets.h"

namespace dockercoins {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string FailureOf(const std::function<void()>& act) {
  try {
    act();
  } catch (const StartError& error) {
    return error.what();
  }
  return "";
}

std::string At(uint16_t port) { return "127.0.0.1:" + std::to_string(port); }

/// The admin port of a service, and the client that asks it.
class AdminServerTest : public ::testing::Test {
 protected:
  /// Starts one on a port that was free a moment ago.
  void Start() {
    for (int tries = 0; admin_ == nullptr; ++tries) {
      try {
        port_ = Listen("127.0.0.1", 0).port;
        admin_ = std::make_unique<AdminServer>(Settings(port_, true), metrics_, log_.log());
      } catch (const StartError&) {
        if (tries == 10) throw;
      }
    }
    admin_->Start();
  }

  [[nodiscard]] ListenSettings Settings(uint16_t admin_port, bool asked = true) const {
    return {.address = "127.0.0.1", .port = service_.port, .admin_port = admin_port, .admin_asked = asked};
  }

  CapturedLog log_{"rng"};
  Metrics metrics_;
  const ListenSocket service_ = Listen("127.0.0.1", 0);
  std::unique_ptr<AdminServer> admin_;
  uint16_t port_ = 0;
};

TEST_F(AdminServerTest, TellsHowTheProcessIsAndWhatWasMeasuredAndLogsNothing) {
  const Counter counter = metrics_.AddCounter("coins_total", "Coins.");
  Start();
  counter.Increment();
  const std::string headers = "\nCache-Control: no-store\nConnection: close\nContent-Length: ";
  const std::string plain = "Content-Type: text/plain; charset=utf-8\n\n";
  EXPECT_EQ(Ask(port_, Get("/readyz")).Text(), "HTTP/1.1 200 OK" + headers + "3\n" + plain + "ok\n");
  admin_->SetNotReady("the service is stopping");
  EXPECT_EQ(Ask(port_, Get("/healthz")).Text(), "HTTP/1.1 200 OK" + headers + "3\n" + plain + "ok\n");
  EXPECT_EQ(Ask(port_, Get("/readyz")).Text(), "HTTP/1.1 503 Service Unavailable" + headers + "49\n" + plain +
                                                   "503 Service Unavailable: the service is stopping\n");
  const std::string metrics = Ask(port_, Get("/metrics")).Text();
  EXPECT_THAT(metrics, HasSubstr("\nContent-Type: text/plain; version=0.0.4; charset=utf-8\n"));
  EXPECT_THAT(metrics, HasSubstr("\ncoins_total 1\n"));
  EXPECT_EQ(Ask(port_, Get("/")).status, 404);
  EXPECT_THAT(log_.Lines(), IsEmpty());
}

TEST_F(AdminServerTest, ATakenPortIsAnErrorIfItWasAskedForAndAWarningIfItIsTheDefault) {
  const std::string reason =
      "cannot listen on port " + std::to_string(service_.port) + " of 127.0.0.1: Address already in use";
  EXPECT_EQ(FailureOf([&] { AdminServer(Settings(service_.port), metrics_, log_.log()); }), reason);
  for (const uint16_t port : {uint16_t{0}, service_.port}) {
    AdminServer admin(Settings(port, false), metrics_, log_.log());
    admin.Start();
  }
  EXPECT_THAT(log_.Lines(), ElementsAre("WARNING:rng:No admin port: " + reason));
}

TEST_F(AdminServerTest, ItsClientSaysWhatItWasToldOrWhatIsWrong) {
  Start();
  const auto unhealthy = [](const ListenSettings& settings, bool has_service_port = true) {
    return FailureOf([&] { CheckHealth(settings, has_service_port); });
  };
  EXPECT_THAT(FetchMetrics(Settings(port_)), HasSubstr("\nprocess_start_time_seconds "));
  EXPECT_EQ(unhealthy(Settings(port_)), "");
  const ClosedPort closed;
  EXPECT_EQ(unhealthy(Settings(closed.port())), "no answer from the admin port " + At(closed.port()));
  EXPECT_EQ(unhealthy(Settings(0)), "ADMIN_PORT=0: there is no admin port to ask");
  ListenSettings settings = Settings(port_);
  for (const char* every : {"0.0.0.0", "::"}) {
    settings.address = every;
    EXPECT_EQ(unhealthy(settings), "") << every;
  }
  settings.port = closed.port();
  EXPECT_EQ(unhealthy(settings), At(closed.port()) + ": connection refused");
  EXPECT_EQ(unhealthy(settings, false), "") << "the worker has no service port";
  settings.port = 0;
  EXPECT_EQ(unhealthy(settings), "PORT=0: which port the service took is not known");
  const FakeServer unwell([](const UniqueFd& client) {
    ReceiveRequest(client);
    Send(client, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
  });
  EXPECT_EQ(unhealthy(Settings(unwell.port())), "the admin port " + At(unwell.port()) + " answers 500");
}

}  // namespace
}  // namespace dockercoins
