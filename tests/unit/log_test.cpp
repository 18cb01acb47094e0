#include "common/log.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/captured_log.h"

namespace dockercoins {
namespace {

TEST(LogTest, WritesTheLevelsAsTheOriginalWorkerDoes) {
  for (const bool debug : {false, true}) {
    CapturedLog log("worker", debug);
    EXPECT_EQ(log.log().WritesDebug(), debug);
    log.log().Debug("No coin found");
    log.log().Info("4 units of work done, updating hash counter");
    log.log().Warning("No admin port");
    log.log().Error("In work loop: a\r\nINFO:worker:forged");
    log.log().Line("RNG running on port 80");
    EXPECT_EQ(log.Text(), std::string(debug ? "DEBUG:worker:No coin found\n" : "") +
                              "INFO:worker:4 units of work done, updating hash counter\n"
                              "WARNING:worker:No admin port\n"
                              "ERROR:worker:In work loop: a\\x0d\\x0aINFO:worker:forged\n"
                              "RNG running on port 80\n");
  }
}

}  // namespace
}  // namespace dockercoins
