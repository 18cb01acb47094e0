#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "common/log.h"
#include "common/unique_fd.h"

namespace dockercoins {

/// A file open for reading, and its size when it was opened.
struct OpenFile {
  UniqueFd fd;
  uint64_t size = 0;
};

/// A folder whose files are served, and nothing outside it.
///
/// It is opened once: its files stay readable when its path changes, or is out of reach after root is given
/// up. Thread-safe.
class FileFolder {
 public:
  /// `log` must outlive this. Throws StartError if there is no such folder, or no /proc.
  FileFolder(std::filesystem::path path, Log& log);

  /// Opens the regular file at `relative_path`. Nothing if there is none, if `..` is in the path, or if a
  /// symbolic link leads out of the folder. (Not openat2 and RESOLVE_BENEATH: Linux before 5.6 and some
  /// sandboxes lack it.) Nothing, too, if it cannot be read: a warning in the log, one for each file, has the
  /// reason.
  [[nodiscard]] std::optional<OpenFile> Open(std::string_view relative_path) const;

 private:
  /// Warns, once for each path, unless `error` says that there is no such file.
  void Explain(std::string_view relative_path, int error) const;

  const std::filesystem::path path_;
  Log& log_;
  UniqueFd folder_;
  mutable std::mutex mutex_;
  mutable std::set<std::string, std::less<>> warned_of_;  ///< Under mutex_: at most kMostWarnings paths.
};

/// The media type of a file name, by its extension; "application/octet-stream" for an unknown one.
std::string_view MediaType(std::string_view name);

}  // namespace dockercoins
