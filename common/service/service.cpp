#include "common/service/service.h"

#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "common/errors.h"
#include "common/service/access_log.h"
#include "common/service/admin_server.h"

namespace dockercoins {
namespace {

/// Becomes user and group 65532 (the "nonroot" of distroless images) when started as root, so that port 80
/// can be bound first; otherwise does nothing. Where the system forbids it, `log` says why and the process
/// continues. Changes all threads; call it from one.
void DropPrivileges(Log& log) {
  constexpr uid_t kUser = 65532;
  constexpr gid_t kGroup = 65532;
  if (::geteuid() != 0) return;
  int parent_death_signal = 0;  // 0: none
  ::prctl(PR_GET_PDEATHSIG, &parent_death_signal);
  // Groups first: after setuid nobody may change them.
  if (::setgroups(0, nullptr) != 0 || ::setresgid(kGroup, kGroup, kGroup) != 0 ||
      ::setresuid(kUser, kUser, kUser) != 0) {
    log.Warning("Still running as root, could not become user 65532: " + SystemText(errno));
  }
  // The kernel clears it when the user changes, and scripts/up depends on it.
  ::prctl(PR_SET_PDEATHSIG, parent_death_signal);
}

}  // namespace

std::string Hostname() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

void ServeHttp(const std::string& name, const ListenSettings& settings, const HttpServer::Options& options,
               const Routes& routes, Metrics& metrics, Log& log, StopSignal& stop, Tracer* tracer) {
  const HttpMetrics http_metrics(metrics);
  const AccessLog access_log(log, http_metrics);
  HttpServer::Options recorded = options;
  recorded.record = [&access_log, tracer](const RequestRecord& record) {
    access_log.Write(record);
    if (tracer != nullptr) TraceRequest(record, *tracer);
  };
  recorded.waiting = http_metrics.Waiting();
  HttpServer server(Listen(settings.address, settings.port), recorded, routes, log);
  AdminServer admin(settings, metrics, log);
  DropPrivileges(log);

  server.Start();
  admin.Start();
  log.Line(name + " running on port " + std::to_string(server.port()));

  stop.Wait();
  admin.SetNotReady(kStopping);
  server.Stop();
}

}  // namespace dockercoins
