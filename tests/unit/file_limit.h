#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <stdexcept>

namespace dockercoins {

/// Gives the process room for `files` descriptors, as long as this lives. With few of them, UBSan has none
/// for a look at a class that it has not seen yet: a test lets it see them before.
class FileLimit {
 public:
  explicit FileLimit(rlim_t files) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit now{.rlim_cur = files, .rlim_max = before_.rlim_max};
    if (::setrlimit(RLIMIT_NOFILE, &now) != 0) throw std::runtime_error("too few descriptors are allowed");
  }
  FileLimit(const FileLimit&) = delete;
  FileLimit& operator=(const FileLimit&) = delete;
  ~FileLimit() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

/// The number that the next descriptor gets.
inline rlim_t LowestFreeDescriptor() {
  const int fd = ::dup(STDIN_FILENO);
  ::close(fd);
  return static_cast<rlim_t>(fd);
}

}  // namespace dockercoins
