#include "worker/miner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/dial.h"
#include "tests/unit/captured_log.h"
#include "tests/unit/samples.h"

namespace dockercoins {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::StartsWith;

constexpr auto kDelay = milliseconds(100);
const Endpoint kRedis{.host = "redis", .port = 6379};
const Endpoint kRng{.host = "rng", .port = 80};
const Endpoint kHasher{.host = "hasher", .port = 80};

enum class Step { kDraw, kHash, kAddLoops, kAddCoin };

struct Update {
  milliseconds at;  ///< Since the start.
  uint64_t loops;

  bool operator==(const Update&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Update& update) {
  return out << update.loops << " at " << update.at.count() << " ms";
}

/// All that a miner knows of the world, with a clock that only moves when somebody waits.
class World final : public RandomSource, public Hasher, public Ledger, public Timer {
 public:
  // What a test may set.
  std::function<void(Step)> before_step = [](Step) {};  ///< May throw, which makes the step fail.
  milliseconds request_time = milliseconds(100);
  int coin_every = 0;  ///< Each so-manieth digest is a coin; 0: none.
  milliseconds end = seconds(10);

  // What it sees.
  std::vector<Step> steps;  ///< Tried, whether they failed or not.
  std::vector<Update> updates;
  std::map<std::string, std::string> wallet;
  std::map<std::string, std::string> found;  ///< The coins among the digests.
  std::vector<milliseconds> sleeps;          ///< Without the delays.
  uint64_t hashes = 0;
  uint64_t delays = 0;

  std::string Draw() override {
    Begin(Step::kDraw);
    Pass(request_time);
    return "bytes " + std::to_string(++drawn_);
  }

  std::string Hash(const std::string& bytes) override {
    Begin(Step::kHash);
    Pass(request_time);
    ++hashes;
    const bool is_coin = coin_every != 0 && hashes % static_cast<uint64_t>(coin_every) == 0;
    std::string digest = std::to_string(hashes);
    digest.insert(0, 64 - digest.size(), is_coin ? '0' : 'f');
    if (is_coin) found[digest] = bytes;
    return digest;
  }

  void AddLoops(uint64_t loops) override {
    Begin(Step::kAddLoops);
    updates.push_back({.at = Elapsed(), .loops = loops});
  }

  bool AddCoin(const std::string& digest, const std::string& bytes) override {
    Begin(Step::kAddCoin);
    return wallet.emplace(digest, bytes).second;
  }

  std::chrono::steady_clock::time_point Now() override { return now_; }

  bool Sleep(std::chrono::steady_clock::duration duration, std::stop_token stop) override {
    const auto time = std::chrono::duration_cast<milliseconds>(duration);
    if (time == kDelay && !next_sleep_is_a_wait_) {
      ++delays;
    } else {
      sleeps.push_back(time);
    }
    if (stop.stop_requested()) return false;
    Pass(time);
    return !stop.stop_requested();
  }

  void Pass(milliseconds time) {
    next_sleep_is_a_wait_ = false;
    now_ += time;
    if (Elapsed() >= end) Stop();
  }

  [[nodiscard]] uint64_t LoopsCounted() const {
    uint64_t sum = 0;
    for (const Update& update : updates) sum += update.loops;
    return sum;
  }

  [[nodiscard]] milliseconds Elapsed() const {
    return std::chrono::duration_cast<milliseconds>(now_ - start_);
  }

  void Stop() { stop_.request_stop(); }
  [[nodiscard]] std::stop_token stop() const { return stop_.get_token(); }
  [[nodiscard]] bool Stopped() const { return stop_.stop_requested(); }

 private:
  void Begin(Step step) {
    next_sleep_is_a_wait_ = true;
    steps.push_back(step);
    before_step(step);
    next_sleep_is_a_wait_ = false;
  }

  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point now_ = start_;
  std::stop_source stop_;
  bool next_sleep_is_a_wait_ = false;  ///< Because a step failed.
  int drawn_ = 0;
};

class MinerTest : public ::testing::Test {
 protected:
  /// Mines until the world ends.
  void Mine(bool debug = false) {
    log_ = std::make_unique<CapturedLog>("worker", debug);
    Miner miner(world_, world_, world_, world_, metrics_, log_->log(), kDelay);
    miner.Run(world_.stop());
  }

  [[nodiscard]] std::vector<std::string> LogLines() const { return log_->Lines(); }

