#include "common/service/simulated_work.h"

#include <random>
#include <string>

#include "common/wait.h"

namespace dockercoins {

SimulatedWork::SimulatedWork(std::chrono::milliseconds delay, unsigned fail_percent, Log& log)
    : delay_(delay), fail_percent_(fail_percent) {
  if (fail_percent == 0) return;
  const std::string percent = std::to_string(fail_percent);
  log.Warning("FAIL_PERCENT=" + percent + ": " + percent + " % of the requests fail on purpose");
}

bool SimulatedWork::Do(httplib::Response& response, const std::stop_token& cut) const {
  constexpr unsigned kAll = 100;
  if (!SleepFor(delay_, cut)) {
    SetError(response, httplib::ServiceUnavailable_503, kStopping);
    return false;
  }
  if (fail_percent_ > 0 && std::random_device()() % kAll < fail_percent_) {
    SetError(response, httplib::InternalServerError_500, "FAIL_PERCENT asks for it");
    return false;
  }
  return true;
}

}  // namespace dockercoins
