#include "webui/file_folder.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "common/errors.h"

namespace dockercoins {
namespace {

/// Where the open file `fd` can be found in /proc, whatever its path has become (proc(5)).
std::filesystem::path ProcPath(const UniqueFd& fd) { return "/proc/self/fd/" + std::to_string(fd.get()); }

/// Whether `path` has a `..` among its names.
bool GoesUp(const std::filesystem::path& path) { return std::ranges::find(path, "..") != path.end(); }

/// True when `file` lies in `folder` or below it now, whichever way it was reached.
bool IsBelow(const UniqueFd& file, const UniqueFd& folder) {
  std::error_code error;
  const auto path = std::filesystem::read_symlink(ProcPath(file), error);
  const auto above = std::filesystem::read_symlink(ProcPath(folder), error);
  return !error && std::ranges::mismatch(above, path).in1 == above.end();
}

/// Whether `error`, of an open, says that there is no such file.
bool IsMissing(int error) {
  return error == ENOENT || error == ENOTDIR || error == ELOOP || error == ENAMETOOLONG;
}

/// Below a folder that may not be searched every name is a file that cannot be read.
constexpr size_t kMostWarnings = 100;

}  // namespace

FileFolder::FileFolder(std::filesystem::path path, Log& log)
    : path_(std::move(path)), log_(log), folder_(::open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
  if (!folder_) throw StartError("cannot open the folder " + path_.string() + ": " + SystemText(errno));
  std::error_code error;
  (void)std::filesystem::read_symlink(ProcPath(folder_), error);
  if (error) throw StartError("cannot read /proc/self/fd: " + error.message());
}

std::optional<OpenFile> FileFolder::Open(std::string_view relative_path) const {
  if (relative_path.find('\0') != std::string_view::npos || relative_path.starts_with('/') ||
      GoesUp(relative_path)) {
    return std::nullopt;
  }
  // O_PATH: what turns out to lie elsewhere, or to be no file, is not even opened.
  const UniqueFd found(::openat(folder_.get(), std::string(relative_path).c_str(), O_PATH | O_CLOEXEC));
  struct stat status{};
  if (!found || ::fstat(found.get(), &status) != 0) {
    Explain(relative_path, errno);
    return std::nullopt;
  }
  if (!IsBelow(found, folder_) || !S_ISREG(status.st_mode)) return std::nullopt;
  UniqueFd fd(::open(ProcPath(found).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    Explain(relative_path, errno);
    return std::nullopt;
  }
  return OpenFile{.fd = std::move(fd), .size = static_cast<uint64_t>(status.st_size)};
}

void FileFolder::Explain(std::string_view relative_path, int error) const {
  if (IsMissing(error)) return;
  const std::string path = path_ / std::filesystem::path(relative_path).lexically_normal();
  const std::lock_guard lock(mutex_);
  if (warned_of_.size() < kMostWarnings && warned_of_.insert(path).second) {
    log_.Warning("Cannot read " + path + ": " + SystemText(error));
  }
}

std::string_view MediaType(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 15> kTypes = {{
      {".css", "text/css; charset=utf-8"},
      {".gif", "image/gif"},
      {".html", "text/html; charset=utf-8"},
      {".ico", "image/x-icon"},
      {".jpg", "image/jpeg"},
      {".js", "text/javascript; charset=utf-8"},
      {".json", "application/json; charset=utf-8"},
      {".map", "application/json; charset=utf-8"},
      {".mjs", "text/javascript; charset=utf-8"},
      {".png", "image/png"},
      {".svg", "image/svg+xml"},
      {".txt", "text/plain; charset=utf-8"},
      {".webmanifest", "application/manifest+json"},
      {".webp", "image/webp"},
      {".woff2", "font/woff2"},
  }};
  for (const auto& [ending, type] : kTypes) {
    if (name.ends_with(ending)) return type;
  }
  return "application/octet-stream";
}

}  // namespace dockercoins
