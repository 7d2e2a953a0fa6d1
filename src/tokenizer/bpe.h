// Byte-pair encoding of one piece of text: characters to tokens, then merges (the "model" of tokenizer.json).
// Source: Sennrich, Haddow, Birch, "Neural machine translation of rare words with subword units", ACL 2016.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/json.h"
#include "tokenizer/merge_table.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace nearplane {

class Bpe {
 public:
  /// From the value of "model". Ids must be distinct and below vocabulary + `added_tokens`; every merge must be of
  /// tokens and give a token. Error{bad_input, unsupported}.
  Bpe(const Json& model, std::size_t added_tokens, const std::string& where);

  /// The tokens of all pieces, in order. Pieces are shared out among the threads.
  std::vector<Token> encode(PieceList list) const;

  /// -1 if there is none.
  Token find(std::string_view text) const;
  /// nullptr if the vocabulary has no such id.
  const std::string* text(Token id) const;
  std::size_t vocab_count() const { return ids_.size(); }
  /// One past the largest id.
  std::size_t id_end() const { return texts_.size(); }

 private:
  void read_vocab(const Json& model, std::size_t added_tokens);
  void read_merges(const Json& model);
  void add_merge(std::string_view left, std::string_view right, std::uint32_t rank);

  std::vector<Token> encode_batch(const PieceList& list, std::size_t begin, std::size_t end) const;
  void encode_piece(std::string_view piece, std::vector<Token>& symbols) const;
  void add_unknown(std::string_view character, std::vector<Token>& symbols, bool& pending) const;
  bool add_bytes(std::string_view character, std::vector<Token>& symbols) const;
  Token id_of(char32_t c, std::string_view character) const;

  /// Cuts long pieces where no merge can ever reach across.
  void cut_long_pieces(PieceList& list) const;
  bool inside_a_token(char32_t left, char32_t right) const;

  std::string where_;
  std::vector<std::string> texts_;                   // by id; empty text = no such id
  std::unordered_map<std::string_view, Token> ids_;  // views into texts_
  std::vector<Token> small_characters_;              // id by code point, for the frequent small ones; -1 = none
  std::vector<Token> bytes_;                         // ids of <0x00> .. <0xFF>, empty without byte fallback; -1 = none
  std::unique_ptr<MergeTable> merges_;
  Token unknown_ = -1;
  bool has_unknown_ = false, fuse_unknown_ = false, ignore_merges_ = false;

  mutable std::once_flag pairs_made_;
  mutable std::unordered_set<std::uint64_t> pairs_;  // neighbouring characters inside tokens
};

}  // namespace nearplane
