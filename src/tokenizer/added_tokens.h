// Added tokens: texts that become one token wherever they stand in a text, before anything else looks at it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/tokenizer.h"

namespace nearplane {

struct AddedToken {
  Token id = -1;
  std::string text;         // as written in the file
  bool special = false;     // left out of decoded text
  bool normalized = false;  // looked for in the normalized text, in its own normalized form
  bool single_word = false, lstrip = false, rstrip = false;
};

/// One entry of "added_tokens" (or of tokenizer_config.json's "added_tokens_decoder", where `id` is the key).
AddedToken parse_added_token(const Json& json, const std::string& where);

/// A part of a text: a token, or text that is still to be encoded.
struct Segment {
  Token token;       // -1: text
  std::string text;  // normalized
  bool first;        // starts where the whole text starts
};

class AddedTokens {
 public:
  /// Contents must be distinct. The normalizer must live as long as this.
  AddedTokens(std::vector<AddedToken> tokens, const Normalizer& normalizer);

  /// Cuts `text` (valid UTF-8) at added tokens, leftmost and longest first, and normalizes the rest. A token that
  /// touches a range of `quoted` is none; one that is looked for in normalized text, where ranges are lost, is none in
  /// a part that touches one.
  std::vector<Segment> split(std::string_view text, std::span<const TextRange> quoted) const;
  const AddedToken* find(Token id) const;
  const AddedToken* find(std::string_view text) const;
  const std::vector<AddedToken>& all() const { return tokens_; }

 private:
  // A trie over bytes. Node 0 is the root.
  class Trie {
   public:
    void add(std::string_view text, std::size_t index);
    /// Length and index of the longest text that starts at `at`; length 0 if there is none.
    std::pair<std::size_t, std::size_t> longest(std::string_view text, std::size_t at) const;

   private:
    static std::uint64_t key(std::uint32_t node, char c) {
      return static_cast<std::uint64_t>(node) << 8 | static_cast<unsigned char>(c);
    }
    std::unordered_map<std::uint64_t, std::uint32_t> children_;
    std::vector<std::int64_t> index_{-1};
    bool starts_[256] = {};
  };
  struct Found {
    std::size_t begin, end;
    Token token;  // -1: between tokens
  };
  std::vector<Found> find_all(std::string_view text, const Trie& trie, std::span<const TextRange> quoted) const;

  std::vector<AddedToken> tokens_;
  const Normalizer& normalizer_;
  Trie raw_, normalized_;
  std::unordered_map<Token, std::size_t> by_id_;
  std::unordered_map<std::string, std::size_t> by_text_;
};

}  // namespace nearplane
