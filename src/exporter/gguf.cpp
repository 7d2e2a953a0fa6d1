#include "exporter/gguf.h"

#include <algorithm>
#include <cstring>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/process.h"
#include "base/threads.h"
#include "exporter/gguf_blocks.h"
#include "exporter/gguf_metadata.h"
#include "exporter/kept.h"
#include "exporter/plan.h"
#include "model/gguf.h"
#include "model/tensors.h"
#include "tensor/decode.h"

namespace nearplane {
namespace {

constexpr std::int64_t kRowsPerTask = 64;
constexpr const char* kFreqs = "rope_freqs.weight";

class GgufExport {
 public:
  GgufExport(const std::filesystem::path& path, Observer& observer)
      : store_(Store::open(path)), observer_(observer), plan_(plan_export(store_)) {
    store_.verify();
    for (const auto& item : plan_.items) tensors_.push_back(layout_of(item));
    factors_ = gguf_rope_factors(plan_.model);
    if (factors_) tensors_.push_back({kFreqs, DType::f32, {std::ssize(*factors_)}});
  }

  ExportResult write(const std::filesystem::path& file) const;
  void read_back(const std::filesystem::path& file) const;

 private:
  using Form = ExportPlan::Form;
  static std::string tensor_name(const ExportPlan::Item& item) {
    return item.form == Form::kept ? item.name : item.name + ".weight";
  }
  TensorLayout layout_of(const ExportPlan::Item& item) const;
  void write_blocks(const IntegerTensor& layer, const std::string& tensor, DType type, GgufWriter& out) const;
  void write_item(const ExportPlan::Item& item, DType type, GgufWriter& out) const;
  Matrix<float> values_of(const ExportPlan::Item& item) const;
  // For each row of the tensor in the file, the row of the model; the same for elements of a bias.
  std::vector<std::int64_t> rows_in_file(const std::string& tensor, std::int64_t rows) const;
  void step(const char* stage, const std::string& item, std::int64_t done) const {
    if (observer_.cancelled()) throw Error(ErrorCode::cancelled, "export stopped");
    observer_.on_progress({stage, item, done, std::ssize(plan_.items), -1, -1, resident_bytes()});
  }

