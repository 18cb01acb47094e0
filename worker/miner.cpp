#include "worker/miner.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <random>

#include "common/dial.h"
#include "common/errors.h"
#include "common/wait.h"

namespace dockercoins {
namespace {

/// Counted from each update, not on a grid: so a lone worker, at 0.3 s per loop, updates by 4 every 1.2 s.
constexpr auto kUpdateInterval = std::chrono::seconds(1);
/// A coin is a digest that begins with this.
constexpr char kCoinDigit = '0';
/// The contract: how many coins are kept that the ledger refuses.
constexpr size_t kMostCoins = 1000;

// The upstreams, as the metrics name them.
constexpr const char* kRng = "rng";
constexpr const char* kHasher = "hasher";
constexpr const char* kRedis = "redis";

/// The contract: what is left is stored at the end, unless that takes longer than this.
constexpr auto kStoreTime = std::chrono::milliseconds(500);
constexpr auto kStoreRetry = std::chrono::milliseconds(100);

constexpr auto kFirstWait = std::chrono::milliseconds(100);
constexpr auto kLongestWait = std::chrono::seconds(10);
/// The contract: at most 2 s, jitter included, until the new Redis is looked for.
constexpr auto kLongestReplicaWait = std::chrono::milliseconds(1600);
/// At the start the waits stay short: people wait for the first hash.
constexpr auto kLongestStartWait = std::chrono::milliseconds(500);

/// Thousands of workers that failed together must not retry together.
std::chrono::milliseconds WithJitter(std::chrono::milliseconds wait) {
  std::minstd_rand random{std::random_device()()};
  const auto fifth = wait.count() / 5;
  return wait + std::chrono::milliseconds(std::uniform_int_distribution<int64_t>(-fifth, fifth)(random));
}

/// "0.1s", "10s".
std::string Seconds(std::chrono::milliseconds time) {
  constexpr double kMillisecondsPerSecond = 1000.0;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%gs", static_cast<double>(time.count()) / kMillisecondsPerSecond);
  return text.data();
}

}  // namespace

std::chrono::steady_clock::time_point SystemTimer::Now() { return std::chrono::steady_clock::now(); }

bool SystemTimer::Sleep(std::chrono::steady_clock::duration duration, std::stop_token stop) {
  return SleepFor(duration, std::move(stop));
}

Miner::Miner(Services& services, Ledger& ledger, Timer& timer, Metrics& metrics, Log& log, LoopTrace& trace,
             std::chrono::milliseconds delay)
    : services_(services),
      ledger_(ledger),
      timer_(timer),
      log_(log),
      trace_(trace),
      delay_(delay),
      error_wait_(kFirstWait),
      start_wait_(kFirstWait),
      step_duration_(metrics.AddHistogram("dockercoins_step_duration_seconds",
                                          "Time per step of a loop. Failed steps are left out.", {})),
      errors_(metrics.AddCounter("dockercoins_errors_total",
                                 "Loops that ended with an error, by the step that failed.",
                                 {{{"step", kRng}}, {{"step", kHasher}}, {{"step", kRedis}}})),
      loops_done_(metrics.AddCounter("dockercoins_loops_total", "Loops done: hashes computed.")),
      coins_found_(metrics.AddCounter("dockercoins_coins_total", "Coins found: digests that begin with 0.")),
      coins_dropped_(metrics.AddCounter("dockercoins_coins_dropped_total",
                                        "Coins given up, because Redis had refused a thousand since.")),
      loops_unstored_(
          metrics.AddGauge("dockercoins_loops_unstored", "Loops done that Redis has not counted yet.")) {}

void Miner::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    try {
      trace_.Loop([&] {
        StoreWhenDue();
        MineOnce(stop);
      });
    } catch (const std::exception& error) {
      if (stop.stop_requested()) break;
      if (IsNotThereYet(error)) {
        WaitForUpstream(error, stop);
      } else {
        WaitAfterError(error, stop);
      }
    }
  }
  StoreWhatIsLeft();
}

void Miner::StoreWhenDue() {
  const bool is_due = !updated_ || timer_.Now() - *updated_ > kUpdateInterval;
  if (is_due) StoreLoops();
  if (!is_due && !refusals_.empty()) return;
  try {
    StoreCoins();
  } catch (const RefusedError& error) {
    const bool is_new = refusals_.insert(error.what()).second;
    if (is_new) log_.Warning(std::string("Coins are kept, because they are refused: ") + error.what());
  }
}