  /// The lines that contain `text`.
  [[nodiscard]] std::vector<std::string> LogLinesWith(const std::string& text) const {
    std::vector<std::string> lines = LogLines();
    std::erase_if(lines, [&](const std::string& line) { return line.find(text) == std::string::npos; });
    return lines;
  }

  /// Nothing that was done is missing from the ledger, and nothing is there twice.
  void ExpectNothingLost() const {
    EXPECT_EQ(world_.LoopsCounted(), world_.hashes);
    EXPECT_EQ(world_.wallet, world_.found);
    EXPECT_THAT(LogLinesWith("already had"), IsEmpty());
  }

  World world_;
  Metrics metrics_;
  std::unique_ptr<CapturedLog> log_;
};

TEST_F(MinerTest, ReachesTheLedgerFirst) {
  Mine();
  ASSERT_FALSE(world_.steps.empty());
  EXPECT_EQ(world_.steps.front(), Step::kAddLoops);
  EXPECT_EQ(world_.updates.front(), (Update{.at = milliseconds(0), .loops = 0}));
}

TEST_F(MinerTest, AloneUpdatesByFourEvery1200Milliseconds) {
  world_.end = milliseconds(6050);
  Mine();
  EXPECT_THAT(world_.updates, ElementsAre(Update{milliseconds(0), 0}, Update{milliseconds(1200), 4},
                                          Update{milliseconds(2400), 4}, Update{milliseconds(3600), 4},
                                          Update{milliseconds(4800), 4}, Update{milliseconds(6000), 4}));
}

TEST_F(MinerTest, CountsTheSecondAnewFromEachUpdate) {
  world_.request_time = milliseconds(150);  // 0.4 s a loop: a grid of whole seconds would give 3, 2, 3, 2.
  world_.end = milliseconds(4850);
  Mine();
  EXPECT_THAT(world_.updates, ElementsAre(Update{milliseconds(0), 0}, Update{milliseconds(1200), 3},
                                          Update{milliseconds(2400), 3}, Update{milliseconds(3600), 3},
                                          Update{milliseconds(4800), 3}));
}

TEST_F(MinerTest, UpdatesAfterMoreThanASecondNotAfterOne) {
  world_.request_time = milliseconds(75);  // 0.25 s a loop.
  world_.end = milliseconds(2550);
  Mine();
  EXPECT_THAT(world_.updates, ElementsAre(Update{milliseconds(0), 0}, Update{milliseconds(1250), 5},
                                          Update{milliseconds(2500), 5}));
}

TEST_F(MinerTest, UpdatesBeforeEveryLoopWhenALoopTakesMoreThanASecond) {
  world_.request_time = milliseconds(500);
  world_.end = milliseconds(3350);
  Mine();
  EXPECT_THAT(world_.updates, ElementsAre(Update{milliseconds(0), 0}, Update{milliseconds(1100), 1},
                                          Update{milliseconds(2200), 1}, Update{milliseconds(3300), 1}));
}

TEST_F(MinerTest, SleepsDrawsAndHashesInThisOrder) {
  world_.end = milliseconds(500);
  world_.before_step = [this](Step step) {
    if (step != Step::kDraw) return;
    EXPECT_EQ(world_.delays, world_.hashes + 1) << "the delay comes first";
  };
  Mine();
  EXPECT_THAT(world_.steps, ElementsAre(Step::kAddLoops, Step::kDraw, Step::kHash, Step::kDraw, Step::kHash,
                                        Step::kAddLoops));
}

TEST_F(MinerTest, StoresCoinsWithTheirBytes) {
  world_.coin_every = 3;
  world_.end = milliseconds(1100);
  Mine();
  const std::string digest = std::string(63, '0') + "3";
  EXPECT_EQ(world_.wallet, (std::map<std::string, std::string>{{digest, "bytes 3"}}));
  EXPECT_THAT(LogLines(), Contains("INFO:worker:Coin found: 00000000..."));
}

TEST_F(MinerTest, StoresACoinAtOnce) {
  world_.coin_every = 1;
  world_.end = milliseconds(450);
  Mine();
  EXPECT_THAT(world_.steps, ElementsAre(Step::kAddLoops, Step::kDraw, Step::kHash, Step::kAddCoin,
                                        Step::kDraw, Step::kHash, Step::kAddCoin, Step::kAddLoops));
}

TEST_F(MinerTest, MeasuresWhereTheTimeOfALoopGoes) {
  world_.request_time = milliseconds(70);
  world_.before_step = [&](Step step) {
    if (step == Step::kHash) world_.Pass(milliseconds(200));
    if (step == Step::kAddLoops) world_.Pass(milliseconds(3));
  };
  world_.end = milliseconds(9990);
  Mine();
  const auto samples = Samples(metrics_);
  const auto loops = samples.at("dockercoins_loops_total");
  ASSERT_GT(loops, 20);
  const std::map<std::string, double> expected = {{"work", 0.1}, {"rng", 0.07}, {"hasher", 0.27}};
  for (const auto& [step, duration] : expected) {
    const double sum = samples.at("dockercoins_step_duration_seconds_sum{step=\"" + step + "\"}");
    const double count = samples.at("dockercoins_step_duration_seconds_count{step=\"" + step + "\"}");
    EXPECT_NEAR(sum, duration * count, 1e-6) << step;
    EXPECT_NEAR(count, loops, 1) << step;
  }
  EXPECT_NEAR(samples.at(R"(dockercoins_step_duration_seconds_sum{step="redis"})"),
              0.003 * static_cast<double>(world_.updates.size()), 1e-6);
}

TEST_F(MinerTest, CountsWhatItHasDone) {
  world_.coin_every = 3;
  Mine();
  const auto samples = Samples(metrics_);
  EXPECT_EQ(samples.at("dockercoins_loops_total"), static_cast<double>(world_.hashes));
  EXPECT_EQ(samples.at("dockercoins_coins_total"), static_cast<double>(world_.found.size()));
  EXPECT_EQ(samples.at("dockercoins_loops_unstored"), 0) << "they were stored at the end";
  for (const char* step : {"rng", "hasher", "redis"}) {
    EXPECT_EQ(samples.at(std::string("dockercoins_errors_total{step=\"") + step + "\"}"), 0);
  }
}

TEST_F(MinerTest, ShowsTheLoopsThatTheLedgerHasNotTaken) {
  double most = 0;
  world_.before_step = [&](Step step) {
    const auto samples = Samples(metrics_);
    const double unstored = samples.at("dockercoins_loops_unstored");
    EXPECT_EQ(samples.at("dockercoins_loops_total") - unstored, static_cast<double>(world_.LoopsCounted()));
    most = std::max(most, unstored);
    if (step == Step::kAddLoops && world_.Elapsed() < seconds(5)) throw std::runtime_error("Redis is away");
  };
  Mine();
  EXPECT_GE(most, 4);
}

TEST_F(MinerTest, CountsErrorsByStep) {
  int draws = 0;
  int hashes = 0;
  world_.before_step = [&](Step step) {
    if (step == Step::kDraw && ++draws % 3 == 0) throw std::runtime_error("no bytes");
    if (step == Step::kHash && ++hashes % 4 == 0) throw std::runtime_error("no digest");
  };
  Mine();
  const auto samples = Samples(metrics_);
  EXPECT_EQ(samples.at(R"(dockercoins_errors_total{step="rng"})"),
            static_cast<double>(LogLinesWith("In work loop: no bytes").size()));
  EXPECT_EQ(samples.at(R"(dockercoins_errors_total{step="hasher"})"),
            static_cast<double>(LogLinesWith("In work loop: no digest").size()));
  EXPECT_GT(samples.at(R"(dockercoins_errors_total{step="rng"})"), 0);
  EXPECT_GT(samples.at(R"(dockercoins_errors_total{step="hasher"})"), 0);
  EXPECT_EQ(samples.at(R"(dockercoins_errors_total{step="redis"})"), 0);
  EXPECT_EQ(samples.at("dockercoins_loops_total"), static_cast<double>(world_.hashes));
}

TEST_F(MinerTest, AnUpstreamThatIsNotThereYetIsNotCountedAsAnError) {
  world_.before_step = [&](Step step) {
    if (step == Step::kDraw) throw UnreachableError(kRng, "connection refused");
  };
  Mine();
  EXPECT_EQ(Samples(metrics_).at(R"(dockercoins_errors_total{step="rng"})"), 0);
}

TEST_F(MinerTest, SaysWhenItAlreadyHadACoin) {
  world_.coin_every = 1;
  world_.end = milliseconds(250);
  world_.wallet[std::string(63, '0') + "1"] = "other bytes";
  Mine();
  EXPECT_THAT(LogLines(),
              ElementsAre("INFO:worker:0 units of work done, updating hash counter",
                          "INFO:worker:Coin found: 00000000...", "INFO:worker:We already had that coin",
                          "INFO:worker:1 units of work done, updating hash counter"));
}

TEST_F(MinerTest, LogsEachLoopWhenDebugging) {
  world_.end = milliseconds(250);
  Mine(/*debug=*/true);
  EXPECT_THAT(LogLines(), ElementsAre("INFO:worker:0 units of work done, updating hash counter",
                                      "DEBUG:worker:Doing one unit of work", "DEBUG:worker:No coin found",
                                      "INFO:worker:1 units of work done, updating hash counter"));
}

TEST_F(MinerTest, LogsUpdatesOnlyUnlessDebugging) {
  world_.end = milliseconds(1250);
  Mine();
  EXPECT_THAT(LogLines(), ElementsAre("INFO:worker:0 units of work done, updating hash counter",
                                      "INFO:worker:4 units of work done, updating hash counter"));
}

TEST_F(MinerTest, AnErrorIsTwoLinesAndAWait) {
  bool failed = false;
  world_.before_step = [&](Step step) {
    if (step != Step::kHash || failed) return;
    failed = true;
    throw std::runtime_error("hasher:80: it answered with status 500");
  };
  world_.end = seconds(1);
  Mine();
  EXPECT_THAT(LogLinesWith("ERROR"),
              ElementsAre("ERROR:worker:In work loop: hasher:80: it answered with status 500",
                          "ERROR:worker:Waiting 0.1s and restarting."));
  EXPECT_EQ(world_.sleeps.size(), 1U);
  EXPECT_GT(world_.hashes, 0U);
}

TEST_F(MinerTest, WaitsTwiceAsLongAfterEachErrorUpToTenSeconds) {
  world_.before_step = [](Step step) {
    if (step == Step::kHash) throw std::runtime_error("hasher:80: broken");
  };
  world_.end = seconds(60);
  Mine();
  const std::vector<std::string> waits = LogLinesWith("Waiting");
  ASSERT_GE(waits.size(), 9U);
  const auto line = [](const char* wait) {
    return "ERROR:worker:Waiting " + std::string(wait) + " and restarting.";
  };
  EXPECT_THAT(std::vector(waits.begin(), waits.begin() + 9),
              ElementsAre(line("0.1s"), line("0.2s"), line("0.4s"), line("0.8s"), line("1.6s"), line("3.2s"),
                          line("6.4s"), line("10s"), line("10s")));
}

TEST_F(MinerTest, SpreadsItsWaitsByAFifthAtMost) {
  world_.before_step = [](Step step) {
    if (step == Step::kDraw) throw std::runtime_error("rng:80: broken");
  };
  world_.end = seconds(600);
  Mine();
  ASSERT_GT(world_.sleeps.size(), 50U);
  std::set<milliseconds> different;
  auto wait = milliseconds(100);
  for (const milliseconds sleep : world_.sleeps) {
    EXPECT_GE(sleep, wait * 8 / 10);
    EXPECT_LE(sleep, wait * 12 / 10);
    if (wait == seconds(10)) different.insert(sleep);
    wait = std::min<milliseconds>(wait * 2, seconds(10));
  }
  EXPECT_GT(different.size(), 10U) << "workers that failed together must not come back together";
}

TEST_F(MinerTest, ASuccessResetsTheWait) {
  int hashes = 0;
  world_.before_step = [&](Step step) {
    // Fails three times, works once, and so on.
    if (step == Step::kHash && ++hashes % 4 != 0) throw std::runtime_error("hasher:80: broken");
  };
  world_.end = seconds(8);
  Mine();
  const std::vector<std::string> waits = LogLinesWith("Waiting");
  ASSERT_GE(waits.size(), 6U);
  const auto line = [](const char* wait) {
    return "ERROR:worker:Waiting " + std::string(wait) + " and restarting.";
  };
  EXPECT_THAT(
      std::vector(waits.begin(), waits.begin() + 6),
      ElementsAre(line("0.1s"), line("0.2s"), line("0.4s"), line("0.1s"), line("0.2s"), line("0.4s")));
}

TEST_F(MinerTest, WaitsQuietlyForUpstreamsThatAreNotThereYet) {
  int attempts = 0;
  world_.before_step = [&](Step step) {
    ++attempts;
    if (step == Step::kAddLoops && attempts <= 3) throw UnreachableError(kRedis, "name or service not known");
    if (step == Step::kAddLoops && attempts <= 6) throw UnreachableError(kRedis, "connection refused");
    if (step == Step::kDraw && attempts <= 10) throw UnreachableError(kRng, "connection refused");
    if (step == Step::kHash && attempts <= 15) throw UnreachableError(kHasher, "connection refused");
  };
  Mine();
  const std::vector<std::string> lines = LogLines();
  ASSERT_GE(lines.size(), 5U);
  EXPECT_THAT(LogLinesWith("Waiting"),
              ElementsAre("INFO:worker:Waiting for redis:6379: name or service not known",
                          "INFO:worker:Waiting for redis:6379: connection refused",
                          "INFO:worker:Waiting for rng:80: connection refused",
                          "INFO:worker:Waiting for hasher:80: connection refused"));
  EXPECT_THAT(LogLinesWith("ERROR"), IsEmpty());
  EXPECT_GT(world_.hashes, 0U);
}

TEST_F(MinerTest, LooksOftenForUpstreamsThatAreNotThereYet) {
  world_.before_step = [](Step step) {
    if (step == Step::kAddLoops) throw UnreachableError(kRedis, "connection refused");
  };
  world_.end = seconds(30);
  Mine();
  ASSERT_GT(world_.sleeps.size(), 10U);
  EXPECT_LE(world_.sleeps.front(), milliseconds(120));
  // The last ones are those of the stop.
  EXPECT_LE(*std::max_element(world_.sleeps.begin(), world_.sleeps.end()), milliseconds(600));
  EXPECT_THAT(std::vector(world_.sleeps.begin() + 1, world_.sleeps.end() - 10),
              Not(Contains(milliseconds(0))));
}

TEST_F(MinerTest, AnUpstreamThatWasThereOnceAndIsNotReachableIsAnError) {
  for (const Step failing : {Step::kAddLoops, Step::kDraw, Step::kHash}) {
    World world;
    int successes = 0;
    bool failed = false;
    world.before_step = [&](Step step) {
      if (step != failing || failed || ++successes <= 1) return;
      failed = true;
      throw UnreachableError(kRng, "connection refused");
    };
    CapturedLog log("worker");
    Metrics metrics;
    Miner(world, world, world, world, metrics, log.log(), kDelay).Run(world.stop());
    EXPECT_THAT(log.Lines(), Contains("ERROR:worker:In work loop: rng:80: connection refused"));
    EXPECT_THAT(log.Lines(), Not(Contains(HasSubstr("Waiting for"))));
  }
}

TEST_F(MinerTest, AnUpstreamThatIsThereButBrokenIsAnErrorFromTheStart) {
  bool failed = false;
  world_.before_step = [&](Step step) {
    if (step != Step::kDraw || failed) return;
    failed = true;
    throw std::runtime_error("rng:80: it answered with status 500");
  };
  Mine();
  EXPECT_THAT(LogLines(), Contains("ERROR:worker:In work loop: rng:80: it answered with status 500"));
}

TEST_F(MinerTest, LosesNothingWhicheverStepFails) {
  for (size_t failing = 0; failing < 40; ++failing) {
    for (const bool unreachable : {false, true}) {
      world_ = World();
      world_.coin_every = 2;
      world_.end = seconds(4);
      world_.before_step = [&, failing](Step /*step*/) {
        if (world_.steps.size() - 1 != failing) return;
        if (unreachable) throw UnreachableError(kRedis, "connection refused");
        throw std::runtime_error("broken");
      };
      Mine();
      EXPECT_GE(world_.hashes, 9U) << failing;
      ExpectNothingLost();
    }
  }
}

TEST_F(MinerTest, LosesNothingHoweverOftenStepsFail) {
  for (unsigned seed = 0; seed < 100; ++seed) {
    std::minstd_rand random(seed + 1);
    world_ = World();
    world_.coin_every = 3;
    world_.end = seconds(60);
    world_.before_step = [&](Step /*step*/) {
      if (!world_.Stopped() && random() % 10 < 3) throw std::runtime_error("broken");
    };
    Mine();
    EXPECT_GT(world_.hashes, 0U);
    ExpectNothingLost();
  }
}

TEST_F(MinerTest, KeepsACoinUntilTheLedgerTakesIt) {
  world_.coin_every = 1;
  int refused = 0;
  world_.before_step = [&](Step step) {
    if (step == Step::kAddCoin && ++refused <= 5)
      throw std::runtime_error("redis:6379: connection reset by peer");
  };
  Mine();
  EXPECT_GT(refused, 5);
  EXPECT_EQ(world_.wallet.begin()->second, "bytes 1") << "the first coin's own bytes";
  ExpectNothingLost();
}

TEST_F(MinerTest, StoresAnOldCoinBeforeItMinesOn) {
  world_.coin_every = 1;
  int refused = 0;
  world_.before_step = [&](Step step) {
    if (step == Step::kAddCoin && ++refused <= 1) throw std::runtime_error("redis:6379: broken");
  };
  world_.end = milliseconds(600);
  Mine();
  EXPECT_THAT(std::vector(world_.steps.begin(), world_.steps.begin() + 5),
              ElementsAre(Step::kAddLoops, Step::kDraw, Step::kHash, Step::kAddCoin, Step::kAddCoin));
}

TEST_F(MinerTest, StoresItsLoopsWhenItIsStopped) {
  world_.end = milliseconds(1000);  // After the third loop, in the delay of the fourth.
  Mine();
  EXPECT_EQ(world_.hashes, 3U);
  EXPECT_THAT(world_.updates, ElementsAre(Update{milliseconds(0), 0}, Update{milliseconds(1000), 3}));
  EXPECT_EQ(world_.steps.back(), Step::kAddLoops);
}

TEST_F(MinerTest, AddsNothingAtTheEndWhenNothingIsLeft) {
  world_.end = milliseconds(1250);  // Just after an update.
  Mine();
  EXPECT_EQ(world_.updates.back(), (Update{milliseconds(1200), 4}));
}

TEST_F(MinerTest, AStopInTheMiddleOfALoopIsNoErrorAndNoLoop) {
  for (const Step interrupted : {Step::kDraw, Step::kHash}) {
    world_ = World();
    world_.before_step = [&](Step step) {
      if (step != interrupted || world_.hashes < 2) return;
      world_.Stop();
      throw std::runtime_error("rng:80: the connection broke before the answer was complete");
    };
    Mine();
    EXPECT_EQ(world_.hashes, 2U);
    EXPECT_EQ(world_.LoopsCounted(), 2U);
    EXPECT_THAT(LogLinesWith("ERROR"), IsEmpty());
  }
}

TEST_F(MinerTest, AStopEndsTheWaitAfterAnError) {
  world_.before_step = [&](Step step) {
    if (step != Step::kHash) return;
    world_.Stop();
    throw std::runtime_error("hasher:80: broken");
  };
  Mine();
  EXPECT_EQ(world_.Elapsed(), kDelay + world_.request_time) << "it waited";
}

TEST_F(MinerTest, TriesHalfASecondToStoreWhatIsLeft) {
  world_.coin_every = 1;
  int failures = 0;
  world_.before_step = [&](Step step) {
    const bool is_ledger = step == Step::kAddCoin || step == Step::kAddLoops;
    if (is_ledger && world_.hashes == 1 && ++failures <= 6) throw std::runtime_error("redis:6379: broken");
  };
  world_.end = milliseconds(300);
  Mine();
  EXPECT_GE(failures, 6);
  ExpectNothingLost();
}

TEST_F(MinerTest, GivesUpAfterHalfASecondAndSaysSo) {
  world_.before_step = [&](Step step) {
    if (step == Step::kAddLoops && world_.hashes > 0)
      throw std::runtime_error("redis:6379: connection refused");
  };
  world_.end = milliseconds(1000);
  Mine();
  EXPECT_LE(world_.Elapsed(), milliseconds(1600));
  EXPECT_GE(world_.Elapsed(), milliseconds(1500));
  EXPECT_THAT(LogLines(), Contains("ERROR:worker:Not stored at the end: redis:6379: connection refused"));
}

TEST_F(MinerTest, ACoinThatIsRefusedKeepsNoLoopsOutAndTheOtherWayRound) {
  for (const Step refused : {Step::kAddCoin, Step::kAddLoops}) {
    world_ = World();
    world_.coin_every = 1;
    world_.end = milliseconds(300);
    world_.before_step = [&](Step step) {
      if (step == refused && world_.hashes > 0) throw std::runtime_error("redis:6379: WRONGTYPE");
    };
    Mine();
    EXPECT_EQ(world_.LoopsCounted(), refused == Step::kAddCoin ? 1U : 0U);
    EXPECT_EQ(world_.wallet.size(), refused == Step::kAddCoin ? 0U : 1U);
  }
}

TEST(SystemTimerTest, IsTheMachinesTime) {
  SystemTimer timer;
  const auto before = timer.Now();
  EXPECT_TRUE(timer.Sleep(milliseconds(20), {}));
  EXPECT_GE(timer.Now() - before, milliseconds(20));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_FALSE(timer.Sleep(std::chrono::hours(1), stop.get_token()));
}

}  // namespace
}  // namespace dockercoins
