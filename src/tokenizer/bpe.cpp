#include "tokenizer/bpe.h"

#include <algorithm>
#include <cassert>

#include "base/check.h"
#include "base/threads.h"
#include "tokenizer/utf8.h"

namespace nearplane {
namespace {

constexpr std::size_t kBatch = 8192;     // pieces a task encodes with one cache of words
constexpr std::size_t kLongPiece = 256;  // bytes; shorter ones are not worth cutting
constexpr char32_t kSmall = 0x3000;      // code points looked up by index: a few KiB, all alphabets

std::uint64_t pair_key(char32_t left, char32_t right) { return static_cast<std::uint64_t>(left) << 32 | right; }

}  // namespace

Bpe::Bpe(const Json& model, std::size_t added_tokens, const std::string& where) : where_(where) {
  if (!model.is_object()) fail_input(where, "expected an object");
  const auto type = json_find<std::string>(model, "type", where).value_or("BPE");
  if (type != "BPE") fail_unsupported(where, "model type '{}' is not supported", type);
  if (json_find<double>(model, "dropout", where).value_or(0) != 0)
    fail_unsupported(where, "dropout is not supported: ids would be random");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!json_find<std::string>(model, key, where).value_or("").empty())
      fail_unsupported(where, "{} is not supported", key);
  read_vocab(model, added_tokens);
  read_merges(model);
  fuse_unknown_ = json_find<bool>(model, "fuse_unk", where).value_or(false);
  ignore_merges_ = json_find<bool>(model, "ignore_merges", where).value_or(false);
  if (const auto unknown = json_find<std::string>(model, "unk_token", where)) {
    has_unknown_ = true;
    unknown_ = find(*unknown);
  }
  if (json_find<bool>(model, "byte_fallback", where).value_or(false))
    for (int b = 0; b < 256; ++b) bytes_.push_back(find(fmt::format("<0x{:02X}>", b)));
}

void Bpe::read_vocab(const Json& model, std::size_t added_tokens) {
  const auto vocab = model.find("vocab");
  if (vocab == model.end() || !vocab->is_object()) fail_input(where_, "key 'vocab' is not an object");
  const std::size_t limit = vocab->size() + added_tokens;
  texts_.resize(limit);
  std::size_t end = 0;
  for (const auto& [text, value] : vocab->items()) {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() >= limit)
      fail_input(where_, "token '{}' has id {}: ids must go from 0 to {} without holes", text, value.dump(), limit - 1);
    const auto id = value.get<std::size_t>();
    if (text.empty()) fail_input(where_, "token {} has no text", id);
    if (!texts_[id].empty()) fail_input(where_, "tokens '{}' and '{}' have the same id {}", texts_[id], text, id);
    texts_[id] = text;
    end = std::max(end, id + 1);
  }
  texts_.resize(end);
  ids_.reserve(vocab->size());
  small_characters_.assign(kSmall, -1);
  for (std::size_t id = 0; id < end; ++id) {
    if (texts_[id].empty()) continue;
    ids_.emplace(texts_[id], static_cast<Token>(id));
    std::size_t at = 0;
    const char32_t c = next_code_point(texts_[id], at);
    if (at == texts_[id].size() && c < kSmall) small_characters_[c] = static_cast<Token>(id);
  }
}

void Bpe::read_merges(const Json& model) {
  const auto merges = model.find("merges");
  if (merges == model.end() || !merges->is_array()) fail_input(where_, "key 'merges' is not a list");
  merges_ = std::make_unique<MergeTable>(merges->size());
  std::uint32_t rank = 0;
  for (const auto& merge : *merges) {
    if (merge.is_string()) {
      const auto& line = merge.get_ref<const std::string&>();
      if (line.starts_with("#version")) continue;
      const auto space = line.find(' ');
      if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos)
        fail_input(where_, "merge {} '{}' is not of two tokens", rank, line);
      add_merge(std::string_view(line).substr(0, space), std::string_view(line).substr(space + 1), rank++);
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      add_merge(merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>(), rank++);
    } else {
      fail_input(where_, "merge {} is not of two tokens: {}", rank, merge.dump());
    }
  }
}

void Bpe::add_merge(std::string_view left, std::string_view right, std::uint32_t rank) {
  const auto need = [&](std::string_view text) {
    const Token id = find(text);
    if (id < 0) fail_input(where_, "merge {} '{} {}': '{}' is not in the vocabulary", rank, left, right, text);
    return id;
  };
  const Token first = need(left), second = need(right);
  merges_->set(first, second, rank, need(std::string(left).append(right)));
}

Token Bpe::find(std::string_view text) const {
  const auto it = ids_.find(text);
  return it == ids_.end() ? -1 : it->second;
}

const std::string* Bpe::text(Token id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= texts_.size() || texts_[static_cast<std::size_t>(id)].empty())
    return nullptr;
  return &texts_[static_cast<std::size_t>(id)];
}

Token Bpe::id_of(char32_t c, std::string_view character) const {
  return c < kSmall ? small_characters_[c] : find(character);
}