void Miner::StoreLoops() {
  const uint64_t loops = loops_;
  Call(kRedis, [&] { ledger_.AddLoops(loops); });
  loops_ -= loops;
  ShowUnstored();
  // After the first, an update of 0 tells nobody anything: rng or hasher does not answer.
  if (loops > 0 || !updated_) {
    log_.Info(std::to_string(loops) + " units of work done, updating hash counter");
  }
  updated_ = timer_.Now();
}

void Miner::StoreCoins() {
  while (!coins_.empty()) {
    const Coin& coin = coins_.front();
    bool is_new = false;
    Call(kRedis, [&] { is_new = ledger_.AddCoin(coin.digest, coin.bytes); });
    if (!is_new) log_.Info("We already had that coin");
    coins_.pop_front();
    refusals_.clear();
    ShowUnstored();
  }
}

void Miner::Keep(Coin coin) {
  coins_.push_back(std::move(coin));
  if (coins_.size() <= kMostCoins) return;
  coins_.pop_front();
  coins_dropped_.Increment();
}

void Miner::ShowUnstored() {
  loops_unstored_.Set(static_cast<double>(loops_));
  has_unstored_ = loops_ > 0 || !coins_.empty();
}

void Miner::MineOnce(const std::stop_token& stop) {
  log_.Debug("Doing one unit of work");
  const auto begun = timer_.Now();
  if (!trace_.Step("work", Span::Kind::kInternal, [&](Span*) { return timer_.Sleep(delay_, stop); })) return;
  step_duration_.Observe(timer_.Now() - begun, {{"step", "work"}});
  std::string bytes;
  std::string digest;
  Call(kRng, [&] { bytes = services_.Draw(); });
  Call(kHasher, [&] { digest = services_.Hash(bytes); });
  ++loops_;
  loops_done_.Increment();
  ShowUnstored();
  error_wait_ = kFirstWait;
  if (!digest.starts_with(kCoinDigit)) {
    log_.Debug("No coin found");
    return;
  }
  coins_found_.Increment();
  log_.Info("Coin found: " + digest.substr(0, 8) + "...");
  Keep({.digest = std::move(digest), .bytes = std::move(bytes)});
}

void Miner::Call(const std::string& upstream, const std::function<void()>& call) {
  in_use_ = upstream;
  const auto begun = timer_.Now();
  call();
  step_duration_.Observe(timer_.Now() - begun, {{"step", upstream}});
  reached_.insert(upstream);
}

void Miner::StoreWhatIsLeft() {
  const auto deadline = timer_.Now() + kStoreTime;
  for (;;) {
    // If the ledger refuses one, it may still take the other.
    const bool loops_stored = loops_ == 0 || TryToStore(&Miner::StoreLoops);
    const bool coins_stored = TryToStore(&Miner::StoreCoins);
    if ((loops_stored && coins_stored) || timer_.Now() >= deadline) return;
    timer_.Sleep(kStoreRetry, {});
  }
}

bool Miner::TryToStore(void (Miner::*store)()) {
  try {
    (this->*store)();
    return true;
  } catch (const std::exception& error) {
    log_.Error(std::string("Not stored at the end: ") + error.what());
    return false;
  }
}

bool Miner::IsNotThereYet(const std::exception& error) const {
  return dynamic_cast<const UnreachableError*>(&error) != nullptr && !reached_.contains(in_use_);
}

void Miner::WaitForUpstream(const std::exception& error, const std::stop_token& stop) {
  const bool is_new = announced_.emplace(in_use_, error.what()).second;
  if (is_new) log_.Info(std::string("Waiting for ") + error.what());
  timer_.Sleep(WithJitter(start_wait_), stop);
  start_wait_ = std::min<std::chrono::milliseconds>(start_wait_ * 2, kLongestStartWait);
}

void Miner::WaitAfterError(const std::exception& error, const std::stop_token& stop) {
  const bool is_replica = dynamic_cast<const ReplicaError*>(&error) != nullptr;
  const auto wait = is_replica ? std::min(error_wait_, kLongestReplicaWait) : error_wait_;
  errors_.Increment({{"step", in_use_}});
  log_.Error(std::string("In work loop: ") + error.what());
  log_.Error("Waiting " + Seconds(wait) + " and restarting.");
  timer_.Sleep(WithJitter(wait), stop);
  error_wait_ = std::min<std::chrono::milliseconds>(error_wait_ * 2, kLongestWait);
}

}  // namespace dockercoins
