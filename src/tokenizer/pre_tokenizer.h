// Pre-tokenizers of tokenizer.json: they cut a text into the pieces that are encoded one by one.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"

namespace nearplane {

struct Piece {
  std::size_t begin, end;  // bytes of PieceList::text
  bool first;              // starts where the whole text that is encoded starts
};

/// A text and the pieces of it that are left, in order; parts that belong to no piece are dropped.
struct PieceList {
  std::string text;  // valid UTF-8
  std::vector<Piece> pieces;

  std::string_view view(const Piece& piece) const {
    return std::string_view(text).substr(piece.begin, piece.end - piece.begin);
  }
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  /// Cuts every piece further, or rewrites the text. Thread-safe. No piece comes out empty.
  virtual void apply(PieceList& list) const = 0;
};

/// From the value of "pre_tokenizer"; null gives one that changes nothing. Error{unsupported} names an unknown type.
std::unique_ptr<PreTokenizer> make_pre_tokenizer(const Json& json, const std::string& where);

}  // namespace nearplane
