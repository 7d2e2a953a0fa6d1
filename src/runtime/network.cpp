#include "runtime/network.h"

#include <map>
#include <mutex>
#include <set>

#include "base/check.h"
#include "runtime/packed_linear.h"
#include "runtime/rotated_linear.h"
#include "tensor/decode.h"

namespace nearplane {
namespace {

bool is_packed(Compute compute) { return compute == Compute::packed || compute == Compute::expanded; }

class QuantizedRows : public WeightRows {
 public:
  explicit QuantizedRows(std::shared_ptr<const QuantizedTensor> tensor) : tensor_(std::move(tensor)) {}
  std::int64_t rows() const override { return tensor_->rows(); }
  std::int64_t cols() const override { return tensor_->cols(); }
  void decode(std::int64_t r0, std::int64_t count, float* out) const override { tensor_->decode_rows(r0, count, out); }

 private:
  std::shared_ptr<const QuantizedTensor> tensor_;
};

// Rows of a tensor the store keeps as the source model had it.
class KeptRows : public WeightRows {
 public:
  KeptRows(Store store, const std::string& name) : store_(std::move(store)), tensor_(&store_.kept(name)) {
    if (tensor_->shape.size() != 2) fail_input(tensor_->where(), "is not a matrix");
  }
  std::int64_t rows() const override { return tensor_->shape[0]; }
  std::int64_t cols() const override { return tensor_->shape[1]; }
  void decode(std::int64_t r0, std::int64_t count, float* out) const override {
    const auto row_bytes = dtype_bytes(tensor_->dtype, cols());
    decode_f32(tensor_->dtype, tensor_->bytes.data() + r0 * row_bytes, count * cols(), out);
  }

 private:
  Store store_;  // keeps the mapping alive
  const StoredTensor* tensor_;
};

class StoreWeights : public WeightSource {
 public:
  explicit StoreWeights(Store store)
      : store_(std::move(store)),
        config_(parse_hf_config(read_json(store_.path() / "config.json"), (store_.path() / "config.json").string())) {
    for (const auto& name : store_.quantized_names()) quantized_.insert(name);
  }
  const ModelConfig& config() const override { return config_; }
  std::shared_ptr<const WeightRows> rows(const std::string& name) const override {
    if (const auto layer = quantized(name)) return std::make_shared<QuantizedRows>(layer);
    return std::make_shared<KeptRows>(store_, name);
  }
  std::unique_ptr<Linear> linear(const std::string& name, std::vector<float> bias, Compute compute) const override {
    if (auto layer = quantized(name)) return linear_of(std::move(layer), std::move(bias), compute);
    if (is_packed(compute))
      if (auto matrix = pack_blocks(store_.kept(name))) return make_packed_linear(std::move(matrix), std::move(bias));
    return WeightSource::linear(name, std::move(bias), compute);
  }
  std::vector<float> vector(const std::string& name) const override {
    const auto& tensor = store_.kept(name);
    std::vector<float> out(static_cast<std::size_t>(tensor.elements()));
    decode_f32(tensor.dtype, tensor.bytes.data(), tensor.elements(), out.data());
    return out;
  }

 private:
  // nullptr if it is kept.
  std::shared_ptr<const QuantizedTensor> quantized(const std::string& name) const {
    const auto module = name.substr(0, name.rfind(".weight"));
    if (!quantized_.contains(module)) return nullptr;
    if (is_in_block(module)) return std::make_shared<QuantizedTensor>(store_.quantized(module));
    const std::lock_guard lock(tables_mutex_);
    auto& table = tables_[module];
    if (!table) table = std::make_shared<QuantizedTensor>(store_.quantized(module));
    return table;
  }

  Store store_;
  ModelConfig config_;
  std::set<std::string> quantized_;
  // Embedding and head: asked for with every token, and one matrix where the head is tied.
  mutable std::mutex tables_mutex_;
  mutable std::map<std::string, std::shared_ptr<const QuantizedTensor>> tables_;
};

// A model whose file has matrices in blocks that kernels know.
class BlockWeights : public WeightSource {
 public:
  explicit BlockWeights(std::shared_ptr<const Model> model) : model_(std::move(model)), decoded_(weights_of(model_)) {}
  const ModelConfig& config() const override { return model_->config(); }
  std::shared_ptr<const WeightRows> rows(const std::string& name) const override { return decoded_->rows(name); }
  std::vector<float> vector(const std::string& name) const override { return decoded_->vector(name); }
  std::unique_ptr<Linear> linear(const std::string& name, std::vector<float> bias, Compute compute) const override {
    if (is_packed(compute))
      if (auto matrix = pack_blocks(model_->tensor(name), model_->stored_rows(name)))
        return make_packed_linear(std::move(matrix), std::move(bias));
    return decoded_->linear(name, std::move(bias), compute);
  }

 private:
  std::shared_ptr<const Model> model_;
  std::unique_ptr<WeightSource> decoded_;
};

Network open_store(const std::filesystem::path& path) {
  Network network;
  auto store = Store::open(path);
  for (const auto& name : store.quantized_names()) {
    if (!is_in_block(name)) continue;
    const auto& layout = store.layout(name);
    network.linear_weights += layout.rows() * layout.cols();
    network.linear_bytes += store.stored_bytes(name);
  }
  network.weights = std::make_unique<StoreWeights>(std::move(store));
  network.tokenizer = open_tokenizer(path);
  return network;
}

Network open_model(const std::filesystem::path& path) {
  Network network;
  auto model = std::make_shared<const Model>(Model::open(path));
  for (std::int64_t layer = 0; layer < model->config().layers; ++layer)
    for (const auto kind : kLinearKinds) {
      const auto& tensor = model->tensor(linear_name(layer, kind) + ".weight");
      network.linear_weights += tensor.elements();
      network.linear_bytes += static_cast<std::int64_t>(tensor.bytes.size());
    }
  network.tokenizer = open_tokenizer(*model);
  network.weights = std::make_unique<BlockWeights>(std::move(model));
  return network;
}

// nullptr where only decoding is known.
std::unique_ptr<PackedMatrix> pack(const std::shared_ptr<const QuantizedTensor>& tensor, Compute compute) {
  if (const auto* coded = std::get_if<CodedTensor>(&tensor->form))
    return pack_coded(*coded, compute == Compute::expanded ? CodedForm::expanded : CodedForm::tuples);
  if (std::holds_alternative<SparseTensor>(tensor->form)) return pack_sparse_codes(tensor);
  return tensor->integer() != nullptr ? pack_integer(tensor) : nullptr;
}

}  // namespace

std::unique_ptr<Linear> linear_of(std::shared_ptr<const QuantizedTensor> tensor, std::vector<float> bias,
                                  Compute compute) {
  if (tensor->rotated() != nullptr) return make_rotated_linear(std::move(tensor), std::move(bias), compute);
  if (is_packed(compute))
    if (auto matrix = pack(tensor, compute)) return make_packed_linear(std::move(matrix), std::move(bias));
  return make_linear(std::make_shared<QuantizedRows>(std::move(tensor)), std::move(bias), compute);
}

std::unique_ptr<Tokenizer> open_tokenizer(const Model& model) {
  if (model.gguf_metadata().is_null()) return open_tokenizer(model.path());
  const auto where = model.path().string();
  return tokenizer_from_json(tokenizer_json_from_gguf(model.gguf_metadata(), where), where);
}

Network open_network(const std::filesystem::path& path) {
  return Store::is_store(path) ? open_store(path) : open_model(path);
}

}  // namespace nearplane
