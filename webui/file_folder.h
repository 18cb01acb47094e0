#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "common/unique_fd.h"

namespace dockercoins {

/// A file that is open for reading, with the size that it had when it was opened.
struct OpenFile {
  UniqueFd fd;
  uint64_t size = 0;
};

/// A folder whose files are served, and nothing outside of it.
///
/// It is opened once: what its path means may change, or be out of reach once root is given up, and the files
/// stay readable. Thread-safe.
class FileFolder {
 public:
  /// Throws StartError when there is no such folder.
  explicit FileFolder(const std::filesystem::path& path);

  /// Opens the regular file at `relative_path`. Nothing when there is none, or when `..` or a symbolic link
  /// leads out of the folder. (Not openat2 and RESOLVE_BENEATH: Linux before 5.6 and some sandboxes lack it.)
  [[nodiscard]] std::optional<OpenFile> Open(std::string_view relative_path) const;

 private:
  UniqueFd folder_;
};

/// The media type for a file's name, by its ending; "application/octet-stream" for an unknown one.
std::string_view MediaType(std::string_view name);

}  // namespace dockercoins
