#include "tokenizer/gguf_vocabulary.h"

#include <algorithm>
#include <unordered_map>

#include "base/check.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/gguf_kind.h"
#include "tokenizer/post_processor.h"

namespace nearplane {
namespace {

constexpr std::int32_t kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5;

const Json& part(const Json& json, const char* key) {
  static const Json null;
  const auto it = json.find(key);
  return it == json.end() ? null : *it;
}

// A part of tokenizer.json without what does not change ids, defaults filled in.
Json plain(const Json& json) {
  if (json.is_array()) {
    auto out = Json::array();
    for (const auto& element : json) out.push_back(plain(element));
    return out;
  }
  if (!json.is_object()) return json;
  std::map<std::string, Json> fields;  // sorted: order means nothing
  for (const auto& [key, value] : json.items())
    if (key != "trim_offsets") fields[key] = plain(value);
  if (part(json, "type") == "ByteLevel") fields.emplace("use_regex", true);
  Json out = Json::object();
  for (auto& [key, value] : fields) out[key] = std::move(value);
  return out;
}

const GgufKind& kind_of(const Json& json, const std::string& where) {
  const auto ignore_merges = json_find<bool>(part(json, "model"), "ignore_merges", where).value_or(false);
  const auto normalizer = plain(part(json, "normalizer")), pre = plain(part(json, "pre_tokenizer"));
  for (const auto& kind : gguf_kinds())
    if (plain(kind.normalizer) == normalizer && plain(kind.pre_tokenizer) == pre && kind.ignore_merges == ignore_merges)
      return kind;
  fail_unsupported(where,
                   "its pre-tokenizer has no name in GGUF files that is known here (smollm, llama-bpe, qwen2 and "
                   "gpt2 are)");
}

struct Vocabulary {
  std::vector<std::string> texts;
  std::vector<std::int32_t> types;
  std::unordered_map<std::string, Token> ids;

