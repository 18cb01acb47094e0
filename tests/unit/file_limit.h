#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <stdexcept>

namespace dockercoins {

/// Sets the process's limit of open files to `files` while this exists. UBSan needs one when it first meets a
/// type, so a test with a low limit uses its types before.
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
