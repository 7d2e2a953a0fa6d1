// SentencePiece keeps pieces and scores; the Llama tokenizer of Hugging Face makes merges of them: whatever two pieces
// put together are a piece, may merge, pieces of small id first. Source: sentencepiece_model.proto (for the fields that
// the library does not tell) and the behaviour of transformers 5.
#include "tokenizer/sentencepiece_model.h"

#include <sentencepiece_processor.h>

#include <unordered_map>
#include <utility>

#include "base/atomic_file.h"
#include "base/check.h"
#include "tokenizer/post_processor.h"
#include "tokenizer/utf8.h"

namespace nearplane {
namespace {

constexpr const char* kSpace = "\u2581";

// A field of a protocol buffers message: a number, or bytes (a text or a message).
struct Field {
  std::uint64_t id = 0, number = 0;
  std::string_view bytes;
};

// Walks over the fields of a message. The library has parsed the same bytes before; what fails here is not for it.
class Fields {
 public:
  Fields(std::string_view message, const std::string& where) : rest_(message), where_(where) {}

  bool next(Field& out) {
    if (rest_.empty()) return false;
    const auto tag = varint();
    out = {tag >> 3, 0, {}};
    const auto type = tag & 7;
    if (type == 0) {
      out.number = varint();
    } else {
      out.bytes = take(type == 1 ? 8 : type == 5 ? 4 : type == 2 ? varint() : rest_.size() + 1);
    }
    return true;
  }

 private:
  std::string_view take(std::uint64_t size) {
    if (size > rest_.size()) fail_input(where_, "a field ends beyond its message");
    const auto out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return out;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail_input(where_, "a number of more than 64 bits");
  }
  std::string_view rest_;
  const std::string& where_;
};

// What the library does not tell, with the defaults of the format.
struct Hidden {
  std::uint64_t model_type = 1;
  bool charsmap = false, dummy_prefix = true, remove_extra_spaces = true;
  std::vector<std::uint64_t> types;  // of the pieces
};

Hidden read_hidden(std::string_view model, const std::string& where) {
  constexpr std::uint64_t kNormal = 1;
  Hidden out;
  Field part, field;
  for (Fields parts(model, where); parts.next(part);) {
    if (part.id == 1) out.types.push_back(kNormal);
    if (part.id > 3) continue;
    for (Fields fields(part.bytes, where); fields.next(field);) {
      if (part.id == 1 && field.id == 3) out.types.back() = field.number;
      if (part.id == 2 && field.id == 3) out.model_type = field.number;
      if (part.id == 3 && field.id == 2) out.charsmap = !field.bytes.empty();
      if (part.id == 3 && field.id == 3) out.dummy_prefix = field.number != 0;
      if (part.id == 3 && field.id == 4) out.remove_extra_spaces = field.number != 0;
    }
  }
  return out;
}

// The Llama tokenizer takes nothing of this from the file: where it is not as expected, the two read a text
// differently.
void check_hidden(const Hidden& hidden, bool prefix_space, const std::string& where) {
  if (hidden.model_type != 2)
    fail_unsupported(where, "model type {} is not supported (2, byte-pair encoding, is)", hidden.model_type);
  if (hidden.charsmap) fail_unsupported(where, "a model that normalizes its text is not supported");
  if (hidden.remove_extra_spaces) fail_unsupported(where, "a model that removes extra white space is not supported");
  if (hidden.dummy_prefix != prefix_space)
    fail_unsupported(where, "the model's add_dummy_prefix is {}, tokenizer_config.json's add_prefix_space {}",
                     hidden.dummy_prefix, prefix_space);
}

using Ids = std::unordered_map<std::string_view, std::int64_t>;

Json make_merges(const std::vector<std::string>& pieces, const Ids& ids) {
  Json merges = Json::array();
  for (const std::string_view piece : pieces) {
    std::size_t at = 0;
    if (piece.empty()) continue;
    for (next_code_point(piece, at); at < piece.size(); next_code_point(piece, at))
      if (const auto left = piece.substr(0, at), right = piece.substr(at); ids.contains(left) && ids.contains(right))
        merges.push_back(Json::array({left, right}));
  }
  return merges;
}

// "bos_token" and its like are a text or an added token; null or missing means the default, which is empty for none.
std::string special_text(const Json& config, const char* name, const char* otherwise, const std::string& where) {
  const auto it = config.find(name);
  if (it == config.end()) return otherwise;
  if (it->is_object()) return json_get<std::string>(*it, "content", where);
  return json_find<std::string>(config, name, where).value_or("");
}

// The list "added_tokens": texts that are one token wherever they stand.
class AddedList {
 public:
  AddedList(const Ids& ids, std::string where) : ids_(ids), where_(std::move(where)), next_(std::ssize(ids)) {}

