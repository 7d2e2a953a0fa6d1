#include "tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "tokenizer/regex.h"
#include "tokenizer/unicode.h"
#include "tokenizer/utf8.h"

namespace nearplane {
namespace {

// Bytes of white space at the end / the start of a text.
std::size_t trailing_space(std::string_view text) {
  std::size_t end_of_rest = 0;
  for (std::size_t at = 0; at < text.size();)
    if (!is_white_space(next_code_point(text, at))) end_of_rest = at;
  return text.size() - end_of_rest;
}

std::size_t leading_space(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t start = at;
    if (!is_white_space(next_code_point(text, at))) return start;
  }
  return text.size();
}

bool is_word(std::string_view character) {
  static const Regex word(R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}])", "word character");
  std::vector<Match> matches;
  word.find_all(character, matches);
  return !matches.empty();
}

bool ends_with_word(std::string_view text) {
  std::size_t start = text.size();
  while (start > 0 && (static_cast<unsigned char>(text[--start]) & 0xc0) == 0x80) continue;
  return !text.empty() && is_word(text.substr(start));
}

bool starts_with_word(std::string_view text) {
  if (text.empty()) return false;
  std::size_t at = 0;
  next_code_point(text, at);
  return is_word(text.substr(0, at));
}

// Do bytes [begin, end) and one of the ascending ranges overlap?
bool touches(std::span<const TextRange> ranges, std::size_t begin, std::size_t end) {
  const auto it = std::ranges::upper_bound(ranges, begin, {}, &TextRange::end);
  return it != ranges.end() && it->begin < end;
}

}  // namespace

AddedToken parse_added_token(const Json& json, const std::string& where) {
  AddedToken token;
  token.text = json_get<std::string>(json, "content", where);
  token.special = json_find<bool>(json, "special", where).value_or(false);
  token.normalized = json_find<bool>(json, "normalized", where).value_or(!token.special);
  token.single_word = json_find<bool>(json, "single_word", where).value_or(false);
  token.lstrip = json_find<bool>(json, "lstrip", where).value_or(false);
  token.rstrip = json_find<bool>(json, "rstrip", where).value_or(false);
  return token;
}

void AddedTokens::Trie::add(std::string_view text, std::size_t index) {
  starts_[static_cast<unsigned char>(text[0])] = true;
  std::uint32_t node = 0;
  for (const char c : text) {
    const auto [it, is_new] = children_.try_emplace(key(node, c), static_cast<std::uint32_t>(index_.size()));
    if (is_new) index_.push_back(-1);
    node = it->second;
  }
  index_[node] = static_cast<std::int64_t>(index);
}

std::pair<std::size_t, std::size_t> AddedTokens::Trie::longest(std::string_view text, std::size_t at) const {
  std::pair<std::size_t, std::size_t> best{0, 0};
  if (!starts_[static_cast<unsigned char>(text[at])]) return best;
  std::uint32_t node = 0;
  for (std::size_t i = at; i < text.size(); ++i) {
    const auto it = children_.find(key(node, text[i]));
    if (it == children_.end()) break;
    node = it->second;
    if (index_[node] >= 0) best = {i + 1 - at, static_cast<std::size_t>(index_[node])};
  }
  return best;
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalizer& normalizer)
    : tokens_(std::move(tokens)), normalizer_(normalizer) {
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const auto& token = tokens_[i];
    by_id_.emplace(token.id, i);
    by_text_.emplace(token.text, i);
    const auto looked_for = token.normalized ? normalizer.apply(token.text) : token.text;
    if (!looked_for.empty()) (token.normalized ? normalized_ : raw_).add(looked_for, i);
  }
}

std::vector<AddedTokens::Found> AddedTokens::find_all(std::string_view text, const Trie& trie,
                                                      std::span<const TextRange> quoted) const {
  std::vector<Found> out;
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto [length, index] = trie.longest(text, at);
    if (length == 0 || touches(quoted, at, at + length)) {
      ++at;
      continue;
    }
    std::size_t begin = at, end = at + length;
    at = end;
    const auto& token = tokens_[index];
    if (token.single_word && (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) continue;
    if (token.lstrip) begin = std::max(begin - trailing_space(text.substr(done, begin - done)), done);
    if (token.rstrip) end += leading_space(text.substr(end));
    if (done < begin) out.push_back({done, begin, -1});
    out.push_back({begin, end, token.id});
    done = end;
  }
  if (done < text.size()) out.push_back({done, text.size(), -1});
  return out;
}

std::vector<Segment> AddedTokens::split(std::string_view text, std::span<const TextRange> quoted) const {
  std::vector<Segment> out;
  for (const auto& raw : find_all(text, raw_, quoted)) {
    if (raw.token >= 0) {
      out.push_back({raw.token, {}, raw.begin == 0});
      continue;
    }
    std::string part = normalizer_.apply(std::string(text.substr(raw.begin, raw.end - raw.begin)));
    const TextRange all{0, part.size()};
    const auto quoted_part = std::span(&all, touches(quoted, raw.begin, raw.end) ? 1 : 0);
    auto found = find_all(part, normalized_, quoted_part);
    if (found.size() == 1 && found[0].token < 0) {
      out.push_back({-1, std::move(part), raw.begin == 0});
      continue;
    }
    for (const auto& [begin, end, token] : found)
      out.push_back({token, token < 0 ? part.substr(begin, end - begin) : std::string(), raw.begin + begin == 0});
  }
  return out;
}

const AddedToken* AddedTokens::find(Token id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : &tokens_[it->second];
}

const AddedToken* AddedTokens::find(std::string_view text) const {
  const auto it = by_text_.find(std::string(text));
  return it == by_text_.end() ? nullptr : &tokens_[it->second];
}

}  // namespace nearplane
