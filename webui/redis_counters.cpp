#include "webui/redis_counters.h"

#include <algorithm>
#include <utility>

namespace dockercoins {
namespace {

/// The contract: a response within a second, also without Redis. Connecting and two replies share the first
/// of these.
constexpr auto kResponseTimeout = std::chrono::milliseconds(900);
constexpr auto kConnectTimeout = std::chrono::milliseconds(400);
constexpr auto kReplyTimeout = std::chrono::milliseconds(400);
/// The contract: a Redis that has become a replica goes on answering, with what it last knew.
constexpr auto kLongestUse = std::chrono::seconds(5);

}  // namespace

RedisCounters::RedisCounters(RedisUrl url, Metrics& metrics)
    : redis_(std::move(url), kConnectTimeout, kReplyTimeout, kLongestUse),
      round_trip_(
          metrics.AddHistogram("dockercoins_redis_round_trip_seconds",
                               "Time from a command to Redis's reply, including connecting if needed.")),
      failures_(metrics.AddCounter(
          "dockercoins_redis_failures_total",
          "Failed readings of the counters from Redis. Requests that come together share one.")),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {}

RedisCounters::~RedisCounters() { thread_.request_stop(); }

Counters RedisCounters::Read(Clock::time_point asked) {
  std::unique_lock lock(mutex_);
  asked_ = std::max(asked_, asked);
  wanted_.notify_one();
  if (!read_.wait_until(lock, asked + kResponseTimeout, [&] { return begun_ >= asked; })) {
    throw std::runtime_error("Redis: no reply in time");
  }
  if (const auto* error = std::get_if<std::string>(&result_)) throw std::runtime_error(*error);
  return std::get<Counters>(result_);
}

void RedisCounters::Run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (wanted_.wait(lock, stop, [this] { return asked_ > begun_; })) {
    lock.unlock();
    const auto begun = Clock::now();
    Result result = ReadRedis();
    lock.lock();
    result_ = std::move(result);
    begun_ = begun;
    read_.notify_all();
  }
}

RedisCounters::Result RedisCounters::ReadRedis() {
  try {
    Counters counters;
    counters.coins = Command({"HLEN", "wallet"})->integer;
    const RedisReply hashes = Command({"GET", "hashes"});
    if (hashes->type == REDIS_REPLY_STRING) {
      counters.hashes = std::string(hashes->str, static_cast<size_t>(hashes->len));
    }
    return counters;
  } catch (const std::exception& error) {
    failures_.Increment();
    return std::string("Redis at ") + error.what();
  }
}

RedisReply RedisCounters::Command(const std::vector<std::string_view>& arguments) {
  const auto begun = std::chrono::steady_clock::now();
  RedisReply reply = redis_.Command(arguments);
  round_trip_.Observe(std::chrono::steady_clock::now() - begun);
  return reply;
}

}  // namespace dockercoins
