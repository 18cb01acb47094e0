#include "common/service.h"

#include "common/admin_server.h"
#include "common/http_metrics.h"
#include "common/privileges.h"

namespace dockercoins {

void ServeHttp(const std::string& name, const ListenSettings& settings, const HttpServer::Options& options,
               const Routes& routes, Metrics& metrics, Log& log, StopSignal& stop) {
  const HttpMetrics http_metrics(metrics, routes);
  HttpServer::Options counted = options;
  counted.metrics = &http_metrics;
  HttpServer server(Listen(settings.address, settings.port), counted, routes, log);
  AdminServer admin(settings, metrics, log);
  DropPrivileges(log);

  server.Start();
  admin.Start();
  log.Line(name + " running on port " + std::to_string(server.port()));

  stop.Wait();
  admin.SetNotReady("the service is stopping");
  server.Stop();
}

}  // namespace dockercoins