  void add(const std::string& text, bool special) {
    if (text.empty() || added_.contains(text)) return;
    insert(text, {{"content", text}, {"special", special}, {"normalized", false}}, std::nullopt);
  }
  void add_decoder(const Json& decoder) {
    if (!decoder.is_object()) fail_input(where_, "key 'added_tokens_decoder' is not an object");
    for (const auto& [key, token] : decoder.items()) {
      const auto text = json_get<std::string>(token, "content", where_);
      if (added_.contains(text)) fail_input(where_, "added token '{}' is listed twice", text);
      insert(text, token, key);
    }
  }
  std::int64_t id(const std::string& text) const { return added_.at(text); }
  Json list() const { return list_; }

 private:
  void insert(const std::string& text, const Json& token, const std::optional<std::string>& listed) {
    const auto it = ids_.find(text);
    const auto id = it != ids_.end() ? it->second : next_++;
    if (listed && *listed != std::to_string(id))
      fail_input(where_, "added token '{}' has id {}, by its place it must be {}", text, *listed, id);
    added_[text] = id;
    list_.push_back(token);
    list_.back()["id"] = id;
  }
  const Ids& ids_;
  std::string where_;
  std::int64_t next_;
  std::unordered_map<std::string, std::int64_t> added_;
  Json list_ = Json::array();
};

Json make_decoder_json(bool prefix_space) {
  Json parts = {{{"type", "Replace"}, {"pattern", {{"String", kSpace}}}, {"content", " "}},
                {{"type", "ByteFallback"}},
                {{"type", "Fuse"}}};
  if (prefix_space) parts.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", std::move(parts)}};
}

std::vector<std::string> read_pieces(std::string_view bytes, const std::string& where) {
  sentencepiece::SentencePieceProcessor processor;
  const auto status = processor.LoadFromSerializedProto({bytes.data(), bytes.size()});
  if (!status.ok()) fail_input(where, "is not a SentencePiece model: {}", status.ToString());
  std::vector<std::string> pieces;
  for (int id = 0; id < processor.GetPieceSize(); ++id) pieces.push_back(processor.IdToPiece(id));
  return pieces;
}

void check_class(const Json& config, const std::string& where) {
  const auto name = json_find<std::string>(config, "tokenizer_class", where).value_or("LlamaTokenizer");
  if (name != "LlamaTokenizer" && name != "LlamaTokenizerFast")
    fail_unsupported(where, "tokenizer class '{}' with tokenizer.model is not supported", name);
  if (const auto it = config.find("sp_model_kwargs"); it != config.end() && !it->empty())
    fail_unsupported(where, "sp_model_kwargs {} are not supported", it->dump());
}

}  // namespace

Json tokenizer_json_from_sentencepiece(const std::filesystem::path& model, const Json& config) {
  const auto where = model.string();
  const auto config_where = (model.parent_path() / "tokenizer_config.json").string();
  const auto flag = [&](const char* name, bool otherwise) {
    return json_find<bool>(config, name, config_where).value_or(otherwise);
  };
  check_class(config, config_where);
  const auto bytes = read_file(model);
  const auto pieces = read_pieces(bytes, where);
  const auto hidden = read_hidden(bytes, where);
  const bool prefix_space = flag("add_prefix_space", true);
  check_hidden(hidden, prefix_space, where);
  if (hidden.types.size() != pieces.size())
    fail_input(where, "has {} pieces, of which {} are read", hidden.types.size(), pieces.size());

  Json vocab = Json::object();
  auto& entries = vocab.get_ref<Json::object_t&>();  // looking for each text in the ordered object would be quadratic
  Ids ids;
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    entries.emplace_back(pieces[id], id);
    ids.emplace(pieces[id], static_cast<std::int64_t>(id));
  }
  constexpr std::uint64_t kControl = 3, kUserDefined = 4;
  AddedList added(ids, config_where);
  if (const auto it = config.find("added_tokens_decoder"); it != config.end()) added.add_decoder(*it);
  const auto bos = special_text(config, "bos_token", "<s>", config_where);
  const auto eos = special_text(config, "eos_token", "</s>", config_where);
  for (const auto& text : {bos, eos, special_text(config, "unk_token", "<unk>", config_where),
                           special_text(config, "pad_token", "", config_where)})
    added.add(text, true);
  for (std::size_t id = 0; id < pieces.size(); ++id)
    if (hidden.types[id] == kControl || hidden.types[id] == kUserDefined)
      added.add(pieces[id], hidden.types[id] == kControl);

  std::vector<SpecialToken> before, behind;
  if (flag("add_bos_token", true) && !bos.empty()) before.push_back({bos, added.id(bos)});
  if (flag("add_eos_token", false) && !eos.empty()) behind.push_back({eos, added.id(eos)});
  const char* scheme = !prefix_space ? "never" : flag("legacy", false) ? "always" : "first";
  return {
      {"version", "1.0"},
      {"added_tokens", added.list()},
      {"pre_tokenizer", {{"type", "Metaspace"}, {"replacement", kSpace}, {"prepend_scheme", scheme}, {"split", false}}},
      {"post_processor", template_json(before, behind)},
      {"decoder", make_decoder_json(prefix_space)},
      {"model",
       {{"type", "BPE"},
        {"fuse_unk", true},
        {"byte_fallback", true},
        {"vocab", std::move(vocab)},
        {"merges", make_merges(pieces, ids)}}}};
}

}  // namespace nearplane
