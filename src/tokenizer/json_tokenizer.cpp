// The tokenizer of a tokenizer.json file: added tokens, normalizer, pre-tokenizer, byte-pair encoding, frame; and back.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/decoder.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/post_processor.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace nearplane {
namespace {

const Json& part(const Json& json, const char* key) {
  static const Json null;
  const auto it = json.find(key);
  return it == json.end() ? null : *it;
}

// Metaspace puts its prefix before a text that starts where the whole one does, and to the reference one whose first
// characters a normalizer took away does not. We do not keep track of that.
void check_first_prefix(const Json& json, const std::string& where) {
  if (part(json, "pre_tokenizer").dump().find(R"("prepend_scheme":"first")") == std::string::npos) return;
  const auto normalizer = part(json, "normalizer").dump();
  for (const auto* removing : {R"("type":"Strip)", R"("type":"Replace")"})
    if (normalizer.find(removing) != std::string::npos)
      fail_unsupported(where, "prepend_scheme 'first' after a normalizer that can remove characters is not supported");
}

// The listed added tokens. A token of the vocabulary keeps its id, others are numbered on from it, and the ids in the
// file must say the same: a file where they do not was put together wrongly.
std::vector<AddedToken> read_added_tokens(const Json& list, const Bpe& bpe, const std::string& where) {
  std::vector<AddedToken> out;
  auto next = static_cast<Token>(bpe.vocab_count());
  std::unordered_map<std::string, Token> seen;
  for (const auto& json : list) {
    auto token = parse_added_token(json, where);
    const auto listed = json_get<std::int64_t>(json, "id", where);
    if (token.text.empty()) continue;  // as the reference does: it can match nothing
    token.id = bpe.find(token.text);
    if (token.id < 0) token.id = next++;
    if (listed != token.id)
      fail_input(where, "added token '{}' has id {}, by its place it must be {}", token.text, listed, token.id);
    if (!seen.emplace(token.text, token.id).second) fail_input(where, "added token '{}' is listed twice", token.text);
    out.push_back(std::move(token));
  }
  return out;
}

class JsonTokenizer : public Tokenizer {
 public:
  JsonTokenizer(const Json& json, const std::string& where)
      : normalizer_(make_normalizer(part(json, "normalizer"), where + ": normalizer")),
        pre_tokenizer_(make_pre_tokenizer(part(json, "pre_tokenizer"), where + ": pre_tokenizer")),
        decoder_(make_decoder(part(json, "decoder"), where + ": decoder")),
        frame_(parse_post_processor(part(json, "post_processor"), where + ": post_processor")),
        bpe_(part(json, "model"), part(json, "added_tokens").size(), where + ": model"),
        added_(read_added_tokens(part(json, "added_tokens"), bpe_, where + ": added_tokens"), *normalizer_) {
    end_ = static_cast<Token>(bpe_.id_end());
    for (const auto& token : added_.all()) end_ = std::max(end_, token.id + 1);
    for (Token id = 0; id < end_; ++id)
      if (text_of(id) == nullptr) fail_input(where, "no token has id {}, and ids go up to {}", id, end_ - 1);
    for (const auto* side : {&frame_.before, &frame_.behind})
      for (const Token id : *side)
        if (id >= end_) fail_input(where, "post_processor puts in token {}, ids go up to {}", id, end_ - 1);
  }

  std::vector<Token> encode(std::string_view text, bool add_special) const override {
    std::vector<Token> out;
    if (add_special) out = frame_.before;
    append(added_.split(replace_invalid_utf8(text), {}), out);
    if (add_special) out.insert(out.end(), frame_.behind.begin(), frame_.behind.end());
    return out;
  }

  std::vector<Token> encode_quoting(std::string_view text, std::span<const TextRange> quoted) const override {
    std::vector<Token> out;
    append(added_.split(text, quoted), out);
    return out;
  }

  // Ids that stand for nothing (a model's output may be padded beyond the vocabulary) give no text.
  std::string decode(std::span<const Token> ids, bool skip_special) const override {
    std::vector<std::string> parts;
    for (const Token id : ids) {
      const auto* added = added_.find(id);
      if (skip_special && added != nullptr && added->special) continue;
      if (added != nullptr && added->normalized) {
        parts.push_back(normalizer_->apply(added->text));
      } else if (const auto* text = text_of(id)) {
        parts.push_back(*text);
      }
    }
    decoder_->apply(parts);
    std::string out;
    for (const auto& text : parts) out += text;
    return out;
  }

  std::int64_t vocab_size() const override { return end_; }

  Token find(std::string_view token) const override {
    const auto* added = added_.find(token);
    return added != nullptr ? added->id : bpe_.find(token);
  }

 private:
  void append(std::vector<Segment> segments, std::vector<Token>& out) const {
    for (auto& segment : segments) {
      if (segment.token >= 0) {
        out.push_back(segment.token);
      } else {
        const auto ids = encode_segment(std::move(segment));
        out.insert(out.end(), ids.begin(), ids.end());
      }
    }
  }
  std::vector<Token> encode_segment(Segment segment) const {
    PieceList list{std::move(segment.text), {}};
    if (list.text.empty()) return {};
    list.pieces.push_back({0, list.text.size(), segment.first});
    pre_tokenizer_->apply(list);
    return bpe_.encode(std::move(list));
  }
  const std::string* text_of(Token id) const {
    const auto* added = added_.find(id);
    return added != nullptr ? &added->text : bpe_.text(id);
  }

  std::unique_ptr<Normalizer> normalizer_;
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
  std::unique_ptr<Decoder> decoder_;
  SpecialFrame frame_;
  Bpe bpe_;
  AddedTokens added_;
  Token end_ = 0;
};

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_json(const Json& json, const std::string& where) {
  if (!json.is_object()) fail_input(where, "expected a JSON object");
  if (!part(json, "added_tokens").is_null() && !part(json, "added_tokens").is_array())
    fail_input(where, "key 'added_tokens' is not a list");
  check_first_prefix(json, where);
  return std::make_unique<JsonTokenizer>(json, where);
}

}  // namespace nearplane
