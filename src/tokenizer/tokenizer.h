// Text <-> token ids, identical to the Hugging Face tokenizer of the model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "container/tensor_file.h"

namespace nearplane {

using Token = std::int32_t;

/// Bytes [begin, end) of a text.
struct TextRange {
  std::size_t begin, end;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Ids of `text` (any bytes; invalid UTF-8 is replaced as the Hugging Face tokenizer would receive it: U+FFFD per
  /// maximal invalid part). Added tokens in the text are recognised. `add_special` applies the post-processor (BOS
  /// ...). Long texts are split at safe places and encoded on all threads; the result does not depend on that.
  virtual std::vector<Token> encode(std::string_view text, bool add_special) const = 0;
  /// The same without a post-processor, for valid UTF-8 of which some ranges (ascending, apart) are `quoted`: text that
  /// somebody else wrote, where nothing becomes an added token, not even in part. What is outside is recognised as
  /// ever, and text without added tokens in it gives the same ids quoted or not.
  virtual std::vector<Token> encode_quoting(std::string_view text, std::span<const TextRange> quoted) const = 0;
  /// The text of ids; special tokens are left out if `skip_special`. Bytes of incomplete UTF-8 are kept as they are.
  virtual std::string decode(std::span<const Token> ids, bool skip_special) const = 0;
  virtual std::int64_t vocab_size() const = 0;
  /// Id of an exact token text ("<|im_end|>"), -1 if there is none.
  virtual Token find(std::string_view token) const = 0;
};

/// Reads tokenizer.json, else tokenizer.model, from a Hugging Face folder. Error{unsupported} names the part of
/// tokenizer.json that is not understood; Error{bad_input} if there is no tokenizer at all.
std::unique_ptr<Tokenizer> open_tokenizer(const std::filesystem::path& folder);
std::unique_ptr<Tokenizer> tokenizer_from_json(const Json& tokenizer_json, const std::string& where);

/// The tokenizer of a GGUF file (its metadata, TensorFile::metadata) as a tokenizer.json document that Hugging Face's
/// `tokenizers` loads with the same ids. Model "gpt2" with pre in {smollm, llama-bpe, qwen2, gpt2, default};
/// others: Error{unsupported} naming model and pre.
Json tokenizer_json_from_gguf(const Json& gguf_metadata, const std::string& where);
/// tokenizer_config.json that goes with it: bos/eos/pad/unk tokens, chat_template, class.
Json tokenizer_config_from_gguf(const Json& gguf_metadata, const std::string& where);

}  // namespace nearplane
