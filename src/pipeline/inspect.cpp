#include "nearplane/inspect.h"

#include "base/check.h"
#include "model/model.h"
#include "pipeline/record.h"
#include "qtensor/store.h"
#include "qtensor/store_layer.h"

namespace nearplane {
namespace {

void add(Inspection& out, const std::string& name, std::string dtype, std::vector<std::int64_t> shape,
         std::int64_t bytes) {
  out.tensors.push_back({name, std::move(dtype), std::move(shape), bytes});
  out.total_bytes += bytes;
}

std::string form_name(const IntegerTensor& t) {
  return fmt::format("int{} g{}{}", t.bits, t.group, t.symmetric ? " symmetric" : "");
}

std::string form_name(const CodedTensor& t) {
  const int states = t.levels->trellis().states;
  return states == 1 ? "coded" : fmt::format("coded trellis {}", states);
}

std::string form_name(const RotatedTensor& t) { return fmt::format("rotated {}", t.bits); }

std::string form_name(const SplitTensor& t) { return fmt::format("split {} +{}", t.bits, t.outliers); }

std::string form_name(const OutlierTensor& t) { return fmt::format("outlier {} g{}", t.bits, t.group); }

std::string form_name(const BlockTensor& t) { return std::string(dtype_info(t.type).name); }

// Bytes by what they are: the tensors a layer is stored in, without their names' common part; levels and their tables.
void add_parts(const QuantizedTensor& tensor, std::map<std::string, std::int64_t>& parts) {
  std::vector<TensorToWrite> pieces;
  write_layer("", tensor, pieces);
  for (const auto& piece : pieces) parts[piece.name.substr(1)] += std::ssize(piece.bytes);
  if (const auto* coded = std::get_if<CodedTensor>(&tensor.form)) {
    parts["levels"] -= coded->levels->table_bytes();
    parts["tables"] += coded->levels->table_bytes();
  }
}

// Dense codes, listed codes per weight, columns kept as floats.
std::string form_name(const SparseTensor& t) {
  const auto kept = t.kept_columns.empty() ? "" : fmt::format(", {} f16", t.kept_columns.size());
  return fmt::format("int{} g{} +{:.1f} %{}", t.bits, t.group, 100 * t.overflow_share(), kept);
}

Inspection inspect_store(const std::filesystem::path& path) {
  const auto store = Store::open(path);
  store.verify();
  Inspection out;
  out.kind = "store";
  out.family = parse_hf_config(read_json(path / "config.json"), (path / "config.json").string()).family;
  for (const auto& name : store.quantized_names()) {
    const auto tensor = store.quantized(name);
    add(out, name, std::visit([](const auto& form) { return form_name(form); }, tensor.form),
        {tensor.rows(), tensor.cols()}, tensor.stored_bytes());
    if (!is_in_block(name)) continue;
    out.linear_weights += tensor.rows() * tensor.cols();
    out.linear_bytes += tensor.stored_bytes();
    add_parts(tensor, out.parts);
  }
  for (const auto& name : store.kept_names()) {
    const auto& tensor = store.kept(name);
    add(out, name, std::string(dtype_info(tensor.dtype).name), tensor.shape, std::ssize(tensor.bytes));
  }
  const auto file = path / "record.json";
  const auto record = read_json(file);
  out.layers = layers_of_record(record, file.string());
  out.embeddings = embeddings_of_record(record, file.string());
  return out;
}

Inspection inspect_model(const std::filesystem::path& path, std::string kind) {
  const auto model = Model::open(path);
  Inspection out;
  out.kind = std::move(kind);
  out.family = model.config().family;
  for (const auto& name : model.tensor_names()) {
    const auto& tensor = model.tensor(name);
    add(out, name, std::string(dtype_info(tensor.dtype).name), tensor.shape, std::ssize(tensor.bytes));
  }
  for (std::int64_t layer = 0; layer < model.config().layers; ++layer)
    for (const auto kind_of : kLinearKinds) {
      const auto& tensor = model.tensor(linear_name(layer, kind_of) + ".weight");
      out.linear_weights += tensor.elements();
      out.linear_bytes += std::ssize(tensor.bytes);
    }
  return out;
}

}  // namespace

Inspection inspect(const std::filesystem::path& path) {
  if (Store::is_store(path)) return inspect_store(path);
  if (path.extension() == ".safetensors") {
    Inspection out;
    out.kind = "safetensors";
    const auto file = open_safetensors(path);
    for (const auto& tensor : file.tensors())
      add(out, tensor.name, std::string(dtype_info(tensor.dtype).name), tensor.shape, std::ssize(tensor.bytes));
    return out;
  }
  return inspect_model(path, path.extension() == ".gguf" ? "gguf" : "safetensors");
}

}  // namespace nearplane