  Store store_;
  Observer& observer_;
  ExportPlan plan_;
  std::vector<TensorLayout> tensors_;  // names as in the file; those of the plan, then the factors
  std::optional<std::vector<float>> factors_;
};

// Vectors are F32 to every reader; matrices keep their type where GGUF has it.
TensorLayout GgufExport::layout_of(const ExportPlan::Item& item) const {
  const auto name = gguf_tensor_name(tensor_name(item));
  if (item.form == Form::kept) {
    const auto& tensor = store_.kept(item.name);
    if (tensor.shape.size() == 1) return {name, DType::f32, tensor.shape};
    if (tensor.dtype == DType::f64) fail_unsupported(tensor.where(), "F64 has no GGUF form that readers know");
    return {name, tensor.dtype, tensor.shape};
  }
  const auto tensor = store_.quantized(item.name);
  const auto where = store_.path().string() + ": layer " + item.name;
  const std::vector shape{tensor.rows(), tensor.cols()};
  if (item.form == Form::layer || (tensor.integer() != nullptr && tensor.integer()->group % 32 == 0))
    return {name, gguf_block_type(*tensor.integer(), where), shape};
  return {name, plan_kept(tensor).dtype, shape};
}

std::vector<std::int64_t> GgufExport::rows_in_file(const std::string& tensor, std::int64_t rows) const {
  std::vector<std::int64_t> out(static_cast<std::size_t>(rows));
  const bool permuted = is_gguf_qk(tensor) && (plan_.model.family == "llama" || plan_.model.family == "mistral");
  for (std::int64_t r = 0; r < rows; ++r)
    out[static_cast<std::size_t>(permuted ? gguf_qk_row(r, plan_.model.head_dim) : r)] = r;
  return out;
}

void GgufExport::write_blocks(const IntegerTensor& layer, const std::string& tensor, DType type,
                              GgufWriter& out) const {
  const auto rows = rows_in_file(tensor, layer.rows);
  const auto row_bytes = dtype_bytes(type, layer.cols);
  std::vector<std::byte> bytes(static_cast<std::size_t>(layer.rows * row_bytes));
  parallel_for((layer.rows + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task) {
    for (auto r = task * kRowsPerTask; r < std::min((task + 1) * kRowsPerTask, layer.rows); ++r)
      write_gguf_row(layer, rows[static_cast<std::size_t>(r)], type, bytes.data() + r * row_bytes);
  });
  out.write(bytes);
}

void GgufExport::write_item(const ExportPlan::Item& item, DType type, GgufWriter& out) const {
  const auto sink = [&](std::span<const std::byte> bytes) { out.write(bytes); };
  if (item.form != Form::kept) {
    const auto tensor = store_.quantized(item.name);
    if (dtype_info(type).block > 1) return write_blocks(*tensor.integer(), tensor_name(item), type, out);
    return write_kept(tensor, type, sink);
  }
  const auto& tensor = store_.kept(item.name);
  if (tensor.shape.size() != 1) return write_kept(tensor, type, sink);
  std::vector<float> values(static_cast<std::size_t>(tensor.elements())), in_file;
  decode_f32(tensor.dtype, tensor.bytes.data(), tensor.elements(), values.data());
  for (const auto r : rows_in_file(item.name, tensor.elements()))
    in_file.push_back(values[static_cast<std::size_t>(r)]);
  out.write(std::as_bytes(std::span(in_file)));
}

ExportResult GgufExport::write(const std::filesystem::path& file) const {
  GgufWriter out(file, gguf_metadata(plan_.model, store_.path()), tensors_);
  ExportResult result{std::ssize(tensors_), 0};
  for (const auto& tensor : tensors_) result.bytes += tensor.bytes();
  for (std::size_t i = 0; i < plan_.items.size(); ++i) {
    write_item(plan_.items[i], tensors_[i].dtype, out);
    step("export", plan_.items[i].name, static_cast<std::int64_t>(i) + 1);
  }
  if (factors_) out.write(std::as_bytes(std::span(*factors_)));
  out.commit();
  return result;
}

// [rows, cols]; a vector is one row.
Matrix<float> GgufExport::values_of(const ExportPlan::Item& item) const {
  if (item.form != Form::kept) return store_.quantized(item.name).decode();
  const auto& tensor = store_.kept(item.name);
  const auto cols = tensor.shape.back();
  auto out = Matrix<float>::uninitialized(tensor.elements() / cols, cols);
  parallel_for((out.rows() + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task) {
    const auto r0 = task * kRowsPerTask, count = std::min(kRowsPerTask, out.rows() - r0);
    decode_f32(tensor.dtype, tensor.bytes.data() + dtype_bytes(tensor.dtype, r0 * cols), count * cols, out.row(r0));
  });
  return out;
}

// The file as any model is opened: its metadata must ask for the same tensors, and every weight be the same number.
void GgufExport::read_back(const std::filesystem::path& file) const {
  const auto model = Model::open(file);
  std::int64_t done = 0;
  for (const auto& item : plan_.items) {
    const auto name = tensor_name(item);
    const auto here = values_of(item);
    parallel_for((here.rows() + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task) {
      const auto r0 = task * kRowsPerTask, count = std::min(kRowsPerTask, here.rows() - r0);
      std::vector<float> there(static_cast<std::size_t>(count * here.cols()));
      model.decode_rows(name, r0, count, there.data());
      if (std::memcmp(there.data(), here.row(r0), 4 * there.size()) != 0)
        throw Error(ErrorCode::io, fmt::format("reads back differently in rows {} to {}", r0, r0 + count - 1),
                    file.string() + ": tensor " + name);
    });
    model.release(name);
    step("read back", item.name, ++done);
  }
}

}  // namespace

ExportResult export_gguf(const std::filesystem::path& store, const std::filesystem::path& out, Observer& observer) {
  if (out.extension() != ".gguf") fail_input(out.string(), "the name of a GGUF file has to end in .gguf");
  const AtomicFolder folder(out);  // of which only the file in it gets a name in the end
  const auto file = folder.path() / "model.gguf";
  const GgufExport job(store, observer);
  const auto result = job.write(file);
  job.read_back(file);
  std::filesystem::rename(file, out);
  return result;
}

}  // namespace nearplane
