#include "common/admin_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/captured_log.h"
#include "tests/unit/http_answer.h"
#include "tests/unit/sockets.h"

namespace dockercoins {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class AdminServerTest : public ::testing::Test {
 protected:
  /// Starts one on a port that was free a moment ago.
  void Start() {
    for (int tries = 0; admin_ == nullptr; ++tries) {
      try {
        const uint16_t port = Listen("127.0.0.1", 0).port;
        admin_ = std::make_unique<AdminServer>(Settings(port, true), metrics_, log_.log());
        port_ = port;
      } catch (const StartError&) {
        if (tries == 10) throw;
      }
    }
    admin_->Start();
  }

  static ListenSettings Settings(uint16_t admin_port, bool asked) {
    return {.address = "127.0.0.1", .port = 0, .admin_port = admin_port, .admin_asked = asked};
  }

  HttpAnswer Get(const std::string& path) const {
    return Ask(port_, "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
  }

  CapturedLog log_{"rng"};
  Metrics metrics_;
  std::unique_ptr<AdminServer> admin_;
  uint16_t port_ = 0;
};

TEST_F(AdminServerTest, SaysThatTheProcessLivesAndServes) {
  Start();
  for (const char* path : {"/healthz", "/readyz"}) {
    const HttpAnswer answer = Get(path);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "ok\n");
    EXPECT_EQ(answer.Header("Cache-Control"), "no-store");
  }
}

TEST_F(AdminServerTest, SaysWhyItIsNotReadyWhileItLives) {
  Start();
  admin_->SetNotReady("the service is stopping");
  EXPECT_EQ(Get("/readyz").status, 503);
  EXPECT_EQ(Get("/readyz").body, "503 Service Unavailable: the service is stopping\n");
  EXPECT_EQ(Get("/healthz").status, 200);
}

TEST_F(AdminServerTest, TellsWhatWasMeasured) {
  const Counter counter = metrics_.AddCounter("coins_total", "Coins.");
  Start();
  counter.Increment();
  const HttpAnswer answer = Get("/metrics");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.Header("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(answer.body, HasSubstr("\ncoins_total 1\n"));
  counter.Increment();
  EXPECT_THAT(Get("/metrics").body, HasSubstr("\ncoins_total 2\n"));
}

TEST_F(AdminServerTest, TellsWhatWasMeasuredWhileItIsNotReady) {
  Start();
  admin_->SetNotReady("the service is stopping");
  EXPECT_EQ(Get("/metrics").status, 200);
}

TEST_F(AdminServerTest, KnowsNothingElse) {
  Start();
  EXPECT_EQ(Get("/").status, 404);
  EXPECT_EQ(Get("/healthz/").status, 404);
  EXPECT_EQ(Ask(port_, "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").status, 405);
}

TEST_F(AdminServerTest, AnswersWhileAnotherClientSaysNothing) {
  Start();
  const UniqueFd silent = ConnectTo(port_);
  const UniqueFd half_sent = ConnectTo(port_);
  Deliver(half_sent, "GET /healthz HTTP/1.1\r\n");
  EXPECT_EQ(Get("/healthz").status, 200);
}

TEST_F(AdminServerTest, KeepsItsRequestsOutOfTheAccessLog) {
  Start();
  Get("/healthz");
  Get("/metrics");
  Get("/nowhere");
  admin_.reset();
  EXPECT_THAT(log_.Lines(), IsEmpty());
}

TEST_F(AdminServerTest, PortZeroIsNone) {
  AdminServer admin(Settings(0, true), metrics_, log_.log());
  admin.Start();
  admin.SetNotReady("the service is stopping");
  EXPECT_THAT(log_.Lines(), IsEmpty());
}

TEST_F(AdminServerTest, APortThatWasAskedForMustBeHad) {
  const ListenSocket taken = Listen("127.0.0.1", 0);
  EXPECT_THROW(AdminServer(Settings(taken.port, true), metrics_, log_.log()), StartError);
}

TEST_F(AdminServerTest, TheDefaultPortIsDoneWithoutWhenItIsTaken) {
  const ListenSocket taken = Listen("127.0.0.1", 0);
  AdminServer admin(Settings(taken.port, false), metrics_, log_.log());
  admin.Start();
  admin.SetNotReady("the service is stopping");
  EXPECT_THAT(log_.Lines(),
              ElementsAre("WARNING:rng:No admin port: cannot listen on port " + std::to_string(taken.port) +
                          " of 127.0.0.1: Address already in use"));
}

}  // namespace
}  // namespace dockercoins
