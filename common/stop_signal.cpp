#include "common/stop_signal.h"

#include <pthread.h>
#include <sys/time.h>
#include <unistd.h>

namespace dockercoins {
namespace {

/// The contract allows a second, of which 0.5 s go to the request in service.
constexpr itimerval kDeadline = {.it_interval = {}, .it_value = {.tv_sec = 0, .tv_usec = 800'000}};

}  // namespace

StopSignal::StopSignal() {
  ::sigemptyset(&signals_);
  ::sigaddset(&signals_, SIGTERM);
  ::sigaddset(&signals_, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

void StopSignal::Wait() {
  int signal = 0;
  ::sigwait(&signals_, &signal);
  // _exit takes no lock and runs no destructor, and a timer needs no thread: nothing that hangs or is used up
  // can hold it up.
  std::signal(SIGALRM, [](int) { ::_exit(0); });
  ::setitimer(ITIMER_REAL, &kDeadline, nullptr);
  source_.request_stop();
}

}  // namespace dockercoins
