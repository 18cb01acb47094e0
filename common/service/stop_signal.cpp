#include "common/service/stop_signal.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <system_error>
#include <thread>

#include "common/settings.h"

namespace dockercoins {
namespace {

/// The contract allows one second, of which the request in service has 0.5 s.
constexpr auto kDeadline = std::chrono::milliseconds(800);

}  // namespace

StopSignal::StopSignal() {
  ::sigemptyset(&signals_);
  ::sigaddset(&signals_, SIGTERM);
  ::sigaddset(&signals_, SIGINT);
  struct sigaction at_start{};
  ::sigaction(SIGHUP, nullptr, &at_start);
  if (at_start.sa_handler != SIG_IGN) ::sigaddset(&signals_, SIGHUP);
  ::pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

void StopSignal::IgnoreIfAsked(Log& log) {
  if (!ReadSwitch(setting::kIgnoreTerm)) return;
  log.Warning("IGNORE_TERM is set: TERM and INT do not end this process");
  // They stay blocked, and nobody waits for them.
  ::sigdelset(&signals_, SIGTERM);
  ::sigdelset(&signals_, SIGINT);
}

void StopSignal::Wait() {
  int signal = 0;
  ::sigwait(&signals_, &signal);
  try {
    // _exit takes no lock and runs no destructor: nothing that hangs can delay it.
    std::thread([] {
      std::this_thread::sleep_for(kDeadline);
      ::_exit(0);
    }).detach();
  } catch (const std::system_error& error) {
    // The system has no more threads. What does not hang still stops in order.
    std::fprintf(stderr, "This stop has no deadline: %s\n", error.what());
  }
  source_.request_stop();
}

}  // namespace dockercoins
