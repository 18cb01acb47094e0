// A file of its own, because glibc's tcp_info is not yet as long as the kernel's.
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/unit/sockets.h"

namespace dockercoins {

uint32_t PacketsReceived(const UniqueFd& fd) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  Require(::getsockopt(fd.get(), IPPROTO_TCP, TCP_INFO, &info, &size) == 0, "getsockopt");
  return info.tcpi_data_segs_in;
}

}  // namespace dockercoins
