#include "webui/file_folder.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "common/settings.h"
#include "tests/unit/captured_log.h"
#include "tests/unit/file_limit.h"
#include "tests/unit/temporary_folder.h"

namespace dockercoins {
namespace {

TEST(FileFolderTest, KeepsTheFolderThatItOpenedWhateverItsPathBecomes) {
  const TemporaryFolder above;
  above.Write("files/index.html", "<html>");
  CapturedLog log;
  const FileFolder folder(above.path() / "files", log.log());
  std::filesystem::rename(above.path() / "files", above.path() / "moved");
  ASSERT_TRUE(folder.Open("index.html"));
  EXPECT_EQ(folder.Open("index.html")->size, 6U);
  for (const char* missing : {"files", "moved/index.html"}) {
    EXPECT_THROW(FileFolder(above.path() / missing, log.log()), StartError) << missing;
  }
}

TEST(FileFolderTest, WarnsOfAFileThatCannotBeReadOnceAndOfAHundredAtMost) {
  const TemporaryFolder files;
  CapturedLog log;
  const FileFolder folder(files.path(), log.log());
  EXPECT_FALSE(folder.Open("missing"));
  {
    const FileLimit none_left(LowestFreeDescriptor());
    for (int i = 0; i < 300; ++i) EXPECT_FALSE(folder.Open("./" + std::to_string(i % 150)));
  }
  const auto lines = log.Lines();
  ASSERT_EQ(lines.size(), 100U);
  EXPECT_EQ(lines[7], "WARNING:test:Cannot read " + (files.path() / "7").string() + ": Too many open files");
}

TEST(MediaTypeTest, FollowsTheExtension) {
  const std::string bytes = "application/octet-stream";
  for (const auto& [name, type] :
       std::map<std::string, std::string>{{"style.css", "text/css; charset=utf-8"},
                                          {"a.gif", "image/gif"},
                                          {"/index.html", "text/html; charset=utf-8"},
                                          {"favicon.ico", "image/x-icon"},
                                          {"a.jpg", "image/jpeg"},
                                          {"dygraph.min.js", "text/javascript; charset=utf-8"},
                                          {"data.json", "application/json; charset=utf-8"},
                                          {"app.js.map", "application/json; charset=utf-8"},
                                          {"words.mjs", "text/javascript; charset=utf-8"},
                                          {"a.png", "image/png"},
                                          {"favicon.svg", "image/svg+xml"},
                                          {"readme.txt", "text/plain; charset=utf-8"},
                                          {"app.webmanifest", "application/manifest+json"},
                                          {"a.webp", "image/webp"},
                                          {"font.woff2", "font/woff2"},
                                          {"html", bytes},
                                          {"a.html.bak", bytes}}) {
    EXPECT_EQ(MediaType(name), type) << name;
  }
}

}  // namespace
}  // namespace dockercoins
