// How a GGUF file of a supported architecture (llama, qwen2, qwen3) says what Hugging Face says in config.json.
#pragma once

#include <string>

#include "container/tensor_file.h"

namespace nearplane {

/// config.json with the same meaning as the file's metadata and tensors, as transformers accepts it. Error{unsupported}
/// names the architecture or option that is not understood, Error{bad_input} the metadata that is missing.
Json hf_config_from_gguf(const TensorFile& file);

/// "model.layers.3.self_attn.q_proj.weight" -> "blk.3.attn_q.weight".
std::string gguf_tensor_name(const std::string& canonical);

/// Files of architecture llama interleave the two halves of every head in these tensors, by canonical name ...
bool is_gguf_qk(const std::string& canonical);
/// ... row h D + 2 j + s of the file is row h D + s D/2 + j = `r` of the model (D = head_dim).
std::int64_t gguf_qk_row(std::int64_t r, std::int64_t head_dim);

}  // namespace nearplane
