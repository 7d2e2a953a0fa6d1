// The byte-level BPE tokenizer of a GGUF file as tokenizer.json and tokenizer_config.json. GGUF keeps vocabulary,
// merges and kinds of tokens, but of the pre-tokenizer only a name (gguf_kind.h). A name that is not known is refused:
// with another pre-tokenizer the ids are silently worse.
#include <string_view>
#include <unordered_set>
#include <utility>

#include "base/check.h"
#include "tokenizer/gguf_kind.h"
#include "tokenizer/post_processor.h"
#include "tokenizer/tokenizer.h"

namespace nearplane {
namespace {

enum TokenType { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused };

std::string key(std::string_view name) { return fmt::format("tokenizer.ggml.{}", name); }

const Json& list_of(const Json& metadata, std::string_view name, const std::string& where) {
  const auto it = metadata.find(key(name));
  if (it == metadata.end() || !it->is_array()) fail_input(where, "key '{}' is missing or not an array", key(name));
  return *it;
}

struct Vocabulary {
  std::vector<std::string> texts;  // by id
  std::vector<int> types;
};

Vocabulary read_vocabulary(const Json& metadata, const std::string& where) {
  const auto& texts = list_of(metadata, "tokens", where);
  const auto& types = list_of(metadata, "token_type", where);
  if (texts.size() != types.size()) fail_input(where, "{} tokens have {} types", texts.size(), types.size());
  Vocabulary out;
  std::unordered_set<std::string_view> seen;
  for (std::size_t id = 0; id < texts.size(); ++id) {
    if (!texts[id].is_string()) fail_input(where, "token {} is not a string", id);
    if (!types[id].is_number_integer()) fail_input(where, "token {} has a type that is no integer", id);
    const auto& text = texts[id].get_ref<const std::string&>();
    if (!seen.insert(text).second) fail_input(where, "token {} '{}' is in the vocabulary twice", id, text);
    const auto type = types[id].get<std::int64_t>();
    if (type < kNormal || type > kUnused)
      fail_unsupported(where, "token {} '{}' has type {}, which a byte-level vocabulary does not have", id, text, type);
    out.texts.push_back(text);
    out.types.push_back(static_cast<int>(type));
  }
  return out;
}

// One of the special tokens that metadata name by id ("bos_token_id").
std::optional<Token> special_id(const Json& metadata, const std::string& name, std::size_t vocab,
                                const std::string& where) {
  const auto id = json_find<std::int64_t>(metadata, key(name), where);
  if (!id) return std::nullopt;
  if (*id < 0 || *id >= static_cast<std::int64_t>(vocab))
    fail_input(where, "'{}' is {}, the vocabulary has {} tokens", key(name), *id, vocab);
  return static_cast<Token>(*id);
}

Json byte_level() {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
}

const GgufKind& kind_of(const Json& metadata, const std::string& where) {
  const auto model = json_get<std::string>(metadata, key("model"), where);
  const auto pre = json_find<std::string>(metadata, key("pre"), where).value_or("(none)");
  for (const auto& kind : gguf_kinds())
    if (model == "gpt2" && pre == kind.pre) return kind;
  fail_unsupported(where, "tokenizer model '{}' with pre-tokenizer '{}' is not supported", model, pre);
}

// Control tokens, and those that a user put in, are found in text before anything else.
Json added_tokens(const Vocabulary& vocabulary) {
  Json list = Json::array();
  for (std::size_t id = 0; id < vocabulary.texts.size(); ++id) {
    const int type = vocabulary.types[id];
    if (type != kUnknown && type != kControl && type != kUserDefined) continue;
    list.push_back({{"id", id},
                    {"content", vocabulary.texts[id]},
                    {"single_word", false},
                    {"lstrip", false},
                    {"rstrip", false},
                    {"normalized", false},
                    {"special", type != kUserDefined}});
  }
  return list;
}

// BOS and EOS as one template; without them only what byte-level post-processing is (it moves offsets).
Json post_processor(const Json& metadata, const Vocabulary& vocabulary, bool add_bos, const std::string& where) {
  const auto tokens = [&](const char* flag, const char* name, bool by_default) -> std::vector<SpecialToken> {
    if (!json_find<bool>(metadata, key(flag), where).value_or(by_default)) return {};
    const auto id = special_id(metadata, name, vocabulary.texts.size(), where);
    if (!id) fail_input(where, "'{}' is set, and '{}' is missing", key(flag), key(name));
    return {{vocabulary.texts[static_cast<std::size_t>(*id)], *id}};
  };
  const auto before = tokens("add_bos_token", "bos_token_id", add_bos);
  const auto behind = tokens("add_eos_token", "eos_token_id", false);
  if (before.empty() && behind.empty()) return byte_level();
  return {{"type", "Sequence"}, {"processors", Json::array({byte_level(), template_json(before, behind)})}};
}

}  // namespace

Json tokenizer_json_from_gguf(const Json& metadata, const std::string& where) {
  const auto& kind = kind_of(metadata, where);
  if (json_find<bool>(metadata, key("add_space_prefix"), where).value_or(false))
    fail_unsupported(where, "'{}' is not supported with a byte-level vocabulary", key("add_space_prefix"));
  const auto vocabulary = read_vocabulary(metadata, where);
  Json vocab = Json::object();
  auto& entries = vocab.get_ref<Json::object_t&>();  // looking for each text in the ordered object would be quadratic
  entries.reserve(vocabulary.texts.size());
  for (std::size_t id = 0; id < vocabulary.texts.size(); ++id) entries.emplace_back(vocabulary.texts[id], id);
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added_tokens(vocabulary)},
          {"normalizer", kind.normalizer},
          {"pre_tokenizer", kind.pre_tokenizer},
          {"post_processor", post_processor(metadata, vocabulary, kind.add_bos, where)},
          {"decoder", byte_level()},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", kind.ignore_merges},
            {"vocab", std::move(vocab)},
            {"merges", list_of(metadata, "merges", where)}}}};
}

Json tokenizer_config_from_gguf(const Json& metadata, const std::string& where) {
  const auto& tokens = list_of(metadata, "tokens", where);
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"add_prefix_space", false},
                 {"clean_up_tokenization_spaces", false}};
  const std::pair<const char*, const char*> specials[] = {{"bos_token", "bos_token_id"},
                                                          {"eos_token", "eos_token_id"},
                                                          {"pad_token", "padding_token_id"},
                                                          {"unk_token", "unknown_token_id"}};
  for (const auto& [name, id_key] : specials)
    if (const auto id = special_id(metadata, id_key, tokens.size(), where))
      config[name] = tokens[static_cast<std::size_t>(*id)];
  if (const auto chat = json_find<std::string>(metadata, "tokenizer.chat_template", where))
    config["chat_template"] = *chat;
  return config;
}

}  // namespace nearplane
