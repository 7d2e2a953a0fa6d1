#include "model/model.h"

#include <bit>
#include <cassert>
#include <cmath>
#include <numeric>
#include <set>

#include "base/check.h"
#include "base/threads.h"
#include "model/gguf.h"
#include "model/tensors.h"
#include "tensor/decode.h"

namespace nearplane {
namespace {

constexpr std::int64_t kRowsPerTask = 64;

// The first NaN or Inf of values[0, count), or count. Integer arithmetic so that the common case is vectorised.
std::int64_t first_not_finite(const float* values, std::int64_t count) {
  const auto bad = [&](std::int64_t i) {
    return (std::bit_cast<std::uint32_t>(values[i]) & 0x7f800000u) == 0x7f800000u;
  };
  bool any = false;
  for (std::int64_t i = 0; i < count; ++i) any |= bad(i);
  std::int64_t i = any ? 0 : count;
  while (i < count && !bad(i)) ++i;
  return i;
}

std::string shape_text(const std::vector<std::int64_t>& shape) { return Json(shape).dump(); }

}  // namespace

std::vector<std::filesystem::path> side_files_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> out;
  for (const auto* name : {"tokenizer.json", "tokenizer_config.json", "generation_config.json",
                           "special_tokens_map.json", "chat_template.jinja", "tokenizer.model"})
    if (std::filesystem::is_regular_file(folder / name)) out.push_back(folder / name);
  return out;
}

std::vector<std::filesystem::path> Model::files() const {
  auto out = file_->files();
  if (gguf_metadata_.is_null()) out.push_back(path_ / "config.json");
  out.insert(out.end(), side_files_.begin(), side_files_.end());
  return out;
}

struct ModelBuilder {
  Model model;

  void open_folder(const std::filesystem::path& folder) {
    const auto config = folder / "config.json";
    if (!std::filesystem::exists(config)) fail_input(folder.string(), "has no config.json");
    model.hf_config_ = read_json(config);
    model.config_ = parse_hf_config(model.hf_config_, config.string());
    model.file_ = std::make_shared<const TensorFile>(open_safetensors(folder));
    model.side_files_ = side_files_in(folder);
    take_tensors([](const std::string& canonical) { return canonical; });
  }

  void open_gguf_file(const std::filesystem::path& path) {
    model.file_ = std::make_shared<const TensorFile>(open_gguf(path));
    model.gguf_metadata_ = model.file_->metadata();
    model.hf_config_ = hf_config_from_gguf(*model.file_);
    model.config_ = parse_hf_config(model.hf_config_, path.string());
    model.permuted_qk_ = model.config_.family == "llama";
    take_tensors(gguf_tensor_name);
  }

  // Every tensor the config asks for, checked; then nothing may be left over that would change the model.
  template <class NameInFile>
  void take_tensors(const NameInFile& name_in_file) {
    std::set<std::string> known{"rope_freqs.weight"};                           // read with the config
    if (model.config_.tied_head) known.insert(name_in_file("lm_head.weight"));  // a copy, transformers ignores it too
    for (const auto& [name, shape] : expected_tensors(model.config_)) {
      const auto stored = name_in_file(name);
      const auto& tensor = model.file_->get(stored);
      if (tensor.shape != shape)
        fail_input(tensor.where(), "has shape {}, the config asks for {}", shape_text(tensor.shape), shape_text(shape));
      if (!dtype_info(tensor.dtype).floating)
        fail_input(tensor.where(), "is of type {}, weights are real numbers", dtype_info(tensor.dtype).name);
      model.names_.push_back(name);
      model.stored_names_[name] = stored;
      known.insert(stored);
    }
    for (const auto& tensor : model.file_->tensors())
      if (!known.contains(tensor.name) && !tensor.name.ends_with(".rotary_emb.inv_freq"))  // follows from rope_theta
        fail_unsupported(tensor.where(), "is not part of a {} model with this config", model.config_.family);
  }
};

Model Model::open(const std::filesystem::path& path) {
  ModelBuilder builder;
  builder.model.path_ = path;
  if (std::filesystem::is_directory(path))
    builder.open_folder(path);
  else if (path.extension() == ".gguf")
    builder.open_gguf_file(path);
  else if (std::filesystem::exists(path))
    fail_input(path.string(), "is neither a Hugging Face folder nor a .gguf file");
  else
    fail_input(path.string(), "does not exist");
  return std::move(builder.model);
}

const StoredTensor& Model::tensor(const std::string& name) const {
  const auto it = stored_names_.find(name);
  if (it == stored_names_.end()) fail_input(path_.string(), "the model has no tensor '{}'", name);
  return file_->get(it->second);
}

std::vector<std::int64_t> Model::stored_rows(const std::string& name) const {
  std::vector<std::int64_t> out;
  if (permuted_qk_ && is_gguf_qk(name))
    for (std::int64_t r = 0; r < tensor(name).shape[0]; ++r) out.push_back(gguf_qk_row(r, config_.head_dim));
  return out;
}

void Model::decode_rows(const std::string& name, std::int64_t r0, std::int64_t count, float* out) const {
  const auto& stored = tensor(name);
  const auto cols = stored.shape.back();
  assert(r0 >= 0 && count >= 0 && (r0 + count) * cols <= stored.elements());
  const bool permuted = permuted_qk_ && is_gguf_qk(name);
  if (permuted && stored.shape.size() == 1) {  // a bias: its rows are its elements
    std::vector<float> values(static_cast<std::size_t>(cols));
    decode_f32(stored.dtype, stored.bytes.data(), cols, values.data());
    for (std::int64_t i = 0; i < cols; ++i) out[i] = values[static_cast<std::size_t>(gguf_qk_row(i, config_.head_dim))];
    return;
  }
  const auto row_bytes = dtype_bytes(stored.dtype, cols);
  if (!permuted) return decode_f32(stored.dtype, stored.bytes.data() + r0 * row_bytes, count * cols, out);
  for (std::int64_t r = r0; r < r0 + count; ++r, out += cols)
    decode_f32(stored.dtype, stored.bytes.data() + gguf_qk_row(r, config_.head_dim) * row_bytes, cols, out);
}

std::vector<float> Model::decode_vector(const std::string& name) const {
  const auto& stored = tensor(name);
  assert(stored.shape.size() == 1);
  std::vector<float> out(static_cast<std::size_t>(stored.elements()));
  decode_rows(name, 0, 1, out.data());
  const auto bad = first_not_finite(out.data(), stored.elements());
  if (bad < stored.elements()) fail_input(stored.where(), "element {} is {}", bad, out[static_cast<std::size_t>(bad)]);
  return out;
}

Matrix<float> Model::decode_matrix(const std::string& name) const {
  const auto& stored = tensor(name);
  assert(stored.shape.size() == 2);
  const auto rows = stored.shape[0], cols = stored.shape[1];
  auto out = Matrix<float>::uninitialized(rows, cols);
  parallel_for((rows + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task) {
    const auto r0 = task * kRowsPerTask, count = std::min(kRowsPerTask, rows - r0);
    decode_rows(name, r0, count, out.row(r0));
    const auto bad = first_not_finite(out.row(r0), count * cols);
    if (bad < count * cols)
      fail_input(stored.where(), "the weight in row {}, column {} is {}", r0 + bad / cols, bad % cols,
                 out.row(r0)[bad]);
  });
  return out;
}

void Model::release(const std::string& name) const { file_->release(tensor(name)); }

}  // namespace nearplane
