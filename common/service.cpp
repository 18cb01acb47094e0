#include "common/service.h"

#include "common/admin_server.h"
#include "common/privileges.h"

namespace dockercoins {

void ServeHttp(const std::string& name, const ListenSettings& settings, const HttpServer::Options& options,
               HttpHandler& handler, Log& log, StopSignal& stop) {
  HttpServer server(Listen(settings.address, settings.port), options, handler, log);
  AdminServer admin(settings, log);
  DropPrivileges(log);

  server.Start();
  admin.Start();
  log.Line(name + " running on port " + std::to_string(server.port()));

  stop.Wait();
  admin.SetNotReady("the service is stopping");
  server.Stop();
}

}  // namespace dockercoins
