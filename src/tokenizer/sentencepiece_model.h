// tokenizer.model, the file of a SentencePiece tokenizer, as the tokenizer.json of Hugging Face's Llama tokenizer.
#pragma once

#include <filesystem>

#include "base/json.h"

namespace nearplane {

/// What tokenizer_from_json reads of a tokenizer.json, not a whole one. `config` is tokenizer_config.json (an empty
/// object if there is none): special and added tokens, add_bos_token (true if it does not say), add_eos_token, legacy,
/// add_prefix_space. Error{unsupported} for a model that is not byte-pair encoding of unchanged text, or a tokenizer
/// class other than Llama's; Error{bad_input} for a damaged file.
Json tokenizer_json_from_sentencepiece(const std::filesystem::path& model, const Json& config);

}  // namespace nearplane
