#include "webui/history.h"

#include <utility>

namespace dockercoins {

History::History(CountersReader& counters, std::chrono::milliseconds period, std::chrono::milliseconds kept)
    : counters_(counters),
      period_(period),
      kept_(kept),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {}

History::~History() { thread_.request_stop(); }

void History::Want() {
  const std::lock_guard lock(mutex_);
  wanted_ = Clock::now();
  changed_.notify_one();
}

std::vector<History::Reading> History::Read(Clock::time_point asked) {
  Want();
  std::optional<Reading> latest = ReadNow(asked);
  const std::lock_guard lock(mutex_);
  Forget();
  std::vector<Reading> readings(readings_.begin(), readings_.end());
  if (latest) {
    while (!readings.empty() && latest->time - readings.back().time < period_ / 2) readings.pop_back();
    readings.push_back(*std::move(latest));
  }
  return readings;
}

void History::Run(const std::stop_token& stop) {
  const auto is_wanted = [this] { return wanted_ && Clock::now() - *wanted_ < kept_; };
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, is_wanted) && !stop.stop_requested()) {
    lock.unlock();
    std::optional<Reading> reading = ReadNow(Clock::now());
    lock.lock();
    if (reading) readings_.push_back(*std::move(reading));
    Forget();
    changed_.wait_for(lock, stop, period_, [] { return false; });
  }
}

std::optional<History::Reading> History::ReadNow(Clock::time_point asked) {
  try {
    Counters counters = counters_.Read(asked);
    return Reading{.time = Clock::now(), .hashes = std::move(counters.hashes)};
  } catch (const std::runtime_error&) {
    return std::nullopt;
  }
}

void History::Forget() {
  while (!readings_.empty() && Clock::now() - readings_.front().time > kept_) readings_.pop_front();
}

}  // namespace dockercoins
