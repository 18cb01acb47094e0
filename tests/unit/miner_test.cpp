#include "worker/miner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/dial.h"
#include "common/errors.h"
#include "tests/unit/captured_log.h"
#include "tests/unit/samples.h"

namespace dockercoins {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::Not;

/// Longer than any other wait, whatever its jitter. With two requests of 120 ms a loop takes 0.3 s.
constexpr auto kDelay = milliseconds(60);
const UnreachableError kRefused({.host = "rng", .port = 80}, "connection refused");
const std::runtime_error kBroken("rng:80: broken");
const RefusedError kWrongType("redis:6379: WRONGTYPE"), kOutOfMemory("redis:6379: OOM");

/// All that a miner knows of the world, with a clock that only moves when somebody waits.
class World final : public Services, public Ledger, public Timer {
 public:
  // A test may set these.
  std::function<void(const std::string&)> before_step = [](const auto&) {};  ///< May throw: the step fails.
  milliseconds request_time = milliseconds(120);
  uint64_t coin_every = 1000;  ///< Every N-th digest is a coin.
  milliseconds end = seconds(10);

  // A test reads these.
  std::string journal;  ///< Everything that the miner did, one word each.
  std::string updates;  ///< What the ledger took: "loops@milliseconds", one word each.
  std::map<std::string, std::string> wallet;
  std::map<std::string, std::string> found;  ///< The coins among the digests.
  std::vector<milliseconds> waits;           ///< Sleeps other than the delay of a loop.
  size_t steps = 0;                          ///< Steps tried, failed ones included.
  uint64_t hashes = 0;
  uint64_t loops_counted = 0;

  std::string Draw() override {
    Begin("draw");
    Pass(request_time);
    return "bytes " + std::to_string(++drawn_);
  }

  std::string Hash(const std::string& bytes) override {
    Begin("hash");
    Pass(request_time);
    ++hashes;
    const bool is_coin = hashes % coin_every == 0;
    std::string digest = std::to_string(hashes);
    digest.insert(0, 64 - digest.size(), is_coin ? '0' : 'f');
    if (is_coin) found[digest] = bytes;
    return digest;
  }

  void AddLoops(uint64_t loops) override {
    Begin("loops");
    loops_counted += loops;
    updates += std::to_string(loops) + "@" + std::to_string(Elapsed().count()) + " ";
  }

  bool AddCoin(const std::string& digest, const std::string& bytes) override {
    Begin("coin");
    return wallet.emplace(digest, bytes).second;
  }

  std::chrono::steady_clock::time_point Now() override { return std::chrono::steady_clock::time_point(now_); }

  bool Sleep(std::chrono::steady_clock::duration duration, std::stop_token stop) override {
    const auto time = std::chrono::duration_cast<milliseconds>(duration);
    if (time != kDelay) waits.push_back(time);
    journal += time == kDelay ? "delay " : "wait ";
    if (!stop.stop_requested()) Pass(time);
    return !stop.stop_requested();
  }

  void Pass(milliseconds time) {
    now_ += time;
    if (now_ >= end) Stop();
  }
  [[nodiscard]] milliseconds Elapsed() const { return now_; }
  void Stop() { stop_.request_stop(); }
  [[nodiscard]] std::stop_token stop() const { return stop_.get_token(); }

 private:
  void Begin(const std::string& step) {
    ++steps;
    journal += step + " ";
    before_step(step);
  }

  milliseconds now_{};
  std::stop_source stop_;
  int drawn_ = 0;
};

class MinerTest : public ::testing::Test {
 protected:
  /// Mines until the world ends.
  void Mine() {
    log_ = std::make_unique<CapturedLog>("worker");
    metrics_ = std::make_unique<Metrics>();
    miner_ = std::make_unique<Miner>(world_, world_, world_, *metrics_, log_->log(), off_, kDelay);
    miner_->Run(world_.stop());
  }

  /// From now on, the steps for whose number (from 1) `which` holds fail.
  template <typename Error>
  void Fail(const std::string& failing, bool (*which)(int), const Error& error) {
    world_.before_step = [=, count = 0](const std::string& step) mutable {
      if (step == failing && which(++count)) throw Error(error);
    };
  }

  /// Expects that nothing is missing in the ledger, and nothing is in it twice.
  void ExpectNothingLost() const {
    EXPECT_GT(world_.hashes, 0U);
    EXPECT_EQ(world_.loops_counted, world_.hashes);
    EXPECT_EQ(world_.wallet, world_.found);
    EXPECT_FALSE(miner_->HasUnstored());
    EXPECT_THAT(log_->Text(), Not(HasSubstr("already had")));
  }

