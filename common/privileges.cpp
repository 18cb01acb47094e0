#include "common/privileges.h"

#include <grp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace dockercoins {

void DropPrivileges(Log& log) {
  constexpr uid_t kUser = 65532;
  constexpr gid_t kGroup = 65532;
  if (::geteuid() != 0) return;
  // Groups first: after setuid nobody may change them.
  if (::setgroups(0, nullptr) != 0 || ::setresgid(kGroup, kGroup, kGroup) != 0 ||
      ::setresuid(kUser, kUser, kUser) != 0) {
    log.Warning("Running on as root, could not become user 65532: " + std::string(std::strerror(errno)));
  }
}

}  // namespace dockercoins
