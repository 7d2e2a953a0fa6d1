// What a model is: one description for Hugging Face folders and GGUF files, the names of its tensors, and its weights
// as rows decoded on demand. Knows no arithmetic beyond decoding.
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "container/tensor_file.h"
#include "tensor/matrix.h"

namespace nearplane {

struct RopeScaling {
  enum class Kind { none, linear, llama3 } kind = Kind::none;
  double factor = 1;
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  std::int64_t original_max_position = 8192;         // llama3
};

/// Everything the forward pass needs to know of a decoder-only Llama-like model.
struct ModelConfig {
  std::string family;  // "llama", "mistral", "qwen2", "qwen3": Hugging Face's model_type
  std::int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0, vocab = 0;
  std::int64_t max_position = 0;
  double rms_eps = 1e-5;
  double rope_theta = 10000;
  RopeScaling rope_scaling;
  std::int64_t sliding_window = 0;  // 0 = full attention
  bool tied_head = false;           // the head is the embedding
  bool qkv_bias = false, o_bias = false, mlp_bias = false;
  bool qk_norm = false;  // RMS norm over each head's q and k before rope (Qwen3)
  std::vector<std::int64_t> eos_tokens;
  std::optional<std::int64_t> bos_token;
};

/// The seven linear layers of a block, in the order the forward pass meets them.
enum class LinearKind { q, k, v, o, gate, up, down };
inline constexpr std::array kLinearKinds{LinearKind::q,    LinearKind::k,  LinearKind::v,   LinearKind::o,
                                         LinearKind::gate, LinearKind::up, LinearKind::down};

/// Canonical (Hugging Face) name of the module: "model.layers.3.self_attn.q_proj".
std::string linear_name(std::int64_t layer, LinearKind kind);
/// Whether a module or tensor belongs to a block. Embedding, final norm and head do not.
inline bool is_in_block(std::string_view name) { return name.starts_with("model.layers."); }
/// [out, in] of that layer.
std::array<std::int64_t, 2> linear_shape(const ModelConfig& config, LinearKind kind);
bool linear_has_bias(const ModelConfig& config, LinearKind kind);

/// Parses and checks config.json. Error{unsupported} names the architecture, activation, rope type, attention option or
/// field value that is not understood; Error{bad_input} the field that is missing or out of range.
ModelConfig parse_hf_config(const Json& config, const std::string& where);

/// Text files that travel with a model (tokenizer.json, tokenizer_config.json, generation_config.json,
/// special_tokens_map.json, chat_template.jinja, tokenizer.model), those that `folder` holds.
std::vector<std::filesystem::path> side_files_in(const std::filesystem::path& folder);

/// A model on disk. Opening checks that every tensor the config asks for is present with the right shape and a floating
/// type, and names the first that is not. Thread-safe for reading.
class Model {
 public:
  /// `path`: Hugging Face folder, or a .gguf file (architectures llama, qwen2, qwen3). Error{bad_input, unsupported,
  /// io}.
  static Model open(const std::filesystem::path& path);

  const ModelConfig& config() const { return config_; }
  const std::filesystem::path& path() const { return path_; }

  /// config.json of the model as Hugging Face's transformers expects it; synthesised from the metadata for a GGUF.
  const Json& hf_config() const { return hf_config_; }
  /// side_files_in the Hugging Face folder; empty for a GGUF: see gguf_metadata.
  const std::vector<std::filesystem::path>& side_files() const { return side_files_; }
  /// Every file that says what the model is: tensors, config.json, side files.
  std::vector<std::filesystem::path> files() const;
  /// Metadata of the GGUF file; null for a Hugging Face folder.
  const Json& gguf_metadata() const { return gguf_metadata_; }

  /// A tensor by its canonical (Hugging Face) name, as stored. Rows of q/k from a GGUF "llama" are NOT yet unpermuted
  /// here; use decode_rows, or stored_rows.
  const StoredTensor& tensor(const std::string& name) const;
  /// Where each row of a matrix is among its rows in the file; empty: in order.
  std::vector<std::int64_t> stored_rows(const std::string& name) const;
  /// All tensors of the model by canonical name in model order: embedding, blocks, final norm, head (if untied).
  const std::vector<std::string>& tensor_names() const { return names_; }
  /// Decodes rows [r0, r0+count) of tensor `name` ([rows, cols], or a vector as [1, n]) to f32, undoing GGUF's q/k row
  /// permutation. Thread-safe.
  void decode_rows(const std::string& name, std::int64_t r0, std::int64_t count, float* out) const;
  std::vector<float> decode_vector(const std::string& name) const;
  /// All of a matrix, on all threads. Error{bad_input} naming tensor, row, column if a value is NaN or Inf.
  Matrix<float> decode_matrix(const std::string& name) const;
  /// Gives the mapped pages of a tensor back to the system.
  void release(const std::string& name) const;

 private:
  friend struct ModelBuilder;
  ModelConfig config_;
  std::filesystem::path path_;
  Json hf_config_, gguf_metadata_;
  std::vector<std::filesystem::path> side_files_;
  std::shared_ptr<const TensorFile> file_;
  std::vector<std::string> names_;
  std::map<std::string, std::string> stored_names_;  // canonical -> name in the file
  bool permuted_qk_ = false;
};

}  // namespace nearplane
