// What config.json and the tokenizer of a model say, as the metadata of a GGUF file.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "container/gguf_write.h"
#include "model/model.h"

namespace nearplane {

/// Architecture, sizes, rope, tokenizer (from the files in `folder`). Error{unsupported} names what llama.cpp's
/// readers of the architecture do not know: a sliding window shorter than the context, unusual llama3 scaling; see also
/// add_gguf_tokenizer.
GgufMetadata gguf_metadata(const ModelConfig& config, const std::filesystem::path& folder);

/// The factors by which llama3 scaling slows each pair of a head down, the tensor rope_freqs.weight [head_dim / 2];
/// nothing for other kinds of scaling.
std::optional<std::vector<float>> gguf_rope_factors(const ModelConfig& config);

}  // namespace nearplane