  void put(std::int64_t id, const std::string& text, std::int32_t type, const std::string& where) {
    if (id < 0 || id >= std::ssize(texts))
      fail_input(where, "token '{}' has id {}, the embedding has {} rows", text, id, texts.size());
    const auto i = static_cast<std::size_t>(id);
    if (types[i] != kUnused && texts[i] != text) fail_input(where, "id {} is both '{}' and '{}'", id, texts[i], text);
    texts[i] = text, types[i] = type;
    ids[text] = static_cast<Token>(id);
  }
};

Vocabulary read_vocabulary(const Json& json, std::int64_t rows, const std::string& where) {
  const auto& listed = part(part(json, "model"), "vocab");
  if (!listed.is_object()) fail_input(where, "key 'vocab' is missing or not an object");
  Vocabulary out;
  for (std::int64_t id = 0; id < rows; ++id) out.texts.push_back(fmt::format("[PAD{}]", id));
  out.types.assign(out.texts.size(), kUnused);
  for (const auto& [text, id] : listed.items()) {
    if (!id.is_number_integer()) fail_input(where, "token '{}' has an id that is no integer", text);
    out.put(id.get<std::int64_t>(), text, kNormal, where);
  }
  for (const auto& entry : part(json, "added_tokens")) {
    const auto token = parse_added_token(entry, where);
    if (token.lstrip || token.rstrip || token.single_word)
      fail_unsupported(where, "added token '{}' takes white space or words into account, in GGUF none does",
                       token.text);
    out.put(json_get<std::int64_t>(entry, "id", where), token.text, token.special ? kControl : kUserDefined, where);
  }
  return out;
}

// "a b", as GGUF and older files have it; newer ones have ["a", "b"].
std::vector<std::string> read_merges(const Json& json, const std::string& where) {
  std::vector<std::string> out;
  for (const auto& merge : part(part(json, "model"), "merges")) {
    if (merge.is_string())
      out.push_back(merge.get<std::string>());
    else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
      out.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
    else
      fail_input(where, "merge {} is not two tokens", out.size());
  }
  return out;
}

// The id of "eos_token" and its like in tokenizer_config.json: a text or an added token.
std::optional<Token> special(const Json& config, const char* name, const Vocabulary& vocabulary,
                             const std::string& where) {
  const auto& entry = part(config, name);
  if (entry.is_null()) return std::nullopt;
  const auto text =
      entry.is_object() ? json_get<std::string>(entry, "content", where) : json_get<std::string>(config, name, where);
  const auto it = vocabulary.ids.find(text);
  if (it == vocabulary.ids.end()) fail_input(where, "{} '{}' is not in the vocabulary", name, text);
  return it->second;
}

// chat_template.jinja, else the template of tokenizer_config.json, of several the one called default.
std::optional<std::string> chat_template(const std::filesystem::path& folder, const Json& config) {
  if (const auto file = folder / "chat_template.jinja"; exists(file)) return read_file(file);
  const auto& entry = part(config, "chat_template");
  if (entry.is_string()) return entry.get<std::string>();
  for (const auto& named : entry)
    if (part(named, "name") == "default" && part(named, "template").is_string())
      return named["template"].get<std::string>();
  return std::nullopt;
}

// Whether `side` puts in the token `id` (true) or nothing (false).
bool frames(const std::vector<Token>& side, std::optional<Token> id, const char* name, const std::string& where) {
  if (side.empty()) return false;
  if (side.size() != 1 || side[0] != id)
    fail_unsupported(where, "its post_processor puts in other tokens than {}, which GGUF cannot say", name);
  return true;
}

}  // namespace

void add_gguf_tokenizer(const std::filesystem::path& folder, std::int64_t rows, std::span<const std::int64_t> ends,
                        GgufMetadata& out) {
  const auto file = folder / "tokenizer.json", config_file = folder / "tokenizer_config.json";
  const auto where = file.string();
  if (!exists(file)) fail_unsupported(folder.string(), "has no tokenizer.json to take a GGUF vocabulary from");
  const auto json = read_json(file), config = exists(config_file) ? read_json(config_file) : Json::object();
  if (part(part(json, "model"), "type") != "BPE") fail_unsupported(where, "only byte-level BPE has a known GGUF form");
  const auto& kind = kind_of(json, where);
  const auto vocabulary = read_vocabulary(json, rows, where);
  const auto frame = parse_post_processor(part(json, "post_processor"), where + ": post_processor");
  const auto find = [&](const char* name) { return special(config, name, vocabulary, config_file.string()); };
  const auto bos = find("bos_token"), eos = find("eos_token");
  out.string("tokenizer.ggml.model", "gpt2");
  out.string("tokenizer.ggml.pre", kind.pre);
  out.strings("tokenizer.ggml.tokens", vocabulary.texts);
  out.i32s("tokenizer.ggml.token_type", vocabulary.types);
  out.strings("tokenizer.ggml.merges", read_merges(json, where));
  const auto id = [&](const char* name, std::optional<Token> token) {
    if (token) out.u32(fmt::format("tokenizer.ggml.{}_token_id", name), static_cast<std::uint32_t>(*token));
  };
  const auto other = std::ranges::find_if(ends, [&](std::int64_t end) { return end != eos; });
  if (other != ends.end()) id(eos ? "eot" : "eos", static_cast<Token>(*other));
  id("bos", bos), id("eos", eos), id("padding", find("pad_token")), id("unknown", find("unk_token"));
  out.boolean("tokenizer.ggml.add_bos_token", frames(frame.before, bos, "bos_token", where));
  out.boolean("tokenizer.ggml.add_eos_token", frames(frame.behind, eos, "eos_token", where));
  out.boolean("tokenizer.ggml.add_space_prefix", false);
  if (const auto text = chat_template(folder, config)) out.string("tokenizer.chat_template", *text);
}

}  // namespace nearplane
