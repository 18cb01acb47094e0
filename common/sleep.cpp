#include "common/sleep.h"

#include <condition_variable>
#include <mutex>

namespace dockercoins {

bool SleepFor(std::chrono::steady_clock::duration duration, std::stop_token stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, duration, [] { return false; });
  return !stop.stop_requested();
}

}  // namespace dockercoins
