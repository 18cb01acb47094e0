#include "common/process_stats.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <memory>
#include <string_view>

#include "common/unique_fd.h"

namespace dockercoins {
namespace {

std::chrono::nanoseconds CpuTime() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

/// The second number of /proc/self/statm, in pages (proc(5)).
std::optional<uint64_t> ResidentBytes() {
  const UniqueFd file(::open("/proc/self/statm", O_RDONLY | O_CLOEXEC));
  std::array<char, 128> buffer{};
  const ssize_t size = file ? ::read(file.get(), buffer.data(), buffer.size()) : -1;
  if (size <= 0) return std::nullopt;
  std::string_view text(buffer.data(), static_cast<size_t>(size));
  text.remove_prefix(std::min(text.find(' ') + 1, text.size()));
  uint64_t pages = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), pages).ec != std::errc()) return std::nullopt;
  return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

std::optional<uint64_t> OpenFds() {
  const std::unique_ptr<DIR, CloseFolder> folder(::opendir("/proc/self/fd"));
  if (!folder) return std::nullopt;
  uint64_t count = 0;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread reads this folder.
  while (const dirent* entry = ::readdir(folder.get())) {
    if (entry->d_name[0] != '.') ++count;
  }
  // Without the one that reads them.
  return count - 1;
}

}  // namespace

ProcessStats ReadProcessStats() {
  return {.cpu_time = CpuTime(), .resident_bytes = ResidentBytes(), .open_fds = OpenFds()};
}

}  // namespace dockercoins
