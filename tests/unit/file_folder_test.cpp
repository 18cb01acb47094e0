#include "webui/file_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "common/settings.h"
#include "tests/unit/temporary_folder.h"

namespace dockercoins {
namespace {

/// A folder "files" with files in it, and a secret beside it.
class Files : public TemporaryFolder {
 public:
  Files() {
    Write("secret.txt", "secret");
    Write("files/index.html", "<html>");
    Write("files/empty.txt", "");
    Write("files/deep/er/style.css", "body {}");
    Write("files/with space & %41.txt", "odd");
  }
};

class FileFolderTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::filesystem::path root() const { return files_.path() / "files"; }

  void Link(const std::filesystem::path& target, const std::string& name) const {
    std::filesystem::create_symlink(target, root() / name);
  }

  /// The file's content; "none" when there is no such file.
  [[nodiscard]] std::string Read(std::string_view path) const {
    const auto opened = folder_.Open(path);
    if (!opened) return "none";
    std::string content(opened->size + 1, '\0');
    const ssize_t count = ::pread(opened->fd.get(), content.data(), content.size(), 0);
    EXPECT_EQ(count, static_cast<ssize_t>(opened->size)) << path;
    content.resize(opened->size);
    return content;
  }

 private:
  const Files files_;
  const FileFolder folder_{root()};
};

TEST_F(FileFolderTest, OpensItsFiles) {
  EXPECT_EQ(Read("index.html"), "<html>");
  EXPECT_EQ(Read("empty.txt"), "");
  EXPECT_EQ(Read("deep/er/style.css"), "body {}");
  EXPECT_EQ(Read("deep/../index.html"), "<html>");
  EXPECT_EQ(Read("with space & %41.txt"), "odd");
}

TEST_F(FileFolderTest, HasNoOtherFiles) {
  for (const char* path :
       {"nowhere", "", ".", "deep", "deep/er/", "index.html/", "index.html/x", "INDEX.HTML", "index.htm"}) {
    EXPECT_EQ(Read(path), "none") << path;
  }
}

TEST_F(FileFolderTest, HasNoWayOut) {
  const std::string absolute = (root().parent_path() / "secret.txt").string();
  for (const std::string& path : {std::string("../secret.txt"), std::string("deep/../../secret.txt"),
                                  std::string("./../secret.txt"), std::string("../files/index.html"),
                                  absolute, "/" + absolute, std::string("/etc/passwd"), std::string("..")}) {
    EXPECT_EQ(Read(path), "none") << path;
  }
}

TEST_F(FileFolderTest, FollowsNoLinkThatLeadsOut) {
  const std::filesystem::path secret = root().parent_path() / "secret.txt";
  Link("../secret.txt", "relative");
  Link(secret, "absolute");
  Link("..", "parent");
  Link("/", "root");
  Link("relative", "chain");
  Link(root() / "index.html", "absolute-into-it");
  Link("/proc/self/root", "magic");
  for (const std::string& path :
       {std::string("relative"), std::string("absolute"), std::string("parent/secret.txt"),
        "root" + secret.string(), std::string("chain"), std::string("absolute-into-it"),
        "magic" + secret.string()}) {
    EXPECT_EQ(Read(path), "none") << path;
  }
}

TEST_F(FileFolderTest, FollowsLinksThatStayInside) {
  Link("index.html", "start.html");
  Link("../index.html", "deep/up.html");
  EXPECT_EQ(Read("start.html"), "<html>");
  EXPECT_EQ(Read("deep/up.html"), "<html>");
}

TEST_F(FileFolderTest, OpensRegularFilesOnlyAndNeverWaitsForOne) {
  ASSERT_EQ(::mkfifo((root() / "pipe").c_str(), 0600), 0);
  Link("/dev/zero", "zero");
  EXPECT_EQ(Read("pipe"), "none");
  EXPECT_EQ(Read("zero"), "none");
}

TEST_F(FileFolderTest, TakesNoPathWithANul) {
  EXPECT_EQ(Read(std::string_view("index.html\0", 11)), "none");
  EXPECT_EQ(Read(std::string_view("index.html\0.png", 15)), "none");
}

TEST_F(FileFolderTest, TakesNoPathThatIsTooLong) {
  EXPECT_EQ(Read(std::string(300, 'a')), "none");
  EXPECT_EQ(Read(std::string(8000, '/') + "index.html"), "none");
}

TEST_F(FileFolderTest, SeesFilesThatComeAndGo) {
  EXPECT_EQ(Read("new.txt"), "none");
  std::ofstream(root() / "new.txt") << "new";
  EXPECT_EQ(Read("new.txt"), "new");
  std::filesystem::remove(root() / "new.txt");
  EXPECT_EQ(Read("new.txt"), "none");
}

TEST_F(FileFolderTest, KeepsTheFolderThatItWasGiven) {
  std::filesystem::rename(root(), root().parent_path() / "moved");
  EXPECT_EQ(Read("index.html"), "<html>");
}

TEST_F(FileFolderTest, SaysWhichFolderIsMissing) {
  for (const std::filesystem::path& path : {root() / "nowhere", root() / "index.html"}) {
    try {
      const FileFolder folder(path);
      ADD_FAILURE() << path;
    } catch (const StartError& error) {
      EXPECT_TRUE(
          std::string_view(error.what()).starts_with("cannot open the folder " + path.string() + ": "))
          << error.what();
    }
  }
}

TEST(MediaTypeTest, GoesByTheEnding) {
  EXPECT_EQ(MediaType("/index.html"), "text/html; charset=utf-8");
  EXPECT_EQ(MediaType("style.css"), "text/css; charset=utf-8");
  EXPECT_EQ(MediaType("app.js"), "text/javascript; charset=utf-8");
  EXPECT_EQ(MediaType("words.mjs"), "text/javascript; charset=utf-8");
  EXPECT_EQ(MediaType("data.json"), "application/json; charset=utf-8");
  EXPECT_EQ(MediaType("favicon.svg"), "image/svg+xml");
  EXPECT_EQ(MediaType("a.png"), "image/png");
  EXPECT_EQ(MediaType("favicon.ico"), "image/x-icon");
  EXPECT_EQ(MediaType("dygraph.min.js"), "text/javascript; charset=utf-8");
  EXPECT_EQ(MediaType("readme.txt"), "text/plain; charset=utf-8");
  EXPECT_EQ(MediaType("font.woff2"), "font/woff2");
}

TEST(MediaTypeTest, IsBytesForTheUnknown) {
  for (const char* name : {"", "README", "html", "a.html.bak", "a.unknown", "json/x"}) {
    EXPECT_EQ(MediaType(name), "application/octet-stream") << name;
  }
}

}  // namespace
}  // namespace dockercoins
