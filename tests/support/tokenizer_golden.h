// The golden texts of tests/golden/tokenizer and what a tokenizer must make of them (make_tokenizer_goldens.py).
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace nearplane {

inline const std::filesystem::path kTokenizerGolden = NEARPLANE_SOURCE_DIR "/tests/golden/tokenizer";

inline std::string from_hex(const std::string& hex) {
  std::string out;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    out.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}

/// FNV-1a over ids, its low 32 bits.
inline std::string hash_of_ids(const std::vector<Token>& ids) {
  std::uint64_t h = 0xcbf29ce484222325;
  for (const Token id : ids) h = (h ^ static_cast<std::uint64_t>(id)) * 0x100000001b3;
  char out[9];
  std::snprintf(out, sizeof out, "%08x", static_cast<unsigned>(h));
  return out;
}

inline void expect_written(const Tokenizer& tokenizer, const Json& texts, const Json& expected) {
  for (const auto& [group, list] : texts["written"].items())
    for (std::size_t i = 0; i < list.size(); ++i) {
      const auto& want = expected["written"][group][i];
      const auto text = list[i].get<std::string>();
      const auto ids = tokenizer.encode(text, true);
      EXPECT_EQ(ids, want["ids"].get<std::vector<Token>>()) << group << " " << i << ": " << text;
      const auto decoded = want.contains("decoded") ? want["decoded"].get<std::string>() : text;
      EXPECT_EQ(replace_invalid_utf8(tokenizer.decode(ids, true)), decoded) << group << " " << i;
    }
}

inline void expect_random(const Tokenizer& tokenizer, const Json& texts, const Json& expected) {
  for (const auto* kind : {"bytes", "characters"}) {
    const auto hashes = expected["hashes"][kind].get<std::string>();
    ASSERT_EQ(hashes.size(), 8 * texts[kind].size());
    for (std::size_t i = 0; i < texts[kind].size(); ++i) {
      const auto hex = texts[kind][i].get<std::string>();
      const auto ids = tokenizer.encode(from_hex(hex), true);
      EXPECT_EQ(hash_of_ids(ids), hashes.substr(8 * i, 8))
          << kind << " " << i << ": " << hex << ": " << testing::PrintToString(ids);
    }
  }
}

}  // namespace nearplane
