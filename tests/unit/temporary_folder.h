#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace dockercoins {

/// A folder that is removed at the end, with its contents.
class TemporaryFolder {
 public:
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  /// Writes a file, and makes its folders.
  void Write(const std::filesystem::path& name, std::string_view content) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << content;
  }

 private:
  std::string name_ = std::filesystem::temp_directory_path() / "dockercoins-unit-XXXXXX";
  std::filesystem::path path_ = ::mkdtemp(name_.data());
};

}  // namespace dockercoins