std::vector<Token> Bpe::encode(PieceList list) const {
  cut_long_pieces(list);
  const std::size_t batches = (list.pieces.size() + kBatch - 1) / kBatch;
  std::vector<std::vector<Token>> parts(batches);
  parallel_for(static_cast<std::int64_t>(batches), [&](std::int64_t i) {
    const std::size_t begin = static_cast<std::size_t>(i) * kBatch;
    parts[static_cast<std::size_t>(i)] = encode_batch(list, begin, std::min(begin + kBatch, list.pieces.size()));
  });
  std::vector<Token> out;
  for (const auto& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

std::vector<Token> Bpe::encode_batch(const PieceList& list, std::size_t begin, std::size_t end) const {
  struct Range {
    std::size_t begin, end;
  };
  std::unordered_map<std::string_view, Range> seen;  // where in `out` a word was encoded first
  seen.reserve((end - begin) / 2);
  std::vector<Token> out, symbols;
  out.reserve(2 * (end - begin));
  for (std::size_t i = begin; i < end; ++i) {
    const auto piece = list.view(list.pieces[i]);
    const auto [it, is_new] = seen.try_emplace(piece);
    if (is_new) {
      encode_piece(piece, symbols);
      it->second = {out.size(), out.size() + symbols.size()};
      out.insert(out.end(), symbols.begin(), symbols.end());
    } else {
      for (std::size_t k = it->second.begin; k < it->second.end; ++k) out.push_back(out[k]);
    }
  }
  return out;
}

void Bpe::encode_piece(std::string_view piece, std::vector<Token>& symbols) const {
  symbols.clear();
  if (ignore_merges_)
    if (const Token id = find(piece); id >= 0) return symbols.push_back(id);
  bool pending = false;  // an unknown character that is not written yet: the next one may join it
  for (std::size_t at = 0; at < piece.size();) {
    const std::size_t start = at;
    const char32_t c = next_code_point(piece, at);
    const auto character = piece.substr(start, at - start);
    if (const Token id = id_of(c, character); id >= 0) {
      if (pending) symbols.push_back(unknown_);
      pending = false;
      symbols.push_back(id);
    } else if (!add_bytes(character, symbols)) {
      add_unknown(character, symbols, pending);
    }
  }
  if (pending) symbols.push_back(unknown_);
  merge_symbols(*merges_, symbols);
}

// All bytes of the character as byte tokens; false if one of them is missing.
bool Bpe::add_bytes(std::string_view character, std::vector<Token>& symbols) const {
  if (bytes_.empty()) return false;
  const auto id = [&](char c) { return bytes_[static_cast<unsigned char>(c)]; };
  if (std::any_of(character.begin(), character.end(), [&](char c) { return id(c) < 0; })) return false;
  for (const char c : character) symbols.push_back(id(c));
  return true;
}

// Without an unknown token the reference drops the character, and so do we.
void Bpe::add_unknown(std::string_view character, std::vector<Token>& symbols, bool& pending) const {
  if (!has_unknown_) return;
  if (unknown_ < 0) fail_input(where_, "'{}' needs the unknown token, and the vocabulary does not have it", character);
  if (pending && !fuse_unknown_) symbols.push_back(unknown_);
  pending = true;
}

// Two characters that are tokens and stand side by side in no token are never merged into one: every result of a merge
// is a token, and its text would contain the pair. So the pieces left and right of such a place are encoded as if the
// other were not there. Texts of tokenizers without pre-tokenizer (one piece per text) become words this way.
void Bpe::cut_long_pieces(PieceList& list) const {
  if (ignore_merges_ || std::none_of(list.pieces.begin(), list.pieces.end(),
                                     [](const Piece& piece) { return piece.end - piece.begin > kLongPiece; }))
    return;
  std::vector<Piece> out;
  out.reserve(list.pieces.size());
  for (const auto& piece : list.pieces) {
    std::size_t begin = piece.begin;
    char32_t left = 0;
    bool left_known = false;
    for (std::size_t at = piece.end - piece.begin > kLongPiece ? begin : piece.end; at < piece.end;) {
      const std::size_t start = at;
      const char32_t c = next_code_point(list.text, at);
      const bool known = id_of(c, std::string_view(list.text).substr(start, at - start)) >= 0;
      if (left_known && known && !inside_a_token(left, c)) {
        out.push_back({begin, start, piece.first && begin == piece.begin});
        begin = start;
      }
      left = c;
      left_known = known;
    }
    out.push_back({begin, piece.end, piece.first && begin == piece.begin});
  }
  list.pieces = std::move(out);
}

bool Bpe::inside_a_token(char32_t left, char32_t right) const {
  std::call_once(pairs_made_, [this] {
    for (const auto& text : texts_) {
      if (text.empty()) continue;
      std::size_t at = 0;
      for (char32_t before = next_code_point(text, at); at < text.size();) {
        const char32_t c = next_code_point(text, at);
        pairs_.insert(pair_key(before, c));
        before = c;
      }
    }
  });
  return pairs_.contains(pair_key(left, right));
}

}  // namespace nearplane