  World world_;
  LoopTrace off_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<CapturedLog> log_;
  std::unique_ptr<Miner> miner_;
};

TEST_F(MinerTest, UpdatesAtOnceAndThenBeforeTheFirstLoopThatBeginsAfterASecond) {
  const struct {
    int request_time;
    int end;
    const char* updates;
  } cases[] = {
      {120, 6050, "0@0 4@1200 4@2400 4@3600 4@4800 4@6000 "},  // The lesson's fours.
      {170, 4850, "0@0 3@1200 3@2400 3@3600 3@4800 "},         // A grid of whole seconds would give 3 and 2.
      {95, 2550, "0@0 5@1250 5@2500 "},                        // Exactly one second is not enough.
      {520, 3350, "0@0 1@1100 1@2200 1@3300 "}};
  for (const auto& [request_time, end, updates] : cases) {
    world_ = World();
    world_.request_time = milliseconds(request_time);
    world_.end = milliseconds(end);
    Mine();
    EXPECT_EQ(world_.updates, updates);
  }
}

TEST_F(MinerTest, MeasuresLoopsCoinsErrorsAndTheTimeOfEachStep) {
  world_.coin_every = 3;
  world_.request_time = milliseconds(70);
  std::vector<double> unstored;
  world_.before_step = [&](const std::string& step) {
    if (step == "loops") unstored.push_back(Samples(*metrics_).at("dockercoins_loops_unstored"));
    if (world_.steps == 6 || world_.steps == 9 || world_.steps == 15) throw kBroken;
    if (world_.steps == 17) world_.Stop();
    if (step == "hash") world_.Pass(milliseconds(200));
    if (step == "loops") world_.Pass(milliseconds(3));
  };
  Mine();
  EXPECT_EQ(world_.journal,
            "loops delay draw hash delay draw hash delay draw wait delay draw hash loops wait "
            "loops coin delay draw hash delay draw hash wait delay draw hash loops ");
  EXPECT_EQ(unstored, (std::vector<double>{0, 3, 3, 2}));
  std::ostringstream measured;
  for (const auto& [name, value] : Samples(*metrics_)) {
    const bool is_own = name.starts_with("dockercoins_") && !name.starts_with("dockercoins_build_info");
    if (is_own && name.find("_bucket") == std::string::npos)
      measured << name.substr(12) << " " << value << "\n";
  }
  EXPECT_EQ(
      measured.str(),
      "coins_dropped_total 0\ncoins_total 1\n"
      "errors_total{step=\"hasher\"} 1\nerrors_total{step=\"redis\"} 1\nerrors_total{step=\"rng\"} 1\n"
      "loops_total 5\nloops_unstored 0\n"
      "step_duration_seconds_count{step=\"hasher\"} 5\nstep_duration_seconds_count{step=\"redis\"} 4\n"
      "step_duration_seconds_count{step=\"rng\"} 6\nstep_duration_seconds_count{step=\"work\"} 7\n"
      "step_duration_seconds_sum{step=\"hasher\"} 1.35\nstep_duration_seconds_sum{step=\"redis\"} 0.009\n"
      "step_duration_seconds_sum{step=\"rng\"} 0.42\nstep_duration_seconds_sum{step=\"work\"} 0.42\n");
}

TEST_F(MinerTest, DoublesTheWaitWithAFifthOfJitter) {
  constexpr auto kAlways = [](int) { return true; };
  const struct {
    std::function<void()> fail;
    milliseconds longest;
    const char* said;
  } cases[] = {
      {[&] { Fail("draw", kAlways, kBroken); }, seconds(10), "ERROR:worker:Waiting 10s and restarting.\n"},
      {[&] { Fail("draw", kAlways, kRefused); }, milliseconds(500),
       "INFO:worker:Waiting for rng:80: connection refused\n"},
      {[&] { Fail("loops", kAlways, ReplicaError("READONLY")); }, milliseconds(1600),
       "Waiting 1.6s and restarting.\n"}};
  for (const auto& [fail, longest, said] : cases) {
    world_ = World();
    fail();
    world_.end = longest * 400;
    Mine();
    std::vector<milliseconds> longest_waits;
    auto wait = milliseconds(100);
    for (const milliseconds waited : world_.waits) {
      EXPECT_GE(waited, wait * 8 / 10);
      EXPECT_LE(waited, wait * 12 / 10);
      if (wait == longest) longest_waits.push_back(waited);
      wait = std::min(wait * 2, longest);
    }
    EXPECT_THAT(log_->Text(), HasSubstr(said));
    EXPECT_THAT(log_->Lines(),
                Contains("INFO:worker:0 units of work done, updating hash counter").Times(Le(1)))
        << "after the first, an update of 0 is no line";
    ASSERT_GT(longest_waits.size(), 300U);
    const auto [least, most] = std::ranges::minmax(longest_waits);
    EXPECT_GT(most - least, longest * 36 / 100) << "workers that failed together must not come back together";
  }
}

TEST_F(MinerTest, LosesNothingHoweverOftenStepsFail) {
  for (unsigned seed = 1; seed <= 100; ++seed) {
    std::minstd_rand random(seed);
    world_ = World();
    world_.coin_every = 3;
    world_.end = seconds(60);
    world_.before_step = [&](const std::string& /*step*/) {
      if (world_.stop().stop_requested() || random() % 10 >= 3) return;
      if (random() % 2 == 0) throw kRefused;
      throw kBroken;
    };
    Mine();
    ExpectNothingLost();
  }
}

TEST_F(MinerTest, StoresAnOldCoinBeforeItMinesOn) {
  world_.coin_every = 1;
  Fail("coin", [](int count) { return count == 1; }, kBroken);
  world_.end = milliseconds(500);
  Mine();
  EXPECT_EQ(world_.journal, "loops delay draw hash coin wait coin delay draw hash loops coin ");
  ExpectNothingLost();
}

TEST_F(MinerTest, AStopEndsTheDelayAndWhatWasDoneIsStored) {
  world_.end = milliseconds(950);  // In the delay of the fourth loop.
  Mine();
  EXPECT_EQ(world_.updates, "0@0 3@960 ");
  EXPECT_THAT(world_.journal, EndsWith("hash delay loops "));
  world_ = World();
  world_.end = milliseconds(1250);  // Just after an update: nothing is left.
  Mine();
  EXPECT_EQ(world_.updates, "0@0 4@1200 ");
}

TEST_F(MinerTest, TriesForHalfASecondToStoreWhatIsLeftAndLogsAFailure) {
  world_.end = milliseconds(300);
  Fail("loops", [](int count) { return count > 1; }, kBroken);
  Mine();
  EXPECT_EQ(world_.journal,
            "loops delay draw hash loops wait loops wait loops wait loops wait loops wait loops ");
  EXPECT_EQ(world_.Elapsed(), milliseconds(800));
  EXPECT_THAT(log_->Lines(), Contains("ERROR:worker:Not stored at the end: rng:80: broken").Times(6));
}

TEST_F(MinerTest, ARefusedCoinDoesNotBlockLoopsNorRefusedLoopsACoin) {
  for (const std::string refused : {"coin", "loops"}) {
    world_ = World();
    world_.coin_every = 1;
    world_.end = milliseconds(300);
    world_.before_step = [&](const std::string& step) {
      if (step == refused && world_.hashes > 0) throw kBroken;
    };
    Mine();
    EXPECT_TRUE(miner_->HasUnstored()) << refused;
    EXPECT_EQ(world_.loops_counted, refused == "coin" ? 1U : 0U);
    EXPECT_EQ(world_.wallet.size(), refused == "coin" ? 0U : 1U);
  }
}

TEST_F(MinerTest, CoinsThatAreRefusedEndNoLoopAndOneIsTriedAtEachUpdate) {
  world_.coin_every = 1;
  world_.end = milliseconds(6050);
  int tries = 0;
  world_.before_step = [&](const std::string& step) {
    if (step != "coin") return;
    ++tries;
    if (world_.Elapsed() < milliseconds(4800)) throw tries == 3 ? kOutOfMemory : kWrongType;
  };
  Mine();
  EXPECT_EQ(world_.updates, "0@0 4@1200 4@2400 4@3600 4@4800 4@6000 ");
  EXPECT_EQ(world_.waits, std::vector<milliseconds>());
  EXPECT_EQ(tries, 4 + 20) << "one at 300 ms, 1,200, 2,400 and 3,600, and from 4,800 on each once";
  ExpectNothingLost();
  const std::string kept = "WARNING:worker:Coins are kept, because they are refused: redis:6379: ";
  EXPECT_THAT(log_->Lines(), Contains(kept + "WRONGTYPE").Times(1));
  EXPECT_THAT(log_->Lines(), Contains(kept + "OOM").Times(1));
}

TEST_F(MinerTest, KeepsTheLatestThousandOfTheCoinsThatAreRefused) {
  world_.coin_every = 1;
  world_.request_time = milliseconds(0);
  world_.end = kDelay * 1004;
  world_.before_step = [&](const std::string& step) {
    if (step == "coin" && !world_.stop().stop_requested()) throw kWrongType;
  };
  Mine();
  ASSERT_EQ(world_.found.size(), 1003U);
  world_.found.erase(world_.found.begin(), std::next(world_.found.begin(), 3));
  ExpectNothingLost();
  EXPECT_EQ(Samples(*metrics_).at("dockercoins_coins_dropped_total"), 3);
}

}  // namespace
}  // namespace dockercoins
