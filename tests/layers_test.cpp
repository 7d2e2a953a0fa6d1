// The arrows between folders are those of src/layers.txt: every #include of every source file is held against it.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace nearplane {
namespace {

namespace fs = std::filesystem;
const fs::path kRoot = NEARPLANE_SOURCE_DIR;

std::map<std::string, int> read_layers() {
  std::map<std::string, int> layer;
  std::ifstream file(kRoot / "src/layers.txt");
  int depth = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    for (std::string word; words >> word;) layer[word] = depth;
    ++depth;
  }
  return layer;
}

struct Include {
  std::string file, target;
  bool quoted;
};

// The target of an #include line, with its delimiters; empty for any other line.
std::string include_target(std::string line) {
  std::erase_if(line, [](char c) { return c == ' ' || c == '\t'; });
  if (!line.starts_with("#include")) return {};
  const auto begin = line.find_first_of("<\""), end = line.find_last_of(">\"");
  return begin < end && end != std::string::npos ? line.substr(begin, end + 1 - begin) : std::string();
}

std::vector<Include> includes_below(const fs::path& folder) {
  std::vector<Include> out;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const auto kind = entry.path().extension();
    if (kind != ".cpp" && kind != ".h" && kind != ".cu" && kind != ".cuh") continue;
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);)
      if (const auto target = include_target(line); !target.empty())
        out.push_back(
            {fs::relative(entry.path(), kRoot).string(), target.substr(1, target.size() - 2), target[0] == '"'});
  }
  return out;
}

std::string first_part(const std::string& path) { return path.substr(0, path.find('/')); }

bool is_test(const std::string& file) { return file.ends_with("_test.cpp"); }

TEST(Layers, EveryFolderIsListedAndEveryListedFolderExists) {
  const auto layers = read_layers();
  ASSERT_GT(layers.size(), 10u);
  for (const auto& entry : fs::directory_iterator(kRoot / "src"))
    if (entry.is_directory()) {
      EXPECT_TRUE(layers.contains(entry.path().filename())) << entry.path();
    }
  for (const auto& [name, depth] : layers) EXPECT_TRUE(fs::is_directory(kRoot / "src" / name)) << name;
}

TEST(Layers, NoIncludeGoesSidewaysOrUp) {
  const auto layers = read_layers();
  int checked = 0;
  for (const auto& include : includes_below(kRoot / "src")) {
    const auto from = first_part(include.file.substr(std::string("src/").size())), to = first_part(include.target);
    if (!layers.contains(to) || from == to) continue;
    ++checked;
    EXPECT_LT(layers.at(to), layers.at(from)) << include.file << " includes " << include.target;
  }
  EXPECT_GT(checked, 100);  // the pattern still finds them
}

TEST(Layers, QuotedIncludesNameTheirFolder) {
  const auto layers = read_layers();
  for (const auto& include : includes_below(kRoot / "src")) {
    if (!include.quoted || is_test(include.file)) continue;
    EXPECT_TRUE(layers.contains(first_part(include.target)) || include.target.starts_with("nearplane/"))
        << include.file << " includes " << include.target;
  }
}

TEST(Layers, ThePublicHeadersIncludeOnlyTheStandardLibraryAndEachOther) {
  for (const auto& include : includes_below(kRoot / "include"))
    EXPECT_TRUE(include.quoted ? include.target.starts_with("nearplane/")
                               : include.target.find_first_of("/.") == std::string::npos)
        << include.file << " includes " << include.target;
}

TEST(Layers, TheProgramSeesOnlyThePublicHeaders) {
  for (const auto& include : includes_below(kRoot / "apps"))
    EXPECT_TRUE(!include.quoted || include.target.starts_with("nearplane/") ||
                include.target.find('/') == std::string::npos)
        << include.file << " includes " << include.target;
}

// scripts/gpu-check builds it with the CUDA toolkit and a compiler alone.
TEST(Layers, DeviceCodeNeedsNoLibrary) {
  const std::string plain[] = {"base/rng.h", "codec/trellis_machine.h", "codec/tuple_core.h", "tensor/half.h"};
  for (const auto& include : includes_below(kRoot / "src/kernel/cuda")) {
    if (is_test(include.file)) continue;
    EXPECT_TRUE(include.quoted
                    ? include.target.starts_with("kernel/cuda/") ||
                          std::find(std::begin(plain), std::end(plain), include.target) != std::end(plain)
                    : include.target.find_first_of("/.") == std::string::npos || include.target.starts_with("cuda_"))
        << include.file << " includes " << include.target;
  }
  for (const auto& file : plain)
    for (const auto& include : includes_below(kRoot / "src"))
      if (include.file == "src/" + file && include.quoted) {
        EXPECT_NE(std::find(std::begin(plain), std::end(plain), include.target), std::end(plain))
            << include.file << " includes " << include.target;
      }
}

}  // namespace
}  // namespace nearplane
