#include "common/service/program.h"

#include <malloc.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <string_view>
#include <system_error>

#include "common/errors.h"
#include "common/log.h"
#include "common/service/admin_client.h"

namespace dockercoins {
namespace {

void PrintSettings(std::initializer_list<Setting> settings) {
  for (const auto& [name, default_value, text] : settings) {
    std::printf("  %-13s %s (%s)\n", name, text, *default_value == '\0' ? "unset" : default_value);
  }
}

void PrintHelp(const Program& program) {
  std::printf(
      "%s: %s\n\n"
      "Usage: %s [--help | --version | --healthcheck [URL] | --metrics]\n"
      "  --help             this text\n"
      "  --version          the version\n"
      "  --healthcheck      exit status 0 when the service that runs with the same environment is healthy, "
      "else 1\n"
      "  --healthcheck URL  exit status 0 when GET URL answers 2xx within a second, else 1\n"
      "  --metrics          that service's metrics, in Prometheus's text format\n\n"
      "Settings, from the environment (default):\n",
      program.name, program.summary, program.name);
  if (program.has_service_port) PrintSettings({setting::kPort});
  PrintSettings(program.settings);
  PrintSettings({setting::kBindAddress, setting::kAdminPort, setting::kIgnoreTerm, setting::kDebug});
}

/// The soft limit of open files is often 1,024: too few for a thousand waiting workers.
void RaiseFileLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// Whether all that was printed could be written.
int Printed() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    throw StartError(std::string("cannot write to stdout: ") + SystemText(errno));
  }
  return EXIT_SUCCESS;
}

/// glibc starts threads with clone3. It has a fallback where that is unknown, but not where it is forbidden.
std::string Explain(const std::system_error& error) {
  const bool forbidden = error.code() == std::errc::operation_not_permitted;
  return error.what() +
         std::string(forbidden ? ": the container is not allowed to start threads; use Docker 20.10.10 or "
                                 "newer, or --security-opt seccomp=unconfined"
                               : "");
}

int Run(const Program& program, int argc, char** argv, const std::function<void()>& serve) {
  const std::string_view flag = argc > 1 ? argv[1] : "";
  if (argc == 3 && flag == "--healthcheck") {
    CheckUrl(argv[2]);
    return EXIT_SUCCESS;
  }
  if (argc > 2) throw SettingError("at most one flag is expected; see --help");
  if (flag == "--help") {
    PrintHelp(program);
    return Printed();
  } else if (flag == "--version") {
    std::printf("%s (DockerCoins in C++) %s\n", program.name, DOCKERCOINS_VERSION);
    return Printed();
  } else if (flag == "--healthcheck") {
    CheckHealth(program.name, program.has_service_port ? ReadListenSettings() : ReadAdminSettings(),
                program.has_service_port);
  } else if (flag == "--metrics") {
    std::fputs(FetchMetrics(program.name, ReadAdminSettings()).c_str(), stdout);
    return Printed();
  } else if (argc == 2) {
    throw SettingError("unknown flag " + Escaped(flag) +
                       "; --help, --version, --healthcheck or --metrics is expected");
  } else {
    RaiseFileLimit();
    // One arena per thread would cost hasher megabytes. NOLINTNEXTLINE(concurrency-mt-unsafe): one thread.
    ::mallopt(M_ARENA_MAX, 1);
    serve();
  }
  return EXIT_SUCCESS;
}

}  // namespace

int RunProgram(const Program& program, int argc, char** argv, const std::function<void()>& serve) {
  constexpr int kBadSetting = 2;
  try {
    return Run(program, argc, argv, serve);
  } catch (const SettingError& error) {
    std::fprintf(stderr, "%s: %s\n", program.name, error.what());
    return kBadSetting;
  } catch (const std::system_error& error) {
    std::fprintf(stderr, "%s: %s\n", program.name, Explain(error).c_str());
    return EXIT_FAILURE;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", program.name, error.what());
    return EXIT_FAILURE;
  }
}

}  // namespace dockercoins
