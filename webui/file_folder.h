#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

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
  /// Throws StartError if there is no such folder, or no /proc.
  explicit FileFolder(const std::filesystem::path& path);

  /// Opens the regular file at `relative_path`. Nothing if there is none, if `..` is in the path, or if a
  /// symbolic link leads out of the folder. (Not openat2 and RESOLVE_BENEATH: Linux before 5.6 and some
  /// sandboxes lack it.)
  [[nodiscard]] std::optional<OpenFile> Open(std::string_view relative_path) const;

 private:
  UniqueFd folder_;
};

/// The media type of a file name, by its extension; "application/octet-stream" for an unknown one.
std::string_view MediaType(std::string_view name);

}  // namespace dockercoins
