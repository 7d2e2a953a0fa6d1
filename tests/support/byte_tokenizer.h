// A tokenizer for tests: one token per byte, so that windows can be checked by eye.
#pragma once

#include "tokenizer/tokenizer.h"

namespace nearplane {

class ByteTokenizer : public Tokenizer {
 public:
  std::vector<Token> encode(std::string_view text, bool) const override {
    std::vector<Token> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::vector<Token> encode_quoting(std::string_view text, std::span<const TextRange>) const override {
    return encode(text, false);
  }
  std::string decode(std::span<const Token> ids, bool) const override { return {ids.begin(), ids.end()}; }
  std::int64_t vocab_size() const override { return 256; }
  Token find(std::string_view) const override { return -1; }
};

}  // namespace nearplane
