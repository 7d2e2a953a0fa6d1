// A byte-level BPE tokenizer of a Hugging Face folder as GGUF keeps it: the way back of tokenizer_json_from_gguf.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "container/gguf_write.h"

namespace nearplane {

/// Adds tokenizer.ggml.* and tokenizer.chat_template: vocabulary filled up to `rows` tokens (the rows of the
/// embedding), merges, kinds, the name of the pre-tokenizer, special tokens. `ends` are the tokens that end a text by
/// config.json: one beside the tokenizer's own becomes eot_token_id, more than that readers know by their texts only.
/// Error{unsupported} names what GGUF cannot
/// say: a pre-tokenizer without a known name, a frame that is not BOS and EOS, added tokens that swallow white space.
void add_gguf_tokenizer(const std::filesystem::path& folder, std::int64_t rows, std::span<const std::int64_t> ends,
                        GgufMetadata& out);

}  // namespace nearplane
